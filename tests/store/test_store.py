from __future__ import annotations

import errno
import math
import os
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench_core.errors import StoreError
from bench_core.plan.job import Job
from bench_core.records import Case, Counts, DataFacts, EpochRecord, NetworkFacts, TrainingRecord
from bench_core.store.files import DiskError, disk_error, write_json
from bench_core.store.find import UnknownJobError, find_jobs
from bench_core.store.result import Failure, Result
from bench_core.store.store import Store
from bench_core.store.taking import take_claim
from tests.helpers.small_study import load, with_digest


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    return load(tmp_path_factory.mktemp("spec"))[1].jobs[0]


def make_result(job: Job, **changes: Any) -> Result:
    record = EpochRecord(0, 0.01, 0.7, {"miou": 0.25, "mprecision": math.nan}, 1.5, 0.5)
    result = Result(
        digest=job.digest,
        data=DataFacts("f", "h", 3, 3, 1, 1, 1),
        training=TrainingRecord(0.01, {"0.01": 0.25, "0.1": math.nan}, (record,), 1, 0, "miou", 0.25),
        network=NetworkFacts(parameters=5),
        provenance={"packages": {"torch": "2"}},
    )
    return replace(result, **changes)


def make_counts(names: tuple[str, ...] = ("a", "b")) -> Counts:
    values = np.arange(len(names) * 3, dtype=np.int64).reshape(len(names), 1, 3)
    return Counts(names, tuple(f"group of {name}" for name in names), ("dot",), values)


def make_case() -> Case:
    image = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    return Case("a", "best", 0.5, image, image[..., 0], image[..., 1])


def test_a_sealed_job_reads_back_as_written(tmp_path: Path, job: Job) -> None:
    store = Store(tmp_path / "results", create=True)
    folder = store.write(job, make_result(job), make_counts(), [make_case()])
    again = Store(tmp_path / "results")
    assert folder == again.folder(job.digest)
    assert again.states() == {job.digest: "done"}
    assert again.job(job.digest) == job
    read, written = again.result(job.digest), make_result(job)
    assert math.isnan(read.training.candidates["0.1"])
    assert math.isnan(read.training.history[0].validation["mprecision"])
    assert set(read.files) == {"counts.csv", "cases.npz"}
    assert repr(replace(read, files={})) == repr(written)
    counts = again.counts(job.digest)
    assert (counts.ids, counts.groups, counts.classes) == (("a", "b"), ("group of a", "group of b"), ("dot",))
    np.testing.assert_array_equal(counts.values, make_counts().values)
    (case,) = again.cases(job.digest)
    assert (case.id, case.rank, case.dice) == ("a", "best", 0.5)
    np.testing.assert_array_equal(case.image, make_case().image)
    again.check(job.digest)


@settings(max_examples=25, deadline=None)
@given(
    names=st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), min_size=1),
    data=st.data(),
)
def test_counts_survive_any_sample_name(
    tmp_path_factory: pytest.TempPathFactory, job: Job, names: list[str], data: st.DataObject
) -> None:
    number = st.integers(0, 2**53)
    row = st.lists(number, min_size=3, max_size=3)
    values = np.array([[data.draw(row)] for _ in names], dtype=np.int64)
    counts = Counts(tuple(names), tuple(reversed(names)), ("dot",), values)
    store = Store(tmp_path_factory.mktemp("store") / "s", create=True)
    store.write(job, make_result(job), counts)
    read = store.counts(job.digest)
    assert (read.ids, read.groups) == (counts.ids, counts.groups)
    np.testing.assert_array_equal(read.values, values)


def test_a_folder_that_does_not_exist_is_an_empty_store(tmp_path: Path, job: Job) -> None:
    store = Store(tmp_path / "none")
    assert store.states() == {} and store.state(job.digest) == "todo"
    assert not (tmp_path / "none").exists()


def test_a_foreign_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(StoreError, match="not a folder of results"):
        Store(tmp_path, create=True)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_another_format_is_refused(tmp_path: Path) -> None:
    write_json(tmp_path / "store.json", {"format": 99})
    with pytest.raises(StoreError, match="format 99"):
        Store(tmp_path)


@pytest.mark.parametrize("name", ["job.json", "result.json", "counts.csv", "cases.npz"])
@pytest.mark.parametrize("damage", ["truncate", "garble", "remove"])
def test_damage_is_named_with_the_command_that_mends_it(
    tmp_path: Path, job: Job, name: str, damage: str
) -> None:
    store = Store(tmp_path / "results", create=True)
    folder = store.write(job, make_result(job), make_counts(), [make_case()])
    path = folder / name
    if damage == "truncate":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif damage == "garble":
        path.write_bytes(b"\xff\x00garbled" * 3)
    else:
        path.unlink()
    read = {
        "job.json": store.job,
        "result.json": store.result,
        "counts.csv": store.counts,
        "cases.npz": store.cases,
    }[name]
    for reader in (read, store.check):
        with pytest.raises(StoreError) as caught:
            reader(job.digest)
        assert name in str(caught.value)
    if name != "job.json" or damage != "remove":
        assert f"rm -r {shlex.quote(str(folder))}" in str(caught.value.fix)


def test_a_result_with_an_unknown_format_is_refused(tmp_path: Path, job: Job) -> None:
    store = Store(tmp_path / "results", create=True)
    store.write(job, make_result(job, format=7), make_counts())
    with pytest.raises(StoreError, match=r"result\.json"):
        store.result(job.digest)


def test_a_full_disk_leaves_the_old_file_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "facts.json"
    write_json(path, {"value": 1})

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DiskError, match="cannot write") as caught:
        write_json(path, {"value": 2})
    assert caught.value.cause == "the disk is full" and "space" in str(caught.value.fix)
    assert '"value": 1' in path.read_text()
    assert [entry.name for entry in tmp_path.iterdir()] == ["facts.json"]


def test_a_file_in_place_of_a_folder_is_a_clear_error(tmp_path: Path) -> None:
    store = tmp_path / "results"
    Store(store, create=True)
    (store / "claims").rmdir()
    (store / "claims").write_text("in the way")
    with pytest.raises(DiskError, match="cannot write") as caught:
        Store(store, create=True)
    assert caught.value.cause == "a file lies where a folder is needed"


def test_a_full_disk_is_recognized_behind_another_error() -> None:
    inner = OSError(errno.ENOSPC, "No space left on device")
    outer = StoreError("the trace cannot be written")
    outer.__cause__ = inner
    found = disk_error(outer, Path("results"))
    assert found is not None and found.cause == "the disk is full"
    assert disk_error(FileNotFoundError(errno.ENOENT, "gone"), Path("results")) is None


def test_failures_are_kept_with_their_log(tmp_path: Path, job: Job) -> None:
    store = Store(tmp_path / "results", create=True)
    folder = store.prepare(job)
    (folder / "log.txt").write_text("it went wrong\n")
    failure = Failure(job.digest, job.name, "TrainingError", "loss is NaN", fix="a smaller rate", attempts=2)
    store.fail(job, failure)
    assert store.state(job.digest) == "failed" and store.states() == {job.digest: "failed"}
    assert store.failure(job.digest) == failure
    log = store.log_path(job.digest)
    assert log is not None and log.read_text() == "it went wrong\n"
    assert not folder.exists(), "its state is dropped"
    store.write(job, make_result(job), make_counts())
    assert store.states() == {job.digest: "done"} and store.failure(job.digest) is None


def test_a_resumable_failure_keeps_the_state(tmp_path: Path, job: Job) -> None:
    store = Store(tmp_path / "results", create=True)
    folder = store.prepare(job)
    (folder / "state-0.pt").write_bytes(b"state")
    store.fail(job, Failure(job.digest, job.name, "WorkerDied", "killed", resumable=True))
    assert (folder / "state-0.pt").exists()


def test_sealing_takes_only_what_the_manifest_lists(tmp_path: Path, job: Job) -> None:
    store = Store(tmp_path / "results", create=True)
    folder = store.prepare(job)
    (folder / "state-0.pt").write_bytes(b"state")
    (folder / "best.pt").write_bytes(b"weights")
    (folder / "log.txt").write_text("line\n")
    assert not store.is_complete(job.digest)
    store.complete(job.digest, make_result(job), make_counts(), extra=["best.pt"])
    assert store.is_complete(job.digest)
    store.seal(job.digest)
    names = {path.name for path in store.folder(job.digest).iterdir()}
    expected = {"job.json", "result.json", "counts.csv", "cases.npz", "best.pt", "log.txt", "manifest.json"}
    assert names == expected


def test_a_runners_own_files_are_sealed_and_checked_as_all_others(tmp_path: Path, job: Job) -> None:
    store = Store(tmp_path / "results", create=True)
    folder = store.prepare(job)
    for name in ("runner/first/log.txt", "runner/second/log.txt", "cache/table.bin"):
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_text(name)
    logs = ["runner/first/log.txt", "runner/second/log.txt"]
    store.complete(job.digest, make_result(job), make_counts(), extra=logs)
    store.seal(job.digest)
    sealed = store.folder(job.digest)
    assert [(sealed / name).read_text() for name in logs] == logs
    assert not (sealed / "cache").exists()
    store.check(job.digest)
    (sealed / logs[1]).write_text("changed")
    with pytest.raises(StoreError) as caught:
        store.check(job.digest)
    assert caught.value.place == str(sealed / logs[1])


def test_running_outranks_failed_and_done_outranks_both(tmp_path: Path, job: Job) -> None:
    store = Store(tmp_path / "results", create=True)
    store.fail(job, Failure(job.digest, job.name, "TrainingError", "loss is NaN"))
    claim = take_claim(store.claims, job.digest)
    assert claim is not None
    assert store.states()[job.digest] == store.state(job.digest) == "running"
    store.write(job, make_result(job), make_counts())
    assert store.states()[job.digest] == store.state(job.digest) == "done"
    claim.release()


def test_stale_results_are_those_in_a_planned_place(tmp_path: Path, job: Job) -> None:
    store = Store(tmp_path / "results", create=True)
    old = with_digest(job, "0" * 32)
    elsewhere = replace(old, digest="1" * 32, fold=replace(job.fold, index=9))
    for entry in (job, old, elsewhere):
        store.write(entry, make_result(entry), make_counts())
    assert store.stale([job]) == (old,)
    assert store.stale([replace(job, work=replace(job.work, learning_rate=0.5))]) == ()


def test_jobs_are_found_by_digest_and_name(tmp_path: Path, job: Job) -> None:
    store = Store(tmp_path / "results", create=True)
    for digest in ("abcd" + "0" * 28, "abcd" + "1" * 28):
        entry = with_digest(job, digest)
        (store.prepare(entry) / "log.txt").write_text("x")
        os.utime(store.running / digest / "log.txt", (0, int(digest[4])))
    assert find_jobs(store, "abcd1") == ["abcd" + "1" * 28]
    assert find_jobs(store, job.name) == ["abcd" + "1" * 28, "abcd" + "0" * 28], "the latest first"
    with pytest.raises(UnknownJobError, match="2 jobs begin with abcd"):
        find_jobs(store, "abcd")
    with pytest.raises(UnknownJobError, match="no job") as caught:
        find_jobs(store, job.name + "x")
    assert job.name in str(caught.value.fix)


def test_states_of_many_jobs_open_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path / "results", create=True)
    for number in range(300):
        (store.jobs / f"{number:032x}").mkdir()
        (store.failed / f"{number + 200:032x}").mkdir()
        (store.failed / f"{number + 200:032x}" / "failure.json").touch()

    def refuse(*arguments: Any, **options: Any) -> Any:
        raise AssertionError("a file was opened")

    monkeypatch.setattr("io.open", refuse)
    states = store.states()
    assert len(states) == 500 and sum(state == "done" for state in states.values()) == 300
