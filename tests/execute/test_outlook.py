"""What a run tells of jobs that workers elsewhere have, from the store alone."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from bench_core.declarations import JobEvent
from bench_core.errors import BenchError
from bench_core.execute.executor import Ended, Message, Returned, Taken, Workers
from bench_core.execute.fleet import FleetExecutor
from bench_core.execute.fleets import FleetError, FleetRecord, Manned
from bench_core.execute.outlook import LOOK_SECONDS, SHARE, Outlook
from bench_core.plan.expand import Plan
from bench_core.store.result import Failure
from bench_core.store.store import Store
from bench_core.store.taking import take_claim
from tests.helpers.small_study import load, run

LINE = '{"epoch":%d,"loss":0.5,"validation":{"miou":0.25,"odd":null}}\n'


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def study(tmp_path: Path) -> tuple[Plan, Store, Clock]:
    _, plan = load(tmp_path / "spec", epochs=2)
    return plan, Store(tmp_path / "results", create=True), Clock()


def kinds(messages: list[Message]) -> list[object]:
    return [item.kind if isinstance(item, JobEvent) else type(item) for item in messages]


def test_the_life_of_a_job_is_told_as_its_worker_would(study: tuple[Plan, Store, Clock]) -> None:
    plan, store, clock = study
    job = plan.jobs[0]
    outlook = Outlook(plan.jobs, store, clock)
    assert outlook.look() == [] and (outlook.left, outlook.at_work) == (3, 0)
    claim = take_claim(store.claims, job.digest)
    assert claim is not None and outlook.look() == []  # not due yet
    clock.now += LOOK_SECONDS
    (taken,) = outlook.look()
    assert isinstance(taken, Taken) and taken.digest == job.digest and taken.where and taken.seconds >= 0
    trace = store.prepare(job, claim) / "trace.jsonl"
    trace.write_text(LINE % 0)
    (epoch,) = outlook.look(now=True)
    assert isinstance(epoch, JobEvent) and (epoch.kind, epoch.done, epoch.total) == ("epoch", 1, 2)
    assert (epoch.loss, epoch.metrics["miou"]) == (0.5, 0.25) and math.isnan(epoch.metrics["odd"])
    assert outlook.look(now=True) == []
    claim.release()
    assert outlook.look(now=True) == [Returned(job.digest)] and outlook.at_work == 0


def test_ends_between_two_looks_are_told_whole(study: tuple[Plan, Store, Clock], tmp_path: Path) -> None:
    plan, store, clock = study
    first, second, _ = plan.jobs
    loaded, _ = load(tmp_path / "spec", epochs=2)
    old = Failure(second.digest, second.name, "TrainingError", "before", time="2026-01-01T00:00:00.000+00:00")
    store.fail(second, old)
    outlook = Outlook(plan.jobs, store, clock)
    run(first, store, loaded.registry)
    taken, finished, ended = outlook.look(now=True)
    assert isinstance(taken, Taken) and ended == Ended(first.digest, "done")
    assert isinstance(finished, JobEvent) and finished.kind == "finished" and "mdsc" in finished.metrics
    # A failure from before this run is none of it.
    assert outlook.look(now=True) == []
    new = Failure(second.digest, second.name, "TrainingError", "again", time="2026-01-02T00:00:00.000+00:00")
    store.fail(second, new)
    _, ended = outlook.look(now=True)
    assert ended == Ended(second.digest, "failed", new) and outlook.left == 1
    assert outlook.look(now=True) == []


def test_looking_takes_a_small_share_of_the_time(
    study: tuple[Plan, Store, Clock], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, store, clock = study
    outlook = Outlook(plan.jobs, store, clock)
    looks = 0

    def slow(self: Store) -> dict[str, str]:
        nonlocal looks
        looks += 1
        clock.now += 3.0
        return {}

    monkeypatch.setattr(Store, "states", slow)
    while clock.now < 1000.0:
        outlook.look()
        clock.now += 0.2
    assert 0 < 3.0 * looks <= 1000.0 * SHARE + 3.0


def test_a_store_that_cannot_be_read_for_a_moment_says_nothing(
    study: tuple[Plan, Store, Clock], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, store, clock = study
    outlook = Outlook(plan.jobs, store, clock)

    def stale(self: Store) -> dict[str, str]:
        raise OSError(116, "Stale file handle")

    with monkeypatch.context() as patched:
        patched.setattr(Store, "states", stale)
        assert outlook.look(now=True) == []
    take_claim(store.claims, plan.jobs[0].digest)
    assert kinds(outlook.look(now=True)) == [Taken]


class Workforce:
    """A fleet of which a test says how many are alive."""

    label = "crowd 7"

    def __init__(self, alive: int | Exception | None) -> None:
        self.count = alive
        self.stops: list[bool] = []

    def alive(self) -> int | None:
        if isinstance(self.count, Exception):
            raise self.count
        return self.count

    def stop(self, *, kill: bool = False) -> None:
        self.stops.append(kill)
        if isinstance(self.count, int):
            self.count = 0


def manned(workforce: Workforce, batch: str = "b") -> Manned:
    return Manned(FleetRecord("20260101-000000-00000000", "crowd", batch, 2, label="crowd 7"), workforce)


def heard(executor: FleetExecutor, clock: Clock, seconds: int) -> list[Message]:
    found: list[Message] = []
    for _ in range(2 * seconds):
        clock.now += 0.5
        found += executor.hear(0.0)
    return found


def test_a_run_whose_workers_are_gone_says_so(study: tuple[Plan, Store, Clock]) -> None:
    plan, store, clock = study
    workforce = Workforce(2)
    outlook = Outlook(plan.jobs, store, clock)
    executor = FleetExecutor(store, outlook, "b", [manned(workforce)], None, "bench run x", clock)
    assert [item for item in heard(executor, clock, 60) if isinstance(item, Workers)] == [
        Workers("crowd 7: 2 worker(s) alive")
    ]
    workforce.count = 0
    claim = take_claim(store.claims, plan.jobs[0].digest)
    assert claim is not None
    # Whatever the scheduler says, somebody is at work.
    assert Workers("crowd 7: 0 worker(s) alive") in heard(executor, clock, 120)
    claim.release()
    with pytest.raises(FleetError, match=r"no worker is alive any more, and 3 job\(s\) are left") as caught:
        heard(executor, clock, 60)
    assert caught.value.fix == "bench run x" and caught.value.exit_code == 2


def test_a_store_that_is_gone_for_a_while_is_told_and_waited_for(study: tuple[Plan, Store, Clock]) -> None:
    plan, store, clock = study
    executor = FleetExecutor(
        store, Outlook(plan.jobs, store, clock), "b", [manned(Workforce(2))], None, "again", clock
    )
    usual = Workers("crowd 7: 2 worker(s) alive")
    assert heard(executor, clock, 60) == [usual]
    away = store.path.rename(store.path.with_name("away"))
    (told,) = heard(executor, clock, 120)
    assert isinstance(told, Workers) and f"{store.path} is not there now" in told.text
    away.rename(store.path)
    assert heard(executor, clock, 60) == [usual]


@pytest.mark.parametrize("alive", [None, RuntimeError("the scheduler does not answer"), BenchError("no"), -1])
def test_who_cannot_tell_is_believed_nothing(
    study: tuple[Plan, Store, Clock], alive: int | Exception | None
) -> None:
    plan, store, clock = study
    executor = FleetExecutor(
        store, Outlook(plan.jobs, store, clock), "b", [manned(Workforce(alive))], None, "again", clock
    )
    (told,) = (item for item in heard(executor, clock, 300) if isinstance(item, Workers))
    assert "not known" in told.text


def test_when_those_that_were_there_have_ended_others_are_started(study: tuple[Plan, Store, Clock]) -> None:
    plan, store, clock = study
    new = Workforce(1)
    joined, more = [manned(Workforce(0))], lambda: manned(new)
    executor = FleetExecutor(store, Outlook(plan.jobs, store, clock), "b", joined, more, "again", clock)
    assert Workers("crowd 7: 1 worker(s) alive") in heard(executor, clock, 30)
    new.count = 0
    with pytest.raises(FleetError):
        heard(executor, clock, 60)


def test_stopping_asks_then_kills_and_the_end_leaves_other_work_alone(
    study: tuple[Plan, Store, Clock],
) -> None:
    plan, store, clock = study
    own, other = Workforce(2), Workforce(2)
    fleets = [manned(own), manned(other, "another")]
    executor = FleetExecutor(store, Outlook(plan.jobs, store, clock), "b", fleets, None, "again", clock)
    executor.stop()
    assert (own.stops, other.stops) == ([False], [False])
    clock.now += 1.0
    assert executor.stopped(0.0)
    own, other = Workforce(None), Workforce(3)
    fleets = [manned(own), manned(other, "another")]
    executor = FleetExecutor(store, Outlook(plan.jobs, store, clock), "b", fleets, None, "again", clock)
    executor.dismiss()
    executor.stop()
    executor.stop(kill=True)
    assert (own.stops, other.stops) == ([False], []) and executor.stopped(0.0)
