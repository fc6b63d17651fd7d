"""Faults of machines are tried again within bounds, those of the method never."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from bench_core.execute import compute
from bench_core.execute.attempts import Attempts
from bench_core.execute.death import Tries
from bench_core.execute.duty import Duty
from bench_core.execute.executor import Ended, Lost, Message
from bench_core.execute.failures import DiedTooOftenError, describe
from bench_core.execute.job import run_job
from bench_core.execute.limits import Limits
from bench_core.execute.progress import RunProgress
from bench_core.execute.queue import Order
from bench_core.execute.run import run_jobs
from bench_core.plan.job import Job
from bench_core.protocol.run_options import RunOptions
from bench_core.spec.load import LoadedSpec
from bench_core.store.files import DiskError
from bench_core.store.result import Failure
from bench_core.store.store import Store
from bench_core.store.taking import take_claim
from tests.helpers.fake_executor import FakeExecutor
from tests.helpers.small_study import load


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[LoadedSpec, Job]:
    loaded, plan = load(tmp_path_factory.mktemp("spec"), epochs=2)
    return loaded, plan.jobs[0]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results", create=True)


DUTY = Duty(token="a", retried={}, most_deaths=3)


def begin(store: Store, job: Job, epochs: int, after: Failure | None = None) -> None:
    """Leave what a worker leaves that is killed after so many whole epochs."""
    claim = take_claim(store.claims, job.digest)
    assert claim is not None
    folder = store.prepare(job, claim)
    kept = sum(1 for _ in (folder / "trace.jsonl").open()) if (folder / "trace.jsonl").exists() else 0
    Attempts(folder).begin({}, kept, after)
    lines = [json.dumps({"epoch": epoch, "loss": 1.0, "validation": {}}) + "\n" for epoch in range(epochs)]
    (folder / "trace.jsonl").write_text("".join(lines))
    claim.release()


def work(store: Store, job: Job, script: Iterator[Any], duty: Duty = DUTY) -> tuple[RunProgress, list[str]]:
    """Let a worker run the job; each try keeps the next number of epochs and dies, or ends as told."""
    known = None if duty.retried is None else duty.retried.get(job.digest)

    def play(digest: str) -> Sequence[Message]:
        step = next(script)
        if isinstance(step, int):
            begin(store, job, step, known)
            return [Lost(digest, -9)]
        return [Ended(digest, *step)]

    heard: list[str] = []
    executor = FakeExecutor(play, 1)
    progress = run_jobs(
        [job], store, Order(), executor, lambda _, item: heard.append(item.kind) if item else None, duty
    )
    return progress, heard


def test_a_killed_worker_is_no_failure_until_it_was_the_third_without_progress(
    study: tuple[LoadedSpec, Job], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench_core.execute.run.PAUSE_SECONDS", 0.0)
    _, job = study
    progress, heard = work(store, job, iter([0, 0, ("done",)]))
    assert heard == ["again", "again", "done"] and store.failure(job.digest) is None
    # Two deaths before the first epoch, then one finished epoch: the count begins anew.
    progress, heard = work(store, job, iter([1, 1, 1, 1]))
    assert heard == ["again", "again", "again", "failed"]
    failure = store.failure(job.digest)
    assert failure is not None and failure == progress[job.digest].failure
    assert failure.fault == "infrastructure" and failure.resumable and "died 3 times" in failure.message
    assert list(store.claims.iterdir()) == []


def test_one_that_was_given_up_is_given_new_tries_by_a_new_batch_only(
    study: tuple[LoadedSpec, Job], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench_core.execute.run.PAUSE_SECONDS", 0.0)
    _, job = study
    work(store, job, iter([0, 0, 0]))
    failure = store.failure(job.digest)
    assert failure is not None
    progress, heard = work(store, job, iter([]))
    assert heard == [] and progress[job.digest].status == "failed" and progress[job.digest].failure == failure
    again = replace(DUTY, retried={job.digest: failure})
    progress, heard = work(store, job, iter([0, 0, ("done",)]), again)
    assert heard == ["again", "again", "done"]


def test_a_failure_of_the_method_is_seen_by_others_and_not_tried_again(
    study: tuple[LoadedSpec, Job], store: Store
) -> None:
    _, job = study
    failure = describe(job, ValueError("a shape"), attempts=1)
    assert failure.fault == "method" and not failure.resumable
    store.fail(job, failure)
    progress, heard = work(store, job, iter([]))
    assert progress[job.digest].status == "failed" and progress[job.digest].failure == failure
    progress, heard = work(store, job, iter([("done",)]), Duty())
    assert heard == ["done"], "the next run tries it again"


def test_a_run_on_one_machine_fails_a_job_whose_worker_died(
    study: tuple[LoadedSpec, Job], store: Store
) -> None:
    _, job = study
    _, heard = work(store, job, iter([0]), Duty())
    failure = store.failure(job.digest)
    assert heard == ["failed"] and failure is not None
    assert failure.kind == "WorkerDied" and failure.fault == "infrastructure"


def run(study: tuple[LoadedSpec, Job], store: Store, tries: Tries) -> str:
    loaded, job = study
    return run_job(job, store, loaded.registry, RunOptions(), lambda event: None, tries=tries)


def test_a_lost_file_system_is_not_the_jobs_fault(
    study: tuple[LoadedSpec, Job], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*_: object) -> None:
        raise OSError(errno.ESTALE, "Stale file handle")

    with monkeypatch.context() as patched:
        patched.setattr(compute, "open_data", lost)
        tries = Tries(most_deaths=3)
        assert [run(study, store, tries) for _ in range(2)] == ["again", "again"]
        assert store.failure(study[1].digest) is None and list(store.claims.iterdir()) == []
        with pytest.raises(OSError, match="Stale"):
            run(study, store, tries)
    failure = store.failure(study[1].digest)
    assert failure is not None and failure.fault == "infrastructure" and failure.attempts == 3
    assert run(study, store, Tries(failure, 3)) == "done"
    assert store.result(study[1].digest).attempts == 4


def test_a_job_that_killed_its_workers_is_given_up_by_whoever_takes_it_over(
    study: tuple[LoadedSpec, Job], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, job = study
    for _ in range(3):
        begin(store, job, 0)
        folder = store.place(job.digest)
        assert folder is not None
        Attempts(folder).died()
    with pytest.raises(DiedTooOftenError, match="died 3 times"):
        run(study, store, Tries(most_deaths=3))
    failure = store.failure(job.digest)
    assert failure is not None and failure.fault == "infrastructure" and failure.resumable


def test_a_full_disk_ends_the_worker_and_fails_no_job_for_others(
    study: tuple[LoadedSpec, Job], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(compute, "open_data", full)
    with pytest.raises(DiskError, match="cannot write"):
        run(study, store, Tries(most_deaths=3))
    assert store.failure(study[1].digest) is None and store.state(study[1].digest) == "todo"


def test_too_little_memory_is_told_with_how_much_there_was(study: tuple[LoadedSpec, Job]) -> None:
    _, job = study
    for error in (
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"),
    ):
        failure = describe(job, error, attempts=1, memory=24 * 10**9)
        assert failure.fault == "infrastructure" and failure.memory == 24 * 10**9
    assert describe(job, RuntimeError("shape mismatch"), attempts=1, memory=24).memory is None


@pytest.mark.parametrize(("memory", "heard"), [(24, []), (40, ["done"]), (None, [])])
def test_who_has_more_memory_tries_what_had_too_little(
    study: tuple[LoadedSpec, Job], store: Store, memory: int | None, heard: list[str]
) -> None:
    _, job = study
    store.fail(job, describe(job, MemoryError(), attempts=1, memory=24))
    duty = replace(DUTY, limits=Limits(memory=memory))
    assert work(store, job, iter([("done",)]), duty)[1] == heard


def test_failures_from_before_count_as_of_the_method() -> None:
    old = {"digest": "0" * 32, "name": "name", "kind": "WorkerDied", "message": "the worker process died"}
    assert Failure.from_json(old).fault == "method"


def test_where_job_after_job_dies_others_are_let_go_first(
    study: tuple[LoadedSpec, Job], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, job = study
    jobs = [replace(job, digest=f"{number:032x}") for number in range(6)]
    by_digest = {item.digest: item for item in jobs}
    now, starts = [0.0], list[float]()
    monkeypatch.setattr("bench_core.execute.run.time.monotonic", lambda: now[0])

    def play(digest: str) -> Sequence[Message]:
        starts.append(now[0])
        if len(starts) > 4:
            return [Ended(digest, "done")]
        begin(store, by_digest[digest], 0)
        return [Lost(digest, -9)]

    def watch(*_: object) -> None:
        now[0] += 0.5

    run_jobs(jobs, store, Order(), FakeExecutor(play, 1), watch, DUTY)
    gaps = [second - first for first, second in pairwise(starts)]
    assert all(gap < 5 for gap in (*gaps[:2], *gaps[4:])) and gaps[2] >= 60 and gaps[3] >= 120
