"""`bench report` as people and programs call it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from bench_core.cli.main import main
from bench_core.install import install_command
from bench_core.store.result import Failure
from tests.helpers.fake_study import Study, write_study


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return write_study(tmp_path_factory.mktemp("study"))


def bench(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["bench", *(str(item) for item in arguments)])
    try:
        main()
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def paths(study: Study) -> tuple[Path, Path]:
    return study.loaded.path, study.store.path


def test_it_writes_every_format(study: Study, tmp_path: Path, monkeypatch, capsys) -> None:
    spec, store = paths(study)
    assert bench(monkeypatch, "report", spec, "--store", store, "--out", tmp_path / "out") == 0
    said = capsys.readouterr().out
    assert "fake-study: complete: 72 jobs" in said
    assert (tmp_path / "out" / "report.html").stat().st_size > 100_000
    names = {path.stem for path in (tmp_path / "out" / "tables").iterdir()}
    assert {
        "study-mdsc",
        "folds",
        "search",
        "classes-hearts-mdsc",
        "differences-mdsc",
        "data",
        "jobs",
    } <= names
    for suffix in ("csv", "md", "tex"):
        found = {path.stem for path in (tmp_path / "out" / "tables").glob(f"*.{suffix}")}
        assert found | {"numbers"} == names and ("numbers" in found) == (suffix != "md")


def test_the_default_folder_is_named_after_the_spec(study: Study, tmp_path: Path, monkeypatch) -> None:
    spec, store = paths(study)
    monkeypatch.chdir(tmp_path)
    assert bench(monkeypatch, "report", spec, "--store", store, "--format", "csv") == 0
    assert (tmp_path / "reports" / "fake-study" / "tables" / "study-mdsc.csv").is_file()
    assert not (tmp_path / "reports" / "fake-study" / "report.html").exists()


def test_json_says_what_is_written_and_missing(tmp_path: Path, monkeypatch, capsys) -> None:
    study = write_study(tmp_path, keep=lambda job: job.model.label != "ring")
    job = next(job for job in study.plan.jobs if job.model.label == "ring")
    study.store.fail(job, Failure(job.digest, job.name, "TrainingError", "the loss became NaN"))
    spec, store = paths(study)
    code = bench(
        monkeypatch,
        "report",
        spec,
        "--store",
        store,
        "--out",
        tmp_path / "out",
        "--json",
        "--format",
        "markdown",
    )
    data = json.loads(capsys.readouterr().out)
    assert code == 0
    assert data["complete"] is False
    assert data["jobs"] == {"done": 48, "planned": 72}
    assert {item["state"] for item in data["missing"]} == {"todo", "failed"}
    assert (
        next(item for item in data["missing"] if item["state"] == "failed")["reason"] == "the loss became NaN"
    )
    assert all(Path(path).is_file() and path.endswith(".md") for path in data["files"])


def test_printed_commands_carry_overrides_and_store(tmp_path: Path, monkeypatch, capsys) -> None:
    study = write_study(tmp_path, keep=lambda job: job.model.label != "ring")
    spec, store = paths(study)
    changed = "description=one two"
    code = bench(
        monkeypatch,
        "report",
        spec,
        "--store",
        store,
        "--set",
        changed,
        "--out",
        tmp_path / "out",
        "--format",
        "csv",
    )
    assert code == 0
    assert f"bench run {spec} --set 'description=one two' --store {store}" in capsys.readouterr().out


def test_nothing_at_all_is_an_error_that_says_what_to_run(
    study: Study, tmp_path: Path, monkeypatch, capsys
) -> None:
    spec, _ = paths(study)
    assert bench(monkeypatch, "report", spec, "--store", tmp_path / "none", "--out", tmp_path / "out") == 2
    said = capsys.readouterr().err
    assert "no job of 'fake-study' has a result yet" in said
    assert "bench run" in said
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written_is_named(study: Study, tmp_path: Path, monkeypatch, capsys) -> None:
    spec, store = paths(study)
    (tmp_path / "taken").write_text("a file")
    code = bench(monkeypatch, "report", spec, "--store", store, "--out", tmp_path / "taken" / "out")
    said = capsys.readouterr().err
    assert code == 2
    assert "cannot write the report" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("formats", ["pdf", "html,pdf", ","])
def test_an_unknown_format_is_refused(study: Study, formats: str, monkeypatch, capsys) -> None:
    spec, store = paths(study)
    assert bench(monkeypatch, "report", spec, "--store", store, "--format", formats) == 2
    assert "html, csv, markdown, latex" in capsys.readouterr().err


def test_a_wrong_spec_ends_with_1(study: Study, tmp_path: Path, monkeypatch) -> None:
    spec, store = paths(study)
    assert bench(monkeypatch, "report", spec, "--store", store, "--set", "protocol.batch_size=none") == 1


def test_tables_need_neither_jinja_nor_pillow_nor_scipy_nor_torch(study: Study, tmp_path: Path) -> None:
    import subprocess

    spec, store = paths(study)
    code = (
        "import sys\n"
        "for name in ('torch', 'jinja2', 'PIL', 'scipy', 'cv2', 'nibabel'): sys.modules[name] = None\n"
        "from bench_core.cli.main import main\n"
        f"sys.argv = ['bench', 'report', {str(spec)!r}, '--store', {str(store)!r}]\n"
        f"sys.argv += ['--out', {str(tmp_path)!r}]\n"
        "sys.argv += ['--format', FORMAT]\n"
        "main()\n"
    )
    tables = subprocess.run(
        [sys.executable, "-c", code.replace("FORMAT", "'csv,markdown,latex'")], capture_output=True, text=True
    )
    assert tables.returncode == 0, tables.stderr
    names = {path.stem for path in (tmp_path / "tables").iterdir()}
    assert "study-mdsc" in names and not any(name.startswith("comparisons-") for name in names)
    page = subprocess.run(
        [sys.executable, "-c", code.replace("FORMAT", "'html'")], capture_output=True, text=True
    )
    assert page.returncode == 2
    assert install_command("report") in page.stderr
    assert "Traceback" not in page.stderr


def test_latex_is_set_for_the_paper_and_a_wrong_column_is_named(
    study: Study, tmp_path: Path, monkeypatch, capsys
) -> None:
    spec, store = paths(study)
    common = ("report", spec, "--store", store, "--out", tmp_path / "out", "--format", "latex")
    wide = ("--latex-two-columns", "--latex-columns", "study-*=model,moles", "--latex-siunitx")
    assert bench(monkeypatch, *common, *wide) == 0
    text = (tmp_path / "out" / "tables" / "study-mdsc.tex").read_text()
    assert "\\begin{table}" in text and "table-format=2.1" in text and "Polyps" not in text
    assert "\\begin{table*}" in (tmp_path / "out" / "tables" / "folds.tex").read_text()
    capsys.readouterr()
    assert bench(monkeypatch, *common, "--latex-columns", "study-*=model,mole") == 1
    said = capsys.readouterr().err
    assert "no column 'mole'" in said and "moles" in said and "Traceback" not in said
    assert bench(monkeypatch, *common, "--latex-columns", "study") == 2
