"""Time, memory and devices of a worker: what does not fit is left to others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench_core.declarations import JobEvent
from bench_core.errors import BenchError
from bench_core.execute.duty import Duty
from bench_core.execute.executor import Assignment, Ended, Message
from bench_core.execute.known import Known
from bench_core.execute.limits import MARGIN_SECONDS, Limits, seconds_until, size_in_bytes
from bench_core.execute.progress import RunProgress
from bench_core.execute.queue import Order
from bench_core.execute.run import run_jobs
from bench_core.plan.expand import Plan
from bench_core.spec.load import LoadedSpec
from bench_core.store.store import Store
from tests.helpers.fake_executor import FakeExecutor
from tests.helpers.small_study import load, run


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[LoadedSpec, Plan]:
    return load(tmp_path_factory.mktemp("spec"), models="[dots-net, slow-net]", epochs=2)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results", create=True)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("3h50m", 13800), ("90m", 5400), ("45s", 45), ("1h0m5s", 3605), ("23:30", 41400), ("11:59", 86340)],
)
def test_a_deadline_is_a_duration_or_a_time(text: str, seconds: int) -> None:
    assert seconds_until(text, datetime(2026, 1, 2, 12, 0)) == seconds


@pytest.mark.parametrize(
    "text", ["", "3", "h", "24:00", "3h50", "-5m", "1d", "12:5", "3h 50m", "9" * 99 + "h", "３h", "1２:30"]
)
def test_what_is_no_time_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(BenchError, match="is not a time") as caught:
        seconds_until(text, datetime(2026, 1, 2))
    assert "3h50m" in (caught.value.fix or "")


@given(st.integers(0, 99_999), st.integers(0, 999_999), st.integers(0, 9_999))
def test_durations_add_up(hours: int, minutes: int, seconds: int) -> None:
    text = f"{hours}h{minutes}m{seconds}s"
    assert seconds_until(text, datetime(2026, 1, 2)) == hours * 3600 + minutes * 60 + seconds


@pytest.mark.parametrize(
    ("text", "size"), [("40GB", 40 * 10**9), ("24GiB", 24 * 2**30), ("0.5 TB", 5 * 10**11), ("10B", 10)]
)
def test_a_size_has_a_unit(text: str, size: int) -> None:
    assert size_in_bytes(text, "--memory") == size


@pytest.mark.parametrize("text", ["40", "GB", "40 G", "-1GB", "1e9B", "nanGB"])
def test_a_size_without_one_is_refused(text: str) -> None:
    with pytest.raises(BenchError, match="--memory"):
        size_in_bytes(text, "--memory")


def worker(plan: Plan, store: Store, limits: Limits, play: Any = None) -> tuple[RunProgress, FakeExecutor]:
    executor = FakeExecutor(play or (lambda digest: [Ended(digest, "done")]), 1)
    duty = Duty(token="a", retried={}, most_deaths=3, limits=limits)
    return run_jobs(plan.jobs, store, Order(), executor, lambda *_: None, duty), executor


def test_a_job_runs_where_its_memory_and_devices_are(study: Any, store: Store) -> None:
    _, plan = study
    first, second, third, *others = [job.digest for job in plan.jobs]
    asked = {first: (40, 1), second: (24, 1), third: (None, 2)}
    limits = Limits(memory=24, needs=lambda digest: asked.get(digest, (None, 1)))
    progress, executor = worker(plan, store, limits)
    assert set(executor.started) == {second, *others}
    assert progress[first].status == progress[third].status == "todo", "they are left to others"
    assert progress[first].barred == "it needs 40 B of memory, and this worker has 24 B"
    assert progress[third].barred == "it needs 2 devices, and this worker has 1"
    assert worker(plan, store, replace(limits, memory=None, devices=2))[0].counts() == {"done": 6}


def test_measured_memory_counts_where_none_is_declared(study: Any, store: Store) -> None:
    loaded, plan = study
    done, *others = plan.jobs
    run(done, store, loaded.registry)
    needed = store.result(done.digest).peak_memory_bytes
    assert needed > 0
    slow = {job.digest for job in plan.jobs if job.model.name == "slow-net"}
    _, executor = worker(plan, store, Limits(memory=needed - 1))
    assert set(executor.started) == slow, "nothing is known of the other network"
    _, executor = worker(plan, store, Limits(memory=needed))
    assert {job.digest for job in others} <= {*executor.started, *slow}


def test_what_took_too_much_memory_is_left_at_once_with_all_that_need_it(
    tmp_path: Path, store: Store
) -> None:
    loaded, plan = load(tmp_path / "spec", epochs=1, search=True)
    first, *others = plan.jobs
    run(first, store, loaded.registry)
    # Its evaluate jobs wait for a search job that nobody else runs: they take as much.
    progress, executor = worker(plan, store, Limits(memory=1))
    assert executor.started == [] and progress.counts() == {"done": 1, "todo": len(others)}
    assert all("and this worker has 1 B" in progress[job.digest].barred for job in others)


def test_a_wait_for_what_nobody_runs_is_told_once(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, plan = load(tmp_path / "spec", epochs=1, search=True)
    heard, executor = list[str](), FakeExecutor(lambda digest: [], 1)

    def watch(_: RunProgress, item: Any) -> None:
        if item is None and heard:
            # Here the time is over that it waits.
            monkeypatch.setattr("bench_core.execute.board.STALL_SECONDS", -1.0)
        heard.extend([item.text] if item else [])

    duty = Duty(token="a", retried={}, may=lambda job: job.stage == "evaluate")
    progress = run_jobs(plan.jobs, store, Order(), executor, watch, duty)
    assert executor.started == [] and progress.counts() == {"todo": len(plan.jobs)}
    (text,) = heard
    assert "nobody works on" in text and "10 min" in text


def test_what_cannot_end_an_epoch_is_not_begun(study: Any, store: Store) -> None:
    _, plan = study
    progress = RunProgress(plan.jobs)
    progress[plan.jobs[0].digest].unit_seconds = 100.0
    known = Known(store, progress, "cpu")
    like, other = plan.jobs[1], next(job for job in plan.jobs if job.model.name == "slow-net")
    assert known.epoch_seconds(like) == 100.0 and known.epoch_seconds(other) is None
    for left, fits, tried in [(1000, True, True), (100, False, True), (119, False, True), (121, True, True),
                              (MARGIN_SECONDS, False, False)]:  # fmt: skip
        limits = Limits(deadline=500.0 + left, clock=lambda: 500.0)
        assert limits.fits(like, known) == fits and limits.fits(other, known) == tried


def test_finished_jobs_tell_how_long_an_epoch_takes(study: Any, store: Store) -> None:
    loaded, plan = study
    run(plan.jobs[0], store, loaded.registry)
    progress = RunProgress(plan.jobs)
    progress[plan.jobs[0].digest].status = "done"
    history = store.result(plan.jobs[0].digest).training.history
    times = [record.train_seconds + record.validation_seconds for record in history]
    assert Known(store, progress, "cpu").epoch_seconds(plan.jobs[1]) == pytest.approx(sum(times) / 2)
    assert Known(store, progress, "cuda").epoch_seconds(plan.jobs[1]) is None, "of another kind of device"


class Slow(FakeExecutor):
    """Its jobs never end by themselves; a message comes at a time."""

    def __init__(self, messages: Sequence[Any]) -> None:
        super().__init__(lambda digest: (), 1)
        self._messages = list(messages)
        self.running: list[str] = []

    def free(self) -> int:
        return 1 - len(self.running)

    def start(self, assignment: Assignment) -> str:
        self.started.append(assignment.digest)
        self.running.append(assignment.digest)
        return "cpu"

    def hear(self, timeout: float) -> Sequence[Message]:
        return [self._messages.pop(0)(self.running[0])] if self._messages else []

    def stop(self, *, kill: bool = False) -> None:
        self.running.clear()

    def stopped(self, timeout: float) -> bool:
        return not self.running


def test_at_the_deadline_a_job_is_given_back_and_the_worker_ends_well(study: Any, store: Store) -> None:
    _, plan = study
    now = [0.0]
    executor, heard = Slow([]), list[str]()

    def watch(_: RunProgress, item: Any) -> None:
        now[0] += 1.0
        heard.extend([item.kind] if item else [])

    duty = Duty(token="a", retried={}, limits=Limits(deadline=100.0, clock=lambda: now[0]))
    progress = run_jobs(plan.jobs, store, Order(), executor, watch, duty)
    assert len(executor.started) == 1 and executor.running == [] and heard == ["given back"]
    assert progress.counts() == {"todo": 6} and 100 <= now[0] < 110


def test_an_epoch_that_cannot_end_is_not_begun_either(
    study: Any, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, plan = study
    now = [0.0]
    monkeypatch.setattr("bench_core.execute.progress.time.monotonic", lambda: now[0])

    def epoch(number: int) -> Any:
        def message(digest: str) -> JobEvent:
            now[0] += 30.0
            return JobEvent(kind="epoch", digest=digest, epoch=number, epochs=9)

        return message

    executor = Slow([epoch(0), epoch(1), epoch(2), epoch(3)])
    duty = Duty(token="a", retried={}, limits=Limits(deadline=100.0, clock=lambda: now[0]))
    jobs = [job for job in plan.jobs if job.model.name == "dots-net"]
    long = [
        replace(job, work=replace(job.work, training=job.training.model_copy(update={"epochs": 9})))
        for job in jobs
    ]
    progress = run_jobs(long, store, Order(), executor, lambda *_: None, duty)
    assert now[0] == 60.0, "it ends 40 s early: an epoch takes 30 s and more"
    assert progress[executor.started[0]].done == 2
