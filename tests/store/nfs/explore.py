"""Plays every order of file operations of a few workers, within a bound of switches and faults.

`python -m tests.store.nfs.explore [--seconds 60]` prints how many plays there were, what was injected, and
what went wrong. A play is a base order (one worker after the other) with at most so many deviations: a switch
to another worker, which stops the present one at that operation until it is switched back or the others have
ended, or a fault of that operation. Deviations are chosen by their place in the order, each after the last.
"""

from __future__ import annotations

import argparse
import itertools
import random
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.store.nfs.client import Memory, possible
from tests.store.nfs.world import Part, World

MEMORIES = {"fresh": Memory(), "stale": Memory(stale=True), "weak": Memory(stale=True, weak=True)}
"""What machines remember of names: nothing, what is allowed while folders are opened anew, or more."""
CASTS: dict[str, tuple[Part, ...]] = {
    "two": (Part(), Part()),
    "one fails": (Part("fails"), Part()),
    "one is interrupted": (Part("interrupted"), Part()),
    "three": (Part(), Part(), Part()),
    "one machine": (Part(machine="m"), Part(machine="m")),
    "two renew": (Part(), Part()),
    "three renew": (Part("interrupted"), Part(), Part()),
}
OLD = {"two renew", "three renew"}
"""Casts that find a result from before, which is to be set aside and computed anew."""


@dataclass(frozen=True)
class Plan:
    """How a play deviates from its base order."""

    switches: tuple[tuple[int, int], ...] = ()
    """Operation, and who goes on."""
    faults: tuple[tuple[int, int], ...] = ()
    """Operation, and the number of its fault."""

    @property
    def last(self) -> int:
        """The operation of the last deviation."""
        return max((at for at, _ in (*self.switches, *self.faults)), default=-1)


@dataclass
class Figures:
    """What an exploration has seen."""

    plays: int = 0
    operations: int = 0
    shapes: Counter[tuple[int, int]] = field(default_factory=Counter)
    """Plays by number of switches and faults."""
    faults: Counter[str] = field(default_factory=Counter)
    takeovers: int = 0
    """Claims that were taken over from another owner."""
    broken: list[tuple[str, str, Plan, str]] = field(default_factory=list)
    """Cast, memory, plan and what went wrong."""

    def play(self, cast: str, memory: str, plan: Plan) -> World:
        """Play a plan and note what came of it."""
        given = dict(plan.switches), dict(plan.faults)
        world = World(CASTS[cast], MEMORIES[memory], *given, old=cast in OLD).play()
        self.plays += 1
        self.operations += len(world.steps)
        self.shapes[len(plan.switches), len(plan.faults)] += 1
        self.faults.update(world.injected)
        self.takeovers += world.truth.takeovers
        self.broken += [(cast, memory, plan, error) for error in world.truth.errors[:1]]
        return world


def explore(
    figures: Figures,
    cast: str,
    memory: str,
    *,
    switches: int,
    faults: int,
    stride: int = 1,
    until: float = float("inf"),
) -> None:
    """Play all plans with at most so many switches and faults, or every `stride`-th of them."""
    number, todo = 0, [Plan()]
    while todo and time.monotonic() < until:
        plan = todo.pop()
        world = figures.play(cast, memory, plan)
        for at in range(plan.last + 1, len(world.steps)):
            for following in _deviations(world, plan, at, switches, faults):
                number += 1
                if number % stride == 0:
                    todo.append(following)


@dataclass(frozen=True)
class Sampling:
    """From what random plans are drawn."""

    casts: tuple[str, ...] = tuple(CASTS)
    memories: tuple[str, ...] = tuple(MEMORIES)
    switches: tuple[int, ...] = (1, 2, 3, 4)
    faults: tuple[int, ...] = (0, 1, 1, 2)


def sample(
    figures: Figures,
    seed: int,
    most: int,
    drawn: Sampling = Sampling(),
    until: float = float("inf"),
) -> None:
    """Play `most` random plans, or as many as there is time for, until one breaks an invariant."""
    chance = random.Random(seed)
    cases = list(itertools.product(drawn.casts, drawn.memories))
    lengths = {case: len(figures.play(*case, Plan()).steps) for case in cases}
    for _ in range(most):
        if time.monotonic() > until or figures.broken:
            return
        cast, memory = chance.choice(cases)
        places = range(lengths[cast, memory] * 5 // 4)
        switches = sorted(chance.sample(places, chance.choice(drawn.switches)))
        faults = sorted(chance.sample(places, chance.choice(drawn.faults)))
        actors = len(CASTS[cast])
        plan = Plan(
            # The first one runs at first: a switch to it would be none.
            tuple((at, chance.randrange(number == 0, actors)) for number, at in enumerate(switches)),
            tuple((at, chance.randrange(12)) for at in faults),
        )
        figures.play(cast, memory, plan)


def _deviations(world: World, plan: Plan, at: int, switches: int, faults: int) -> Iterator[Plan]:
    who, what = world.steps[at]
    played = len(world.actors) - 1
    if who == played:
        return
    if len(plan.switches) < switches:
        for other in range(played):
            if other != who:
                yield Plan((*plan.switches, (at, other)), plan.faults)
    if len(plan.faults) < faults:
        for fault in range(len(possible(what))):
            yield Plan(plan.switches, (*plan.faults, (at, fault)))


def thorough(seconds: float) -> Figures:
    """Play all plans of one deviation for the hardest cases, then plans of several at random."""
    figures, until = Figures(), time.monotonic() + seconds
    for cast in CASTS:
        explore(figures, cast, "stale", switches=1, faults=0, until=until)
        explore(figures, cast, "stale", switches=0, faults=1, stride=3, until=until)
    sample(figures, 1, 10**9, until=until)
    return figures


def told(figures: Figures) -> str:
    """Return the figures as text."""
    shapes = ", ".join(f"{s}+{f}: {count}" for (s, f), count in sorted(figures.shapes.items()))
    lines = [
        f"{figures.plays} plays of {figures.operations} file operations, {figures.takeovers} takeovers",
        f"plays by switches+faults: {shapes}",
        "faults injected: " + ", ".join(f"{name} {count}" for name, count in sorted(figures.faults.items())),
    ]
    kinds = Counter((cast, memory, error.split(": ", 1)[-1]) for cast, memory, _, error in figures.broken)
    lines += [f"BROKEN {count} times: {kind}" for kind, count in kinds.most_common(20)]
    lines += [f"  {broken}" for broken in figures.broken[:5]]
    return "\n".join([*lines, f"{len(figures.broken)} plays broke an invariant"])


def main() -> int:
    """Explore and print the figures."""
    arguments = argparse.ArgumentParser(description=main.__doc__)
    arguments.add_argument("--seconds", type=float, default=60.0)
    figures = thorough(arguments.parse_args().seconds)
    print(told(figures))
    return 1 if figures.broken else 0


if __name__ == "__main__":
    raise SystemExit(main())
