"""Merging: whole jobs of several stores in one, nothing overwritten, nothing believed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench_core.store import archive
from bench_core.store import folder as files
from bench_core.store import merge as merging
from bench_core.store.accepted import Acceptance, add_acceptance, read_accepted
from bench_core.store.manifest import manifest_of, write_manifest
from bench_core.store.store import Store
from bench_core.store.studies import kept_studies
from bench_core.store.taking import claiming
from tests.cli.test_damaged_store import DEEP
from tests.helpers.archives import rewritten
from tests.helpers.bench import call_bench
from tests.helpers.fake_study import write_study
from tests.helpers.forgeries import counts, halved, result, sealed
from tests.helpers.forgery_list import other_hardware
from tests.helpers.verified_study import STOPPING, Finished

ONE, OTHER = "evaluate/heavy/dots/fold-1", "evaluate/pairs/dots/fold-0"


@pytest.fixture
def halves(verified_study: Finished, tmp_path: Path) -> tuple[Path, Path]:
    """Two stores: one without the jobs of `pairs`, one with these and the job ONE alone."""
    jobs = {item.job.name: item.job.digest for item in verified_study.audit().subjects}
    theirs = {digest for name, digest in jobs.items() if "/pairs/" in name}
    first = part(verified_study.store, tmp_path / "first", set(jobs.values()) - theirs)
    return first, part(verified_study.store, tmp_path / "second", theirs | {jobs[ONE]})


def part(store: Path, target: Path, digests: Iterable[str]) -> Path:
    shutil.copytree(store, target, ignore=shutil.ignore_patterns("cache", "jobs"))
    for digest in digests:
        shutil.copytree(store / "jobs" / digest, target / "jobs" / digest)
    return target


def merged(*words: str | Path, code: int = 0) -> Any:
    done = call_bench("merge", *words, "--json")
    assert done.returncode == code, done.stdout + done.stderr
    return json.loads(done.stdout)


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_two_halves_are_the_whole_store(
    verified_study: Finished, halves: tuple[Path, Path], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    dry = merged(*halves, "--out", out, "--dry-run")
    assert list(dry["taken"].values()) == [10, 5] and not out.exists()
    found = merged(*halves, "--out", out)
    assert (list(found["taken"].values()), found["present"], found["alike"]) == ([10, 5], 0, 1)
    assert content(out / "jobs") == content(verified_study.store / "jobs")
    assert content(out / "datasets") == content(verified_study.store / "datasets")
    again = merged(*reversed(halves), "--out", out)
    assert list(again["taken"].values()) == [0, 0] and again["present"] == 15
    # A store takes what it lacks from another.
    into = merged(*halves, "--out", halves[0])
    assert list(into["taken"].values()) == [5] and content(halves[0] / "jobs") == content(out / "jobs")


def test_a_merge_that_was_cut_off_resumes(
    verified_study: Finished, halves: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, copy, left = tmp_path / "out", merging._copy, iter(range(40))

    def cut_off(*arguments: Any) -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt
        copy(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(merging, "_copy", cut_off)
        done = call_bench("merge", *halves, "--out", out)
    assert done.returncode == 130
    there = len(list((out / "jobs").iterdir()))
    assert 0 < there < 10 and list((out / merging.MERGING).iterdir())
    found = merged(*halves, "--out", out)
    assert found["present"] == there and sum(found["taken"].values()) == 15 - there
    assert content(out / "jobs") == content(verified_study.store / "jobs")
    assert not list((out / merging.MERGING).iterdir())


def test_a_job_with_two_contents_is_taken_from_the_store_that_is_preferred_alone(
    verified_study: Finished, halves: tuple[Path, Path], tmp_path: Path
) -> None:
    first, second = halves
    digest, out = verified_study.job(ONE).digest, tmp_path / "out"
    job = second / "jobs" / digest
    counts(job, lambda found, rows: halved(found, rows))
    result(job, other_hardware)
    result(job, lambda data: data.update(basis={"plugin plugin": "a" * 64}))
    sealed([job])
    (conflict,) = merged(first, second, "--out", out, code=1)["conflicts"]
    assert conflict["job"] == ONE and conflict["places"] == [str(first / "jobs" / digest), str(job)]
    said = " ".join(conflict["differences"])
    assert "pixel counts (micro mDSC" in said and "plugin plugin:" in said and "packages.torch" in said
    assert "label maps" not in said and not (out / "jobs" / digest).exists()
    assert len(list((out / "jobs").iterdir())) == 14, "all others are taken"
    told = call_bench("merge", first, second, "--out", out)
    assert told.returncode == 1 and f"--prefer {first}" in told.stderr
    merged(first, second, "--out", out, "--prefer", second)
    assert content(out / "jobs" / digest) == content(job)
    # What a store holds already stays, unless another is preferred; and is kept even then.
    found = merged(first, "--out", out, code=1)
    assert found["conflicts"][0]["places"] == [str(out / "jobs" / digest), str(first / "jobs" / digest)]
    assert merged(first, "--out", out, "--prefer", out)["conflicts"] == []
    assert content(out / "jobs" / digest) == content(job)
    (kept,) = merged(first, "--out", out, "--prefer", first)["replaced"]
    assert content(Path(kept)) == content(job)
    assert content(out / "jobs" / digest) == content(first / "jobs" / digest)
    assert call_bench("merge", first, "--out", out, "--prefer", second).returncode == 2


def test_equal_numbers_of_two_runs_are_a_conflict_that_says_so(
    verified_study: Finished, halves: tuple[Path, Path], tmp_path: Path
) -> None:
    job = halves[1] / "jobs" / verified_study.job(ONE).digest
    result(job, lambda data: data.update(seconds=data["seconds"] + 1))
    sealed([job])
    (conflict,) = merged(*halves, "--out", tmp_path / "out", code=1)["conflicts"]
    assert conflict["differences"][0] == "the numbers are the same"
    assert conflict["differences"][1].startswith("seconds: ")


def test_other_data_code_and_descriptions_are_told(
    verified_study: Finished, halves: tuple[Path, Path], tmp_path: Path
) -> None:
    first, second = halves
    digest = verified_study.job(OTHER).digest
    job = second / "jobs" / digest
    result(job, lambda data: data["data"].update(fingerprint="f" * 64))
    result(job, lambda data: data.update(basis={"plugin plugin": "a" * 64}))
    sealed([job])
    (path,) = (second / "datasets").iterdir()
    path.write_text(path.read_text().replace('"attributes":{}', f'"attributes":{{"part":{[1] * 36}}}'))
    accepted = Acceptance(
        "2026-01-01T00:00:00+00:00", "me", "a comment", {digest: {"data": ("f" * 64, "a" * 64)}}
    )
    add_acceptance(second, accepted)
    notes = " ".join(merged(first, second, "--out", tmp_path / "out")["notes"])
    assert "the data of dots are not the same in all results" in notes and "f" * 12 in notes
    assert "plugin plugin of pairs is not the same" in notes and "describes dots otherwise" in notes
    assert "accepted" in notes and read_accepted(tmp_path / "out") == (accepted,)
    assert 'attributes":{}' in (tmp_path / "out" / "datasets" / path.name).read_text()
    merged(first, second, "--out", tmp_path / "out")
    assert read_accepted(tmp_path / "out") == (accepted,), "taken once"


@pytest.mark.parametrize("name", ["data", "needed data"])
def test_different_datasets_of_one_model_are_no_difference(tmp_path: Path, name: str) -> None:
    study = write_study(
        tmp_path / "study",
        keep=lambda job: job.stage == "search",
        change=lambda job, found: replace(found, basis={name: found.data.fingerprint}),
    )
    found = merged(study.store.path, "--out", tmp_path / "out")
    assert sum(found["taken"].values()) == 27 and found["notes"] == []


def test_a_job_that_another_process_works_on_waits(
    verified_study: Finished, halves: tuple[Path, Path], tmp_path: Path
) -> None:
    out = Store(tmp_path / "out", create=True)
    with claiming(out.claims, verified_study.job(OTHER).digest) as claim:
        assert claim is not None
        assert merged(*halves, "--out", out.path, code=1)["busy"] == [OTHER]
    assert sum(merged(*halves, "--out", out.path)["taken"].values()) == 1


def linked(folder: Path) -> None:
    (folder / files.COUNTS).unlink()
    (folder / files.COUNTS).symlink_to("/etc/hostname")


def nested(folder: Path) -> None:
    (folder / "records").mkdir()
    (folder / "records" / "x.csv").write_text("a\n1\n")
    write_manifest(folder, [*manifest_of(folder), "records/x.csv"])
    shutil.move(folder / "records", folder / "elsewhere")
    (folder / "records").symlink_to(folder / "elsewhere", target_is_directory=True)


def outside(folder: Path) -> None:
    data = json.loads((folder / files.MANIFEST).read_text())
    data["files"]["../../../evil"] = data["files"][files.JOB]
    (folder / files.MANIFEST).write_text(json.dumps(data))


def named(name: str, edit: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        result(folder, edit, name)
        sealed([folder])

    return change


def written(name: str, text: str, fitting: bool = True) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        listed = list(manifest_of(folder))
        (folder / name).write_text(text)
        if fitting:
            write_manifest(folder, listed)

    return change


BROKEN: dict[str, Callable[[Path], object]] = {
    "plain edit": written(files.COUNTS, "id", fitting=False),
    "no file": lambda folder: (folder / files.BEST).unlink(),
    "no manifest": lambda folder: (folder / files.MANIFEST).unlink(),
    "manifest outside": outside,
    "huge manifest": lambda folder: (folder / files.MANIFEST).write_text("[" * 10**6),
    "link": linked,
    "linked folder": nested,
    "log": lambda folder: (folder / files.LOG).write_text("x"),
    "other settings": named(files.JOB, lambda data: data.update(seed=7)),
    "other digest": named(files.RESULT, lambda data: data.update(digest="0" * 32)),
    "other format": named(files.RESULT, lambda data: data.update(format=99)),
    "nan": written(files.RESULT, '{"format": NaN}'),
    "deep": lambda folder: (folder / files.RESULT).write_bytes(DEEP),
    "counts": written(files.COUNTS, "id,group,class,tp,fp,fn\na,b,c,-1,x,9e999\n"),
    "hash of the result": lambda folder: (
        counts(folder, lambda found, rows: halved(found, rows)),
        write_manifest(folder, list(manifest_of(folder))),
    ),
}


@pytest.mark.parametrize("preferred", [False, True])
def test_a_job_that_is_done_meanwhile_stays_and_is_named(
    halves: tuple[Path, Path], tmp_path: Path, preferred: bool
) -> None:
    source, target = Store(halves[1]), Store(tmp_path / "target", create=True)
    digest, *others = (path.name for path in source.jobs.iterdir())
    for other in others:
        shutil.rmtree(source.folder(other))
    log = target.folder(digest) / files.LOG
    if preferred:
        copied = shutil.copytree(source.folder(digest), target.folder(digest))
        result(copied, lambda data: data.update(seconds=1234.5))
        sealed([copied])

    def progress(number: int, count: int) -> None:
        if number == count - 1:
            shutil.rmtree(target.folder(digest), ignore_errors=True)
            shutil.copytree(source.folder(digest), target.folder(digest))
            log.write_text("mine")

    found = merging.merge([source], target, source if preferred else None, progress=progress)
    assert [refused.error.message for refused in found.refused] == [
        "the job was done while stores were merged"
    ]
    assert log.read_text() == "mine" and not found.replaced


@pytest.mark.parametrize("name", BROKEN)
def test_a_job_that_is_not_whole_is_named_and_not_taken(
    verified_study: Finished, halves: tuple[Path, Path], tmp_path: Path, name: str
) -> None:
    folder = halves[1] / "jobs" / verified_study.job(OTHER).digest
    BROKEN[name](folder)
    out = tmp_path / "out"
    found = merged(*halves, "--out", out, code=1)
    (refused,) = found["refused"]
    assert refused["folder"] == str(folder) and refused["fix"] and sum(found["taken"].values()) == 14
    assert not (out / "jobs" / folder.name).exists() and not (tmp_path.parent / "evil").exists()
    told = call_bench("merge", *halves, "--out", out)
    assert told.returncode == 1 and "not taken:" in told.stderr and "Traceback" not in told.stderr


def test_what_is_no_store_is_refused(halves: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "zip.zip").write_bytes(b"PK\3\4")
    (tmp_path / "file").write_text("x")
    other = replace_format(halves[1])
    for path in (tmp_path / "empty", tmp_path / "gone", tmp_path / "zip.zip", tmp_path / "file", other):
        done = call_bench("merge", halves[0], path, "--out", tmp_path / "out")
        assert done.returncode == 2 and path.name in done.stderr and "fix:" in done.stderr
    assert not (tmp_path / "out").exists()


def replace_format(store: Path) -> Path:
    (store / "store.json").write_text('{"format": 99}')
    return store


def test_an_archive_is_a_store_to_merge_where_it_leaves_nothing_out(
    verified_study: Finished, halves: tuple[Path, Path], tmp_path: Path
) -> None:
    spec, out = (verified_study.path, "--set", STOPPING), tmp_path / "out"
    whole = tmp_path / "whole.zip"
    pack = ("export", "--archive", whole, *spec, "--store", verified_study.store, "--images", "--weights")
    assert call_bench(*pack).returncode == 0
    found = merged(halves[0], whole, "--out", out)
    assert found["taken"] == {str(halves[0]): 10, f"{whole}": 5} and found["alike"] == 10
    assert content(out / "jobs") == content(verified_study.store / "jobs")
    assert content(out / "datasets") == content(verified_study.store / "datasets")
    # What was run comes along, at the time that its jobs say, and is read like that of any store.
    (study,) = kept_studies(out)[0].values()
    assert study.name == "small" and "2020" < study.first < study.last and study.given == "whole.zip"
    verified = call_bench("verify", out, "--trust-code", "--digest", archive.read_manifest(whole).study)
    assert verified.returncode == 0, verified.stdout
    # One that leaves files out cannot fill a store; one that was changed is not unpacked.
    part = tmp_path / "part.zip"
    assert call_bench("export", "--archive", part, *spec, "--store", verified_study.store).returncode == 0
    done = call_bench("merge", part, "--out", tmp_path / "other")
    assert done.returncode == 2 and "30 files of its jobs" in done.stderr and "--weights" in done.stderr
    assert not (tmp_path / "other").exists()
    damaged = rewritten(whole, tmp_path / "x.zip", lambda m, _: m.pop("plan.json"), fitting=False)
    assert "the archive is damaged" in call_bench("merge", damaged, "--out", tmp_path / "other").stderr


def test_a_forged_job_of_an_archive_is_refused_or_a_conflict(
    verified_study: Finished, tmp_path: Path
) -> None:
    spec, out = (verified_study.path, "--set", STOPPING), tmp_path / "out"
    digest = verified_study.job(ONE).digest
    store = part(verified_study.store, tmp_path / "store", [digest])
    sound, forged = tmp_path / "sound.zip", tmp_path / "forged.zip"
    call_bench("export", "--archive", sound, *spec, "--store", store, "--images", "--weights")

    def edit(members: dict[str, bytes], manifest: dict[str, Any]) -> None:
        members[f"results/jobs/{digest}/counts.csv"] += b" "

    (refused,) = merged(rewritten(sound, forged, edit), "--out", out, code=1)["refused"]
    assert refused["place"].startswith(f"{forged}: results/jobs/{digest}") and refused["fix"]
    counts(store / "jobs" / digest, lambda found, rows: halved(found, rows))
    sealed([store / "jobs" / digest])
    (conflict,) = merged(store, sound, "--out", out, code=1)["conflicts"]
    assert conflict["places"][1] == f"{sound}: results/jobs/{digest}"
    assert merged(store, sound, "--out", out, "--prefer", sound)["taken"][str(sound)] == 1
    assert content(out / "jobs" / digest) == content(verified_study.store / "jobs" / digest)
