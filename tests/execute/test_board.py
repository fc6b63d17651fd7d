"""Many workers over one ledger, without processes: each job once, in order, and with few questions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench_core.execute.board import FEW, STALL_SECONDS, Board
from bench_core.execute.graph import Graph
from bench_core.execute.manners import Manners
from bench_core.execute.tally import BLOCKED, DIVERGED, DONE, ELSEWHERE
from bench_core.plan.job import Job, Need
from bench_core.store.result import Failure
from tests.helpers.simulated_ledger import Crowd, SimulatedLedger
from tests.helpers.small_study import load


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Job:
    return load(tmp_path_factory.mktemp("spec"))[1].jobs[0]


def name_of(number: int) -> str:
    return f"{number:032x}"


def graph_of(
    template: Job, count: int, needs: Mapping[int, Mapping[int, str]], work: Any = lambda job: 1.0
) -> Graph:
    def job(number: int) -> Job:
        wanted = [Need(name_of(other), role) for other, role in needs.get(number, {}).items()]  # type: ignore[arg-type]
        return replace(template, digest=name_of(number), needs=tuple(wanted))

    return Graph([job(number) for number in range(count)], work)


def study(template: Job, cells: int, rates: int = 4, seed: int = 0) -> tuple[Graph, list[float]]:
    """Return a study of `rates` search jobs and one evaluate job a cell, and how long each job takes."""
    random, needs, seconds = Random(seed), dict[int, dict[int, str]](), list[float]()
    for cell in range(cells):
        base = cell * (rates + 1)
        pace = random.uniform(1.0, 8.0)
        seconds += [pace * 10] * rates + [pace * 30]
        needs[base + rates] = {base + rate: "rate" for rate in range(rates)}
    return graph_of(template, len(seconds), needs, lambda job: seconds[int(job.digest, 16)]), seconds


crowds = st.integers(1, 12).flatmap(
    lambda count: st.fixed_dictionaries(
        {
            "count": st.just(count),
            "edges": st.lists(
                st.tuples(
                    st.integers(0, count - 1),
                    st.integers(0, count - 1),
                    st.sampled_from(["rate", "weights"]),
                ),
                max_size=16,
            ),
            "kinds": st.dictionaries(
                st.integers(0, count - 1), st.sampled_from(["failed", "diverged"]), max_size=3
            ),
            "seconds": st.lists(st.floats(0.1, 500.0), min_size=count, max_size=count),
            "workers": st.integers(1, 6),
            "deaths": st.lists(st.floats(0.0, 600.0), max_size=5),
        }
    )
)


@settings(max_examples=80)
@given(crowds)
def test_every_job_is_run_to_its_end_exactly_once(template: Job, crowd: Any) -> None:
    needs: dict[int, dict[int, str]] = {}
    for one, other, role in crowd["edges"]:
        if one != other:
            needs.setdefault(max(one, other), {})[min(one, other)] = role
    graph = graph_of(template, crowd["count"], needs)
    tokens = [f"worker-{number}" for number in range(crowd["workers"])]
    # The last one lives.
    dies = dict(zip(tokens[:-1], crowd["deaths"], strict=False))
    acting = Crowd(
        graph, crowd["seconds"].__getitem__, lambda number: crowd["kinds"].get(number, "done"), dies
    )
    for token in tokens:
        acting.add(token)
    acting.run(most_seconds=1e6)
    ledger, survivor = acting.ledger, acting.boards[tokens[-1]]
    assert survivor.finished() and not any(acting.ledger.alive(owner) for owner in ledger.owners.values())
    starts = Counter(number for number, _ in acting.started)
    for number in range(crowd["count"]):
        digest, ended = name_of(number), crowd["kinds"].get(number, "done")
        sealed = ledger.done.get(digest, [])
        blocked = starts[number] == 0
        assert len(sealed) == (ended == "done" and not blocked)
        assert (digest in ledger.failures) == (ended != "done" and not blocked)
        assert starts[number] <= 1 + len(dies), "only a death lets a job be started again"
    first = {number: place for place, (number, _) in reversed(list(enumerate(acting.started)))}
    for number, wanted in needs.items():
        if number in first:
            assert all(first[other] < first[number] for other in wanted)


def test_many_workers_part_at_once_and_keep_the_store_quiet(template: Job) -> None:
    graph, seconds = study(template, cells=200)
    acting = Crowd(graph, seconds.__getitem__)
    for number in range(50):
        acting.add(f"worker-{number}")
    ended = acting.run()
    assert len(acting.started) == graph.count and len(acting.ledger.done) == graph.count
    bound = sum(seconds) / 50
    assert ended < 1.05 * bound + max(seconds)
    assert acting.ledger.operations / graph.count < 60


def test_what_others_need_comes_first_and_of_the_rest_the_longer(template: Job) -> None:
    seconds = {0: 1.0, 1: 50.0, 2: 1.0, 3: 20.0, 4: 100.0}
    graph = graph_of(template, 5, {4: {0: "rate"}}, lambda job: seconds[int(job.digest, 16)])
    acting = Crowd(graph, seconds.__getitem__)
    acting.add("alone")
    acting.run()
    assert [number for number, _ in acting.started] == [0, 4, 1, 3, 2]


def test_a_worker_begins_at_its_own_place_and_stays_among_neighbours(template: Job) -> None:
    graph = graph_of(template, 1000, {})
    firsts = []
    for token in ("a", "b", "c", "d"):
        board = Board(graph, SimulatedLedger(), lambda: 0.0, Manners(token=token), retried={})
        board.read()
        taken = []
        for _ in range(3):
            number = board.take()
            assert number is not None
            board.begin(number)
            board.end(number, DONE)
            taken.append(number)
        assert taken == [(taken[0] + step) % 1000 for step in range(3)]
        firsts.append(taken[0])
    assert len(set(firsts)) == 4
    again = Board(graph, SimulatedLedger(), lambda: 0.0, Manners(token="a"), retried={})
    assert again.take() == firsts[0], "the token alone decides"


def test_what_is_learned_while_a_job_is_sought_blocks_others_at_once(template: Job) -> None:
    graph, ledger = graph_of(template, 2, {1: {0: "weights"}}), SimulatedLedger()
    board = Board(graph, ledger, lambda: 0.0, Manners(token="one"), retried={})
    board.read()
    ledger.failures[name_of(0)] = Failure(name_of(0), "name", "DivergedError", "it broke", host="other")
    assert board.take() is None, "without the network that it needs, a job cannot start"
    assert list(board.states) == [DIVERGED, BLOCKED]


def test_a_collision_costs_a_bounded_number_of_questions(template: Job) -> None:
    graph, ledger = graph_of(template, 20_000, {}), SimulatedLedger()
    board = Board(graph, ledger, lambda: 0.0, Manners(token="late"), retried={})
    board.read()
    for number in range(19_990):
        ledger.done[name_of(number)] = ["others"]
    before = ledger.operations
    number = board.take()
    assert number is not None and number >= 19_990
    assert ledger.operations - before < 5 * (20_000 // 300) and board.costs.surveys == 1


def test_who_waits_asks_less_and_less(template: Job) -> None:
    graph, ledger, now = graph_of(template, 3 * FEW, {}), SimulatedLedger(), [0.0]
    for number in range(3 * FEW):
        ledger.owners[name_of(number)] = "others"
    board = Board(graph, ledger, lambda: now[0], Manners(token="idle"), retried={})
    board.read()
    assert board.take() is None and not board.finished()
    while now[0] < 3600:
        board.look()
        now[0] += 0.2
    assert board.costs.surveys < 130
    assert set(board.states) == {ELSEWHERE}
    ledger.owners.clear()
    ledger.done |= {digest: ["others"] for digest in map(name_of, range(3 * FEW))}
    now[0] += 60
    board.look()
    assert board.finished()


def test_news_of_others_is_no_reason_to_ask_more_often(template: Job) -> None:
    graph, ledger, now = graph_of(template, 2000, {}), SimulatedLedger(), [0.0]
    ledger.owners |= {name_of(number): "others" for number in range(2000)}
    board = Board(graph, ledger, lambda: now[0], Manners(token="idle"), retried={})
    board.read()
    assert board.take() is None
    for number in range(1800):
        now[0] += 2.0
        del ledger.owners[name_of(number)]
        ledger.done[name_of(number)] = ["others"]
        board.look()
    assert board.costs.surveys < 130


def test_a_busy_worker_asks_nothing(template: Job) -> None:
    graph, ledger, now = graph_of(template, 4, {}), SimulatedLedger(), [0.0]
    board = Board(graph, ledger, lambda: now[0], Manners(token="busy"), retried={})
    board.read()
    number = board.take()
    assert number is not None
    board.begin(number)
    before = ledger.operations
    for _ in range(1000):
        board.look()
        board.settle()
        assert not board.finished()
        now[0] += 10
    assert ledger.operations == before


def test_who_may_not_run_a_job_waits_for_those_who_run_it_and_not_for_ever(template: Job) -> None:
    graph, ledger, now = graph_of(template, 2, {1: {0: "rate"}}), SimulatedLedger(), [0.0]
    manners = Manners(token="small", may=lambda number: number != 0)
    board = Board(graph, ledger, lambda: now[0], manners, retried={})
    board.read()
    assert board.take() is None and not board.finished()
    ledger.owners[name_of(0)] = "large"
    now[0] += 100
    board.look()
    now[0] += 10 * STALL_SECONDS
    assert not board.finished(), "it is at work"
    ledger.owners.clear()
    now[0] += 100
    board.look()
    assert not board.finished()
    now[0] += STALL_SECONDS + 1
    assert board.finished(), "nobody comes to run it"


def test_one_that_shall_leave_does_not_stand_by(template: Job) -> None:
    graph, ledger = graph_of(template, 2, {}), SimulatedLedger()
    ledger.owners[name_of(0)], ledger.done[name_of(1)] = "others", ["others"]
    for leave in (False, True):
        board = Board(graph, ledger, lambda: 0.0, Manners(token="a", leave=leave), retried={})
        board.read()
        assert board.finished() == leave
