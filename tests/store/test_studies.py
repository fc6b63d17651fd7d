"""What a store keeps of the specs that were run in it: read without them, believed no more than archives."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from bench_core.export.kept import keep, study_of
from bench_core.plan.load import load_plan
from bench_core.store.store import Store
from bench_core.store.studies import STUDIES, Content, KeptStudy, keep_study, kept_studies
from tests.cli.test_damaged_store import DEEP
from tests.helpers.bench import call_bench
from tests.helpers.small_study import write_spec
from tests.helpers.verified_study import STOPPING, Finished

TRUST = "--trust-code"


@pytest.fixture
def store(verified_study: Finished, tmp_path: Path) -> Path:
    """A store that was finished by the command line, so that it keeps its spec."""
    copy = tmp_path / "results"
    shutil.copytree(verified_study.store, copy, ignore=shutil.ignore_patterns("cache"))
    done = call_bench("run", verified_study.path, "--set", STOPPING, "--store", copy)
    assert done.returncode == 0, done.stderr
    return copy


@pytest.fixture(scope="module")
def kept(verified_study: Finished) -> KeptStudy:
    loaded, plan = load_plan(verified_study.path, [STOPPING])
    return study_of(loaded, plan, verified_study.path, [STOPPING])


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Yield where studies are unpacked, and fail where anything stays there."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    yield folder
    assert not list(folder.iterdir())


def said(*words: str | Path, code: int = 0) -> Any:
    done = call_bench(*words, "--json")
    assert done.returncode == code, done.stdout + done.stderr
    return json.loads(done.stdout)


def test_a_store_is_read_without_its_spec_as_with_it(
    verified_study: Finished, store: Path, tmp_path: Path, scratch: Path
) -> None:
    """Equal studies, equal answers; what `--set` changed is in what the store keeps."""
    spec = (verified_study.path, "--set", STOPPING, "--store", store)
    (study,) = kept_studies(store)[0].values()
    assert study.overrides == (STOPPING,) and study.given == str(verified_study.path)
    here, there = said("verify", store, TRUST), said("verify", *spec)
    assert here["ok"] and here["complete"] and here["study"]["key"] == study.key and there["study"] is None
    assert here["study_digest"] == there["study_digest"]
    alike = [item for item in here["checks"] if item["name"] != "digest"]
    assert alike == there["checks"], "the plan is asked of a store besides"
    shown = call_bench("verify", store, TRUST).stdout
    assert f"as the store keeps it: small, {study.key[:12]}" in shown and str(scratch) not in shown
    for place, words in (("a", (store, TRUST)), ("b", spec)):
        assert said("report", *words, "--out", tmp_path / place)["study_digest"] == here["study_digest"]
    tables = sorted((tmp_path / "a" / "tables").iterdir())
    assert len(tables) > 20
    for table in tables:
        assert table.read_bytes() == (tmp_path / "b" / "tables" / table.name).read_bytes()
    page = (tmp_path / "a" / "report.html").read_text()
    assert str(scratch) not in page and str(verified_study.path) in page
    asked = "compare", "heavy", "dots-net"
    assert said(*asked, store, TRUST)["answers"] == said(*asked, *spec)["answers"]
    assert call_bench("verify", store, TRUST, "--store", store).returncode == 2
    assert call_bench("verify", *spec, "--study", "small").returncode == 2
    # Nothing of it is a job, and what is run once more is kept once.
    assert said("status", *spec)["counts"] == said("status", *spec[:-1], verified_study.store)["counts"]
    call_bench("run", *spec)
    (again,) = kept_studies(store)[0].values()
    assert replace(again, last=study.last) == study


def test_a_spec_that_was_edited_since_is_not_taken_for_what_was_run(
    verified_study: Finished, tmp_path: Path, scratch: Path
) -> None:
    path = tmp_path / "spec" / "spec.yaml"
    shutil.copytree(verified_study.path.parent, path.parent)
    copy = tmp_path / "results"
    shutil.copytree(verified_study.store, copy, ignore=shutil.ignore_patterns("cache"))
    assert call_bench("run", path, "--set", STOPPING, "--store", copy).returncode == 0
    path.write_text(path.read_text().replace("epochs: 6", "epochs: 7"))
    edited = call_bench("verify", path, "--set", STOPPING, "--store", copy)
    assert "partial: 6 of 15 jobs" in edited.stdout and "the store keeps small, " in edited.stderr
    found = said("verify", copy, TRUST)
    assert found["jobs"] == {"done": 15, "planned": 15}
    assert f"bench verify {copy} --study {found['study']['key'][:12]}" in edited.stderr
    # Begun and cut off, the edited one is a second study.
    loaded, plan = load_plan(path, [STOPPING])
    other = keep(loaded, plan, copy, path)
    both = {item["study"]["key"]: item["complete"] for item in said("verify", copy, TRUST)["studies"]}
    assert both == {found["study"]["key"]: True, other.key: False}
    # Claims that were written after the results change no job, and are told.
    path.write_text(path.read_text().replace("epochs: 7", "epochs: 6") + "\ndescription: best\n")
    late = call_bench("verify", path, "--set", STOPPING, "--store", copy)
    assert "the spec says otherwise than the one that was run (small, " in late.stderr
    assert "): description\n" in late.stderr


def test_several_studies_of_a_store_are_verified_each_and_reported_by_name(
    verified_study: Finished, store: Path, tmp_path: Path, scratch: Path
) -> None:
    loaded, plan = load_plan(verified_study.path, [STOPPING, "name=part", "models=[dots-net]"])
    keep(loaded, plan, store, Path("part.yaml"), ["name=part"])
    # The same jobs under another description are the same study, said anew.
    loaded, plan = load_plan(verified_study.path, [STOPPING, "description=again"])
    newest = replace(study_of(loaded, plan, Path("again.yaml")), last="2100-01-01T00:00:00Z")
    keep_study(store, newest)
    found = said("verify", store, TRUST)
    jobs = {item["study"]["name"]: item["jobs"]["done"] for item in found["studies"]}
    assert found["ok"] and jobs == {"small": 15, "part": 5}
    assert found["studies"][0]["study"]["spec"] == "again.yaml"
    asked = call_bench("report", store, TRUST, "--out", tmp_path / "out")
    assert asked.returncode == 2 and "2 studies were run in this store" in asked.stderr
    assert "--study small" in asked.stderr
    for words in (["--study", "part"], ["--study", found["studies"][1]["study"]["key"][:10]]):
        report = said("report", store, TRUST, *words, "--out", tmp_path / "out")
        assert report["jobs"] == {"done": 5, "planned": 5}
    unknown = call_bench("verify", store, TRUST, "--study", "smal")
    assert unknown.returncode == 1 and "part, " in unknown.stderr and "fix: choose one" in unknown.stderr
    two = call_bench("verify", store, TRUST, "--study", "small")
    assert two.returncode == 0 and newest.key[:12] in two.stdout
    assert call_bench("verify", store, TRUST, "--digest", "0" * 64).returncode == 2
    (store / STUDIES / f"{newest.key}.json").unlink()
    for path in (store / STUDIES).iterdir():
        if '"name": "small"' in path.read_text():
            path.unlink()
    left = call_bench("verify", store, TRUST)
    assert "10 finished jobs belong to no study that the store keeps" in left.stderr


def test_a_store_that_keeps_nothing_says_what_to_give_it(verified_study: Finished, tmp_path: Path) -> None:
    done = call_bench("verify", verified_study.store)
    assert done.returncode == 2 and "does not say what was run in it" in done.stderr
    assert f"--store {verified_study.store}" in done.stderr and "fix: name the spec" in done.stderr
    for words in (("report", verified_study.store), ("compare", "a", "b", verified_study.store)):
        assert "does not say what was run in it" in call_bench(*words).stderr


def test_where_the_data_lay_is_told_and_not_followed(tmp_path: Path, scratch: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "content.txt").write_text("fine")
    path = write_spec(tmp_path / "spec", datasets=f"[{{name: dots-on-disk, label: mine, root: {data}}}]")
    loaded, plan = load_plan(path)
    store = Store(tmp_path / "results", create=True)
    study = keep(loaded, plan, store.path, path)
    assert study.places == {"mine": str(data)} and str(data) not in study.spec
    done = call_bench("verify", store.path, "--data", TRUST)
    assert done.returncode == 2 and "a store does not lead to its data: mine" in done.stderr
    assert f"--set datasets.0.root={data}" in done.stderr
    told = call_bench("verify", store.path, "--data", TRUST, "--set", f"datasets.0.root={data}")
    assert "no job of 'small' is finished" in told.stderr


def test_code_of_a_store_is_run_only_when_it_is_trusted(
    kept: KeptStudy, store: Path, tmp_path: Path, scratch: Path
) -> None:
    ran = tmp_path / "ran"
    plugin = kept.files["plugins/0/plugin.py"]
    edited = Content("text", plugin.data + f"\nPath({str(ran)!r}).touch()\n")
    shutil.rmtree(store / STUDIES)
    keep_study(store, replace(kept, files={"plugins/0/plugin.py": edited}))
    for command in (["verify"], ["report", "--out", tmp_path / "out"], ["compare", "heavy", "dots-net"]):
        done = call_bench(*command, store)
        assert done.returncode == 2 and "plugins/0/plugin.py" in done.stderr and TRUST in done.stderr
    for command in (["status"], ["show", "evaluate/heavy/dots/fold-1"]):
        call_bench(*command, "--store", store)
    assert not ran.exists()
    assert call_bench("verify", store, TRUST).returncode == 1 and ran.exists(), "another plugin is found"


def in_spec(old: str, new: str) -> Callable[[KeptStudy], KeptStudy]:
    def edit(study: KeptStudy) -> KeptStudy:
        assert old in study.spec
        return replace(study, spec=study.spec.replace(old, new, 1))

    return edit


def brings(name: str) -> Callable[[KeptStudy], KeptStudy]:
    return lambda study: replace(study, files={**study.files, name: Content("text", "x")})


BOMB = "a: &a [x]\n" + "".join(
    f"{chr(letter)}: &{chr(letter)} [{','.join([f'*{chr(letter - 1)}'] * 9)}]\n" for letter in range(98, 110)
)
FITTING: dict[str, tuple[Callable[[KeptStudy], KeptStudy], str]] = {
    "extends": (in_spec("name: small", "name: small\nextends: /etc/passwd"), "it extends another file"),
    "variable": (in_spec("name: small", 'name: small\ndescription: "${HOME}"'), "a variable of this machine"),
    "own plugin": (in_spec("plugins/0/plugin.py", "/tmp/evil.py"), "not a plugin"),
    "root": (in_spec("- name: dots\n", "- name: dots\n  root: /etc\n"), "a folder of this machine"),
    "folds": (in_spec("- name: dots\n", "- name: dots\n  folds: /etc/passwd\n"), "not a file of folds"),
    "weights": (in_spec("- name: dots-net\n", "- name: dots-net\n  weights: w.pt\n"), "file of this machine"),
    "model": (in_spec("- name: dots-net\n", "- name: hf:/etc/x.json\n"), "a file of this machine"),
    "aliases": (lambda study: replace(study, spec=BOMB), "spec.yaml"),
    "huge spec": (lambda study: replace(study, spec="#" * 2**21), "larger than"),
    "outside": (brings("plugins/0/../../../evil"), "no spec names"),
    "absolute": (brings("/etc/evil"), "no spec names"),
    "a result": (brings("results/jobs/x"), "no spec names"),
    "backslash": (brings("plugins/0/..\\evil"), "no spec names"),
    "base64": (
        lambda study: replace(study, files={**study.files, "models/0/x.json": Content("base64", "!")}),
        "damaged file",
    ),
    "option": (lambda study: replace(study, given="--store=/etc"), "from no path"),
    "digest": (lambda study: replace(study, planned=("../../x",)), "planned"),
    "moment": (lambda study: replace(study, last="\x1b[2J"), "last"),
}  # fmt: skip
"""Changes under a key that fits, as whoever knows the format makes them."""


@pytest.mark.parametrize("name", FITTING)
def test_a_study_that_leads_out_of_its_store_is_refused(
    kept: KeptStudy, tmp_path: Path, scratch: Path, name: str
) -> None:
    edit, message = FITTING[name]
    store = Store(tmp_path / "results", create=True)
    write(store.path, edit(kept))
    refused(store.path, message)
    assert not (tmp_path / "evil").exists() and {path.name for path in tmp_path.iterdir()} == {
        "results",
        "scratch",
    }


def write(store: Path, study: KeptStudy, **more: Any) -> Path:
    """Write a study's file as it is, without asking whether it may be."""
    (store / STUDIES).mkdir(exist_ok=True)
    try:
        key = study.key
    except ValueError:
        key = "0" * 32
    path = store / STUDIES / f"{key}.json"
    path.write_text(json.dumps({"format": 1, **asdict(study), **more}))
    return path


def refused(store: Path, message: str) -> None:
    done = call_bench("verify", store, TRUST)
    assert done.returncode in (1, 2) and message in done.stderr, done.stdout + done.stderr
    assert "fix:" in done.stderr and "Traceback" not in done.stderr and "\x1b" not in done.stderr
    assert str(store) in done.stderr


DAMAGES: dict[str, Callable[[Path], object]] = {
    "edited": lambda path: path.write_text(path.read_text().replace("epochs: 6", "epochs: 9")),
    "other key": lambda path: path.rename(path.with_name("0" * 32 + ".json")),
    "link": lambda path: (path.rename(path.parents[2] / "real"), path.symlink_to(path.parents[2] / "real")),
    "deep": lambda path: path.write_bytes(DEEP),
    "list": lambda path: path.write_text("[]"),
    "cut": lambda path: path.write_text(path.read_text()[:100]),
    "nan": lambda path: path.write_text('{"format": NaN}'),
    "newer": lambda path: path.write_text('{"format": 2}'),
    "no spec": lambda path: path.write_text('{"format": 1, "name": "small"}'),
    "folder": lambda path: (path.unlink(), path.mkdir()),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_study_is_named_by_all_who_need_it_and_bothers_no_one_else(
    kept: KeptStudy, tmp_path: Path, scratch: Path, name: str
) -> None:
    store = Store(tmp_path / "results", create=True)
    DAMAGES[name](write(store.path, kept))
    refused(store.path, STUDIES)
    found = said("merge", store.path, "--out", tmp_path / "out")
    assert len(found["notes"]) == 1 and "what was run is not taken" in found["notes"][0]
    assert call_bench("ls", "--store", store.path).returncode == call_bench("ls").returncode


def test_jobs_that_the_kept_spec_does_not_plan_are_a_finding(
    kept: KeptStudy, store: Path, scratch: Path
) -> None:
    """Whoever edits the kept spec and makes its key fit meets the jobs that were planned, or no result."""
    shutil.rmtree(store / STUDIES)
    fewer = replace(kept, planned=kept.planned[:-1])
    write(store, fewer)
    found = said("verify", store, TRUST, code=1)
    (digest,) = [item for item in found["checks"] if item["name"] == "digest"]
    assert "the spec plans 15 jobs, the store says that it planned 14" in digest["findings"][0]["message"]
    shutil.rmtree(store / STUDIES)
    write(store, in_spec("epochs: 6", "epochs: 5")(kept))
    assert said("verify", store, TRUST, code=1)["jobs"]["done"] < 15


def test_merging_carries_what_was_run(kept: KeptStudy, store: Path, tmp_path: Path) -> None:
    other = Store(tmp_path / "other", create=True)
    write(other.path, replace(kept, first="2020-01-01T00:00:00Z", last="2020-01-01T00:00:00Z"))
    write(other.path, replace(kept, name="another"))
    assert said("merge", store, other.path, "--out", tmp_path / "out")["notes"] == []
    found, damaged = kept_studies(tmp_path / "out")
    assert not damaged and {study.name for study in found.values()} == {"small", "another"}
    assert found[kept.key].first == "2020-01-01T00:00:00Z" and found[kept.key].last > "2021"


def test_what_cannot_be_kept_stops_no_run_that_has_nothing_to_write(
    verified_study: Finished, tmp_path: Path
) -> None:
    copy = tmp_path / "results"
    shutil.copytree(verified_study.store, copy, ignore=shutil.ignore_patterns("cache"))
    (copy / STUDIES).write_text("in the way")
    words = ("run", verified_study.path, "--set", STOPPING, "--store", copy)
    assert call_bench(*words).returncode == 0 and kept_studies(copy) == ({}, {})
    assert call_bench("run", verified_study.path, "--store", tmp_path / "none", "--only", "fold=9").returncode
    assert not (tmp_path / "none").exists()
