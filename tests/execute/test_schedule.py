"""What starts when, and what never does: the policy of a run, without any process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench_core.declarations import JobEvent
from bench_core.execute.executor import Deaf, Ended, Lost, Message
from bench_core.execute.happening import Happening
from bench_core.execute.progress import RunProgress
from bench_core.execute.queue import Order, queue_job, queued
from bench_core.execute.run import run_jobs
from bench_core.execute.schedule import Schedule
from bench_core.plan.job import Job, Need
from bench_core.protocol.run_options import RunOptions
from bench_core.store.files import DiskError
from bench_core.store.result import Failure
from bench_core.store.store import Store
from bench_core.store.taking import take_claim
from tests.helpers.fake_executor import FakeExecutor
from tests.helpers.small_study import load


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Job:
    return load(tmp_path_factory.mktemp("spec"))[1].jobs[0]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results", create=True)


def name_of(number: int) -> str:
    return f"{number:032x}"


def job(template: Job, number: int, needs: Mapping[int, str] | None = None) -> Any:
    """Return a job with what it needs: number to role."""
    made = replace(template, digest=name_of(number))
    if not needs:
        return made
    wanted = tuple(Need(name_of(key), role) for key, role in needs.items())
    return replace(made, needs=wanted)


def failure(digest: str, kind: str = "ValueError") -> Failure:
    return Failure(digest, "name", kind, "it broke")


def play(outcomes: Mapping[int, str]) -> Any:
    """Let jobs end as told (done if not told): done, failed, diverged, died."""

    def played(digest: str) -> Sequence[Message]:
        outcome = outcomes.get(int(digest, 16), "done")
        if outcome == "died":
            return [Lost(digest, -9)]
        if outcome in ("failed", "diverged"):
            kind = "DivergedError" if outcome == "diverged" else "ValueError"
            return [Ended(digest, "failed", failure(digest, kind))]
        return [JobEvent(kind="started", digest=digest), Ended(digest, "done")]

    return played


def run(jobs: Sequence[Any], store: Store, outcomes: Mapping[int, str] | None = None, slots: int = 2) -> Any:
    executor, heard = FakeExecutor(play(outcomes or {}), slots), list[Happening]()

    def watch(progress: RunProgress, happening: Happening | None) -> None:
        heard.extend([happening] if happening else [])

    progress = run_jobs(jobs, store, Order(), executor, watch)
    return progress, executor, heard


def statuses(progress: RunProgress) -> dict[int, str]:
    return {int(digest, 16): item.status for digest, item in progress.jobs.items()}


def test_needed_jobs_come_first_and_slots_are_kept(template: Job, store: Store) -> None:
    jobs = [job(template, 1, {2: "rate", 3: "rate"}), job(template, 2), job(template, 3), job(template, 4)]
    progress, executor, heard = run(jobs, store)
    assert executor.started == [name_of(number) for number in (2, 3, 1, 4)]
    assert executor.most_at_once == 2 and set(statuses(progress).values()) == {"done"}
    assert [item.kind for item in heard].count("done") == 4


@pytest.mark.parametrize(
    ("role", "outcome", "status"),
    [
        ("rate", "done", "done"),
        ("rate", "failed", "blocked"),
        ("rate", "died", "blocked"),
        ("rate", "diverged", "done"),
        ("weights", "diverged", "blocked"),
        ("predictions", "diverged", "blocked"),
        ("weights", "done", "done"),
        ("weights", "failed", "blocked"),
    ],
)
def test_only_a_search_may_diverge(template: Job, store: Store, role: str, outcome: str, status: str) -> None:
    jobs = [job(template, 1), job(template, 2), job(template, 3, {1: role, 2: role})]
    progress, _, _ = run(jobs, store, {2: outcome})
    assert statuses(progress)[3] == status
    if status == "blocked":
        assert "failed" in progress[name_of(3)].because


def test_where_every_rate_diverged_nothing_is_evaluated(template: Job, store: Store) -> None:
    jobs = [job(template, 1), job(template, 2, {1: "rate"}), job(template, 3, {2: "weights"})]
    progress, executor, _ = run(jobs, store, {1: "diverged"})
    assert statuses(progress) == {1: "failed", 2: "blocked", 3: "blocked"}
    assert executor.started == [name_of(1)]


def test_what_is_needed_from_outside_the_selection_is_waited_for(template: Job, store: Store) -> None:
    progress, _, _ = run([job(template, 1, {9: "rate"}), job(template, 2)], store)
    assert statuses(progress) == {1: "waiting", 2: "done"}
    assert "not part of this run" in progress[name_of(1)].because


def test_a_dead_workers_job_is_recorded_and_freed(template: Job, store: Store) -> None:
    progress, _, _ = run([job(template, 1)], store, {1: "died"})
    kept = store.failure(name_of(1))
    assert kept is not None and kept.kind == "WorkerDied" and kept.resumable
    assert statuses(progress) == {1: "failed"} and list(store.claims.iterdir()) == []


def test_a_full_disk_ends_the_run(template: Job, store: Store) -> None:
    disk = Failure(name_of(1), "name", "DiskError", "cannot write to the store", cause="the disk is full")
    executor = FakeExecutor(lambda digest: [Ended(digest, "disk", disk)])
    with pytest.raises(DiskError, match="cannot write") as caught:
        run_jobs([job(template, 1), job(template, 2)], store, Order(), executor, lambda *_: None)
    assert caught.value.cause == "the disk is full"


def test_a_failing_listener_is_told_once(template: Job, store: Store) -> None:
    heard: list[Happening | None] = []
    executor = FakeExecutor(
        lambda digest: [Deaf("tracker", "no network"), Deaf("tracker", "again"), Ended(digest, "done")]
    )
    run_jobs(
        [job(template, 1), job(template, 2)], store, Order(), executor, lambda _, item: heard.append(item)
    )
    assert [item.text for item in heard if item and item.kind == "deaf"] == ["tracker: no network"]


def test_a_job_of_another_run_is_followed_by_looking(template: Job, store: Store) -> None:
    claim = take_claim(store.claims, name_of(1))
    assert claim is not None
    progress, now = RunProgress([job(template, 1), job(template, 2, {1: "rate"})]), [0.0]
    schedule = Schedule(progress, store, lambda: now[0])
    schedule.read()
    assert statuses(progress) == {1: "elsewhere", 2: "todo"} and not schedule.finished()
    assert schedule.look() == [] and list(schedule.ready()) == []
    claim.release()
    now[0] += 10
    assert schedule.look() == [], "nobody has it: it is to do again"
    assert [item.job.digest for item in schedule.ready()] == [name_of(1)]


def test_a_new_failure_of_another_run_ends_the_job_and_an_old_one_is_tried_again(
    template: Job, store: Store
) -> None:
    first = job(template, 1)
    store.fail(first, failure(first.digest))
    progress, now = RunProgress([first]), [0.0]
    schedule = Schedule(progress, store, lambda: now[0])
    schedule.read()
    assert schedule.known_failure(first.digest) == failure(first.digest)
    (ready,) = schedule.ready()
    schedule.leave(ready)
    store.fail(first, replace(failure(first.digest), attempts=2))
    (changed,) = schedule.look()
    assert changed.status == "failed" and changed.failure is not None and changed.failure.attempts == 2


graphs = st.integers(1, 8).flatmap(
    lambda count: st.tuples(
        st.just(count),
        st.lists(
            st.tuples(
                st.integers(0, count - 1), st.integers(0, count - 1), st.sampled_from(["rate", "weights"])
            ),
            max_size=12,
        ),
        st.dictionaries(
            st.integers(0, count - 1), st.sampled_from(["failed", "diverged", "died"]), max_size=3
        ),
        st.integers(1, 4),
    )
)


@given(graphs)
def test_every_run_ends_and_nothing_starts_before_what_it_needs(
    template: Job, tmp_path_factory: pytest.TempPathFactory, graph: Any
) -> None:
    count, edges, outcomes, slots = graph
    needs: dict[int, dict[int, str]] = {}
    for one, other, role in edges:
        if one != other:
            needs.setdefault(max(one, other), {})[min(one, other)] = role
    store = Store(tmp_path_factory.mktemp("store"), create=True)
    jobs = [job(template, number, needs.get(number)) for number in range(count)]
    progress, executor, _ = run(jobs, store, outcomes, slots)
    ended = statuses(progress)
    assert set(ended.values()) <= {"done", "failed", "blocked"}
    order = {int(digest, 16): place for place, digest in enumerate(executor.started)}
    assert len(order) == len(executor.started), "nothing is started twice"
    for number in range(count):
        if number in order:
            assert all(order[need] < order[number] for need in needs.get(number, {}))
        assert (number in order) == (ended[number] != "blocked")


def test_a_queued_job_is_all_on_disk(template: Job, store: Store, tmp_path: Path) -> None:
    order = Order(
        plugins=(tmp_path / "plugin.py",),
        options=RunOptions(threads=3, runners={"torch": {"log": True}}),
        cache=tmp_path / "cache",
        retried=failure(template.digest),
    )
    queue_job(store, template, order)
    assert queued(store, template.digest) == (template, order)
