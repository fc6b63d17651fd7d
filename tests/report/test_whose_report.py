"""Two studies of one name do not overwrite each other's report in silence."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from bench_core.errors import PluginError
from bench_core.plan.job import Job
from bench_core.report.blocks import Section
from bench_core.report.compose import Report
from bench_core.report.tables import Column, Table, text_row
from tests.helpers.bench import call_bench
from tests.helpers.fake_study import Study, write_study


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, Study]:
    base = tmp_path_factory.mktemp("two")

    def small(name: str, models: str) -> Study:
        return write_study(base / name, first_fold, models=models, more="analyses: [summary]\n")

    return small("a", "[broad, ring]"), small("b", "[broad, wide]")


def first_fold(job: Job) -> bool:
    return job.stage == "evaluate" and job.fold.index == 0 and job.dataset.name == "moles"


def report(study: Study, cwd: Path, *more: str) -> tuple[int, str]:
    words = ["report", study.loaded.path, "--store", study.store.path, "--format", "csv", *more]
    done = call_bench(*words, cwd=cwd)
    return done.returncode, done.stderr


def content(cwd: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in cwd.rglob("*") if path.is_file()}


def test_the_second_of_one_name_is_refused_unless_forced(two: tuple[Study, Study], tmp_path: Path) -> None:
    first, second = two
    assert report(first, tmp_path)[0] == 0
    before = content(tmp_path)
    code, said = report(second, tmp_path)
    assert code == 2 and "another study" in said and str(first.loaded.path) in said
    assert "--out" in said and "--force" in said
    assert content(tmp_path) == before
    assert report(second, tmp_path, "--out", "other")[0] == 0
    assert report(second, tmp_path, "--force")[0] == 0
    assert report(second, tmp_path)[0] == 0
    assert report(first, tmp_path)[0] == 2


def test_the_same_file_may_change_but_its_overrides_are_another_study(
    two: tuple[Study, Study], tmp_path: Path
) -> None:
    first, _ = two
    assert report(first, tmp_path)[0] == 0
    assert report(first, tmp_path)[0] == 0
    text = first.loaded.path.read_text()
    try:
        first.loaded.path.write_text(text.replace("Do specialized", "Why do specialized"))
        assert report(first, tmp_path)[0] == 0
    finally:
        first.loaded.path.write_text(text)
    code, said = report(first, tmp_path, "--set", "description=other")
    assert code == 2 and "--set description=other" in said


def test_a_spec_that_was_moved_is_no_other_study(two: tuple[Study, Study], tmp_path: Path) -> None:
    first, second = two
    moved = tmp_path / "moved.yaml"
    shutil.copy(first.loaded.path, moved)
    shutil.copy(first.loaded.path.parent / "study_plugin.py", tmp_path)
    words = ["report", moved, "--store", first.store.path, "--format", "csv"]
    assert call_bench(*words, cwd=tmp_path).returncode == 0
    assert report(first, tmp_path)[0] == 0
    assert call_bench(*words, "--force", cwd=tmp_path).returncode == 0
    moved.unlink()
    assert report(second, tmp_path)[0] == 0


def test_a_damaged_record_protects_nothing(two: tuple[Study, Study], tmp_path: Path) -> None:
    assert report(two[0], tmp_path)[0] == 0
    damages = (b"", b"[]", b'{"path": 3, "overrides": [], "content": ""}', b"\xff")
    for damage, other in zip(damages, (*two[::-1], *two[::-1]), strict=True):
        (tmp_path / "reports" / "fake-study" / ".study.json").write_bytes(damage)
        assert report(other, tmp_path)[0] == 0


@pytest.mark.parametrize(
    "name", ["../escape", "/absolute", "a/b", "..", ".hidden", "", "a\\b", "x" * 201, "a\x00b"]
)
def test_tables_stay_in_their_folder(name: str) -> None:
    table = Table(name, "T", (Column("c", "C"),), (text_row(["1"]),))
    report = Report("r", "", "", True, (), (Section("s", "S", (table,)),))
    with pytest.raises(PluginError, match="not a file name"):
        _ = report.tables


def test_tables_that_differ_in_case_only_are_refused() -> None:
    tables = tuple(Table(name, "T", (Column("c", "C"),), (text_row(["1"]),)) for name in ("Data", "data"))
    with pytest.raises(PluginError, match="two tables"):
        _ = Report("r", "", "", True, (), (Section("s", "S", tables),)).tables
