"""Jobs that take longer begin earlier, as far as results tell it; whatever they tell, the same jobs run."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench_core.execute.board import Board
from bench_core.execute.graph import STEPS, Graph, work_of
from bench_core.execute.manners import Manners
from bench_core.execute.pace import READINGS, Pace
from bench_core.plan.job import Job, Need
from bench_core.records import DataFacts, EpochRecord, TrainingRecord
from bench_core.store.result import Result
from bench_core.store.store import Store
from tests.helpers.simulated_ledger import Crowd, SimulatedLedger
from tests.helpers.small_study import load


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Job:
    return load(tmp_path_factory.mktemp("spec"))[1].jobs[0]


def matrix(template: Job, networks: int, datasets: int, rates: int = 2) -> Graph:
    """Return a study of `rates` search jobs and one evaluate job of twice their epochs per cell."""
    jobs: list[Job] = []
    for network in range(networks):
        for dataset in range(datasets):
            common = replace(
                template,
                model=replace(template.model, label=f"m{network}"),
                dataset=replace(template.dataset, label=f"d{dataset}"),
            )
            first = len(jobs)
            jobs += [replace(common, digest=f"{first + rate:032x}", needs=()) for rate in range(rates)]
            needs = tuple(Need(job.digest, "rate") for job in jobs[first:])
            training = replace_epochs(common, 2 * common.epochs)
            jobs.append(replace(common, digest=f"{len(jobs):032x}", needs=needs, work=training))
    return Graph(jobs)


def replace_epochs(job: Job, epochs: int) -> Any:
    return replace(job.work, training=job.training.model_copy(update={"epochs": epochs}))  # type: ignore[arg-type]


def result_of(number: int, epoch_seconds: float, images: int, *, own: bool = False) -> Result:
    """Return what a job leaves; `own` without epochs."""
    data = DataFacts("", "", images, images, images - images // 4, images // 4, 0)
    history = (EpochRecord(0, 1e-4, 0.5, {}, epoch_seconds * 0.75, epoch_seconds * 0.25),)
    training = None if own else TrainingRecord(1e-4, {}, history, 1, 0, "mdsc", 0.5)
    return Result(f"{number:032x}", data, training, seconds=epoch_seconds)


paces = st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=4)
sizes = st.lists(st.integers(2, 100_000), min_size=1, max_size=4)


@given(paces, sizes, st.booleans(), st.integers(0, 99))
def test_what_takes_longer_is_more_urgent_once_each_network_and_dataset_was_read(
    template: Job, pace: list[float], images: list[int], own: bool, place: int
) -> None:
    graph = matrix(template, len(pace), len(images))
    known = Pace(graph)
    assert known.urgencies(range(graph.count)) == list(graph.rank), "without any reading the graph decides"

    def result(digest: str) -> Result:
        number = graph.number[digest]
        network, dataset = graph.network[number], graph.dataset[number]
        return result_of(number, pace[network] * images[dataset], images[dataset], own=own)

    ledger = SimulatedLedger(results=result, done={digest: ["others"] for digest in graph.digests})
    read = known.read(range(graph.count), ledger, place % graph.count)
    assert read == len(ledger.read) <= READINGS * len(pace) + len(images)
    assert known.read(range(graph.count), ledger, 0) == 0, "nothing is asked twice"
    known.settle()
    assert not known.settle(), "what is settled stays"
    urgency = known.urgencies(range(graph.count))
    longest = [
        graph.level[number] * pace[graph.network[number]] * images[graph.dataset[number]]
        for number in range(graph.count)
    ]
    # Three numbers are rounded, each by half a step at most, on either side.
    for one in range(graph.count):
        for other in range(graph.count):
            if STEPS * math.log2(longest[one] / longest[other]) > 3.001:
                assert urgency[one] > urgency[other]


def test_what_is_not_known_counts_as_the_median_of_what_is(template: Job) -> None:
    graph = matrix(template, networks=4, datasets=1)
    known, first = Pace(graph), [graph.network.index(network) for network in range(4)]
    for network, seconds in ((0, 1.0), (1, 16.0), (2, 4.0)):
        known.learn(first[network], result_of(first[network], seconds, 100))
    assert known.settle()
    fast, slow, usual, unknown = known.urgencies(first)
    assert unknown == usual and slow - usual == usual - fast == 2 * STEPS


def test_times_without_end_tell_nothing(template: Job) -> None:
    graph = matrix(template, networks=2, datasets=1)
    known, record = Pace(graph), EpochRecord(0, 1e-4, 0.5, {}, 1.7e308, 1.7e308)
    known.learn(
        0, replace(result_of(0, 1.0, 4), training=TrainingRecord(1e-4, {}, (record,), 1, 0, "mdsc", 0.5))
    )
    assert not known.settle() and known.urgencies(range(graph.count)) == list(graph.rank)


nonsense = st.one_of(
    st.none(),
    st.tuples(st.floats(0.0, 1e300), st.one_of(st.just(0), st.integers(0, 2**52)), st.booleans()),
)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(nonsense, min_size=12, max_size=12), st.integers(1, 5), st.lists(st.floats(0, 300), max_size=3)
)
def test_whatever_results_tell_every_job_is_run_to_its_end(
    template: Job, told: Sequence[Any], workers: int, deaths: list[float]
) -> None:
    graph = matrix(template, networks=2, datasets=2)

    def results(digest: str) -> Result | None:
        found = told[int(digest, 16)]
        return None if found is None else result_of(int(digest, 16), found[0], found[1], own=found[2])

    tokens = [f"worker-{number}" for number in range(workers)]
    acting = Crowd(graph, lambda number: 10.0 + number, dies=dict(zip(tokens[:-1], deaths, strict=False)))
    acting.ledger.results = results
    for token in tokens:
        acting.add(token)
    acting.run(most_seconds=1e6)
    assert set(acting.ledger.done) == set(graph.digests)
    assert all(len(sealed) == 1 for sealed in acting.ledger.done.values())
    starts = Counter(number for number, _ in acting.started)
    assert all(count <= 1 + len(deaths) for count in starts.values())
    assert set(acting.ledger.read) <= set(acting.ledger.done)
    assert len(acting.ledger.read) <= workers * (READINGS * 2 + 2)


def test_jobs_of_slow_networks_and_large_datasets_begin_first_after_the_searches(template: Job) -> None:
    graph = matrix(template, networks=3, datasets=2, rates=1)
    pace, images = (1.0, 30.0, 5.0), (100, 10_000)

    def epoch(number: int) -> float:
        return pace[graph.network[number]] * images[graph.dataset[number]]

    acting = Crowd(graph, lambda number: epoch(number) * graph.level[number])
    acting.ledger.results = lambda digest: result_of(
        int(digest, 16), epoch(int(digest, 16)), images[graph.dataset[int(digest, 16)]]
    )
    board = Board(graph, acting.ledger, lambda: 0.0, Manners(token="late"), retried={})
    searches = [number for number in range(graph.count) if not graph.needs[number]]
    acting.ledger.done |= {graph.digests[number]: ["others"] for number in searches}
    board.read()
    order = []
    while (number := board.take()) is not None:
        order.append(number)
        board.begin(number)
    assert order == sorted(order, key=epoch, reverse=True) and len(order) == 6


def test_a_run_that_has_the_jobs_for_itself_reads_nothing_and_keeps_the_plans_order(template: Job) -> None:
    graph, ledger = matrix(template, networks=2, datasets=1), SimulatedLedger()
    ledger.results = lambda digest: result_of(int(digest, 16), 1.0 + int(digest, 16), 100)
    ledger.done |= {graph.digests[0]: ["others"], graph.digests[3]: ["others"]}
    board = Board(graph, ledger, lambda: 0.0, Manners(), retried={})
    board.read()
    assert [board.take() for _ in range(3)] == [1, 4, None] and not ledger.read


def test_the_guess_without_readings_is_epochs_times_pixels(template: Job) -> None:
    graph = matrix(template, networks=1, datasets=1, rates=1)
    assert graph.level == [3 * work_of(template), 2 * work_of(template)]


def test_results_of_a_store_are_read_and_a_damaged_one_is_passed_over(tmp_path: Path) -> None:
    plan = load(tmp_path, models="[dots-net, slow-net]")[1]
    store, graph = Store(tmp_path / "store", create=True), Graph(plan.jobs)
    for number, job in enumerate(plan.jobs):
        if job.fold.index < 2:
            seconds = 9.0 if job.model.label == "slow-net" else 1.0
            store.write(job, replace(result_of(number, seconds, 40), digest=job.digest))
    first, *_ = (job for job in plan.jobs if job.model.label == "slow-net")
    (store.folder(first.digest) / "result.json").write_text("{")
    for token in ("a", "b", "c", "d"):
        board = Board(graph, store, lambda: 0.0, Manners(token=token), retried={})
        board.read()
        number = board.take()
        assert number is not None and plan.jobs[number].name == "evaluate/slow-net/dots/fold-2"
        assert board.costs.readings <= 2 * READINGS + 1
