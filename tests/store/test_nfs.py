"""Claims, takeovers and seals on a simulated file system as NFS is; see tests/store/nfs."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.store.nfs.explore import CASTS, MEMORIES, Figures, Plan, explore, sample, thorough, told
from tests.store.nfs.mutants import MUTANTS, mutated
from tests.store.nfs.scenes import RENEWALS, SCENES, played
from tests.store.nfs.stage import Stage
from tests.store.nfs.world import Part


@pytest.mark.parametrize(("cast", "memory"), list(itertools.product(CASTS, MEMORIES)))
def test_undisturbed_workers_finish(cast: str, memory: str) -> None:
    figures = Figures()
    world = figures.play(cast, memory, Plan())
    assert not figures.broken and world.truth.sealed is not None


def test_many_orders_and_faults_break_nothing() -> None:
    figures = Figures()
    explore(figures, "two", "stale", switches=1, faults=1, stride=47)
    explore(figures, "one fails", "stale", switches=2, faults=0, stride=31)
    sample(figures, 2, 120)
    assert figures.plays > 250 and figures.takeovers > 50 and len(figures.faults) == 7, told(figures)
    assert not figures.broken, told(figures)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_orders_and_faults_in_depth() -> None:
    figures = thorough(45.0)
    assert figures.plays > 1000 and not figures.broken, told(figures)


@pytest.mark.parametrize(
    "scene", [*SCENES, *RENEWALS], ids=lambda scene: getattr(scene, "func", scene).__name__
)
def test_who_wakes_up_at_the_worst_moment_harms_nothing(scene: Callable[[Stage], None]) -> None:
    assert played(scene) == []


FOUND_BY_CHANCE = {"a result is set aside by its name": 6, "all that is left is dropped": 0}
"""What no scene finds out, and the seed of random plans that soon do."""


@pytest.mark.parametrize("name", MUTANTS)
def test_a_wrong_protocol_is_found_out(name: str) -> None:
    figures = Figures()
    with mutated(name):
        by_chance = name in FOUND_BY_CHANCE
        found = not by_chance and any(played(scene) for scene in (*SCENES, *RENEWALS))
        if not found:
            sample(figures, FOUND_BY_CHANCE.get(name, 0), 300)
    assert found or figures.broken


class Workers(RuleBasedStateMachine):
    """Up to five workers, each of which is led on by some operations at a time, and things go wrong."""

    stage: Stage

    @initialize(nature=st.sampled_from(["", "fails", "interrupted"]), old=st.booleans())
    def first(self, nature: str, old: bool) -> None:
        self.stage = Stage(old=old)
        self.stage.start(Part(nature, "a"), weak=False)

    @rule(
        nature=st.sampled_from(["", "", "fails", "interrupted"]),
        machine=st.sampled_from(["a", "", ""]),
        weak=st.booleans(),
    )
    def another(self, nature: str, machine: str, weak: bool) -> None:
        if len(self.stage.actors) < 5:
            self.stage.start(Part(nature, machine), weak)

    @rule(number=st.integers(0, 4), operations=st.integers(1, 60))
    def go_on(self, number: int, operations: int) -> None:
        self.stage.advance(self.stage.actors[number % len(self.stage.actors)], operations)

    @rule(number=st.integers(0, 4), operations=st.integers(1, 40), fault=st.integers(0, 11))
    def go_wrong(self, number: int, operations: int, fault: int) -> None:
        self.stage.advance(self.stage.actors[number % len(self.stage.actors)], operations, fault)

    @rule(seconds=st.sampled_from([1.0, 20.0, 50.0, 200.0]))
    def wait(self, seconds: float) -> None:
        self.stage.server.now += seconds

    @rule(number=st.integers(0, 4), seconds=st.sampled_from([0.0, 5.0, 60.0]))
    def remember(self, number: int, seconds: float) -> None:
        self.stage.lag(self.stage.actors[number % len(self.stage.actors)].machine, seconds)

    @invariant()
    def nothing_is_broken(self) -> None:
        assert not self.stage.truth.errors

    def teardown(self) -> None:
        self.stage.close()
        assert not self.stage.truth.errors


def machine(examples: int, steps: int) -> settings:
    return settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


TestWorkers = Workers.TestCase
TestWorkers.settings = machine(25, 15)


class ManyWorkers(Workers):
    """The same for longer."""


TestManyWorkers = pytest.mark.slow(ManyWorkers.TestCase)
TestManyWorkers.settings = machine(200, 40)
