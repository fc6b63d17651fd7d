"""The state of each job of a graph, and what follows when one changes: what can start, and what never can."""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Iterator, Sequence
from operator import and_

from bench_core.execute.graph import RATE, Graph
from bench_core.execute.ready import FromOwnPlace, InOrder
from bench_core.plan.job import Need

TODO, RUNNING, ELSEWHERE, DONE, FAILED, DIVERGED, BLOCKED, WAITING, MISSING = range(9)
"""Running: here. Diverged: failed so, as a search job may. Missing: needed, and not of this plan."""
ENDED = frozenset({DONE, FAILED, DIVERGED, BLOCKED, WAITING})
_TODO = bytes(state == TODO for state in range(256))


class Tally:
    """The state of each job by number, one byte each, and the jobs that can start in `ready`.

    `may` has a 1 for each job that may be run here.
    """

    def __init__(self, graph: Graph, may: bytearray, ready: InOrder | FromOwnPlace) -> None:
        self._graph, self._may, self._ready = graph, may, ready
        beyond = len(graph.digests) - graph.count
        self.states = bytearray([TODO]) * graph.count + bytearray([MISSING]) * beyond
        self.changed: list[int] = []
        """Jobs whose state has changed, for whoever shows them; emptied by them."""
        self.mine = sum(may)
        """Jobs to do that may be run here."""
        self._counts = [0] * 9
        self._counts[TODO], self._counts[MISSING] = graph.count, beyond
        self._unmet = array("l", graph.needed)
        self._unsettled: deque[int] = deque()
        for number in graph.roots:
            ready.add(number)

    def free(self, number: int) -> bool:
        """Say whether a job is, as far as is known, to do, and may be run here."""
        return self.states[number] == TODO and bool(self._may[number])

    def all_free(self) -> bytes:
        """Return the same of all jobs at once, a byte each."""
        return bytes(map(and_, self.states.translate(_TODO), self._may))

    def may_run(self, number: int) -> bool:
        """Say whether a job may be run here."""
        return bool(self._may[number])

    def startable(self) -> bool:
        """Say whether there is a job to do that may be run here and needs nothing more."""
        return any(self._may[number] and not self._unmet[number] for number in self.numbers(TODO))

    def count(self, state: int) -> int:
        """Return how many jobs are in a state."""
        return self._counts[state]

    def numbers(self, state: int) -> Iterator[int]:
        """Yield the jobs of the graph that are in a state."""
        number = self.states.find(state, 0, self._graph.count)
        while number >= 0:
            yield number
            number = self.states.find(state, number + 1, self._graph.count)

    def bar(self, number: int) -> None:
        """Let a job be run by others alone."""
        if self._may[number]:
            self.mine -= self.states[number] == TODO
            self._may[number] = 0

    def doubt(self, numbers: Sequence[int]) -> None:
        """Let `settle` look at jobs whose state has not changed."""
        self._unsettled += numbers

    def set(self, number: int, state: int) -> bool:
        """Note the state of a job; return whether it was another."""
        known = self.states[number]
        if known == state:
            return False
        self.states[number] = state
        self._counts[known] -= 1
        self._counts[state] += 1
        self.changed.append(number)
        if number < self._graph.count:
            if known == TODO:
                self.mine -= self._may[number]
            elif state == TODO:
                self.mine += self._may[number]
            if state == TODO:
                self._unsettled.append(number)
                if not self._unmet[number]:
                    self._ready.add(number)
        dependants = self._graph.dependants[number]
        if state in (DONE, DIVERGED):
            for other in dependants:
                self._unmet[other] -= 1
                if not self._unmet[other] and self.states[other] == TODO:
                    self._ready.add(other)
        if state in (FAILED, DIVERGED, BLOCKED, WAITING, MISSING):
            self._unsettled += dependants
        return True

    def set_done(self, numbers: list[int]) -> None:
        """Note of many jobs that they are done; the same as `set` for each, in a shorter loop."""
        states, counts, unmet, dependants = self.states, self._counts, self._unmet, self._graph.dependants
        for number in numbers:
            counts[states[number]] -= 1
            if states[number] == TODO and number < self._graph.count:
                self.mine -= self._may[number]
            states[number] = DONE
        counts[DONE] += len(numbers)
        self.changed += numbers
        for number in numbers:
            for other in dependants[number]:
                unmet[other] -= 1
                if not unmet[other] and states[other] == TODO:
                    self._ready.add(other)

    def settle(self) -> None:
        """End the jobs that can never start here: blocked by a failure, or waiting for what nobody runs."""
        while self._unsettled:
            number = self._unsettled.popleft()
            if number >= self._graph.count or self.states[number] != TODO:
                continue
            self.set(number, self.fate(number)[0])

    def fate(self, number: int) -> tuple[int, list[Need]]:
        """Return what a job that is to do comes to (todo, blocked, waiting), and the needs that decide it."""
        needs, state = self._graph.needs[number], self._state_of
        broken = [
            need
            for need in needs
            if state(need) in (FAILED, BLOCKED) or (state(need) == DIVERGED and need.role != RATE)
        ]
        rates = [need for need in needs if need.role == RATE]
        if rates and all(state(need) == DIVERGED for need in rates):
            broken += rates
        if broken:
            return BLOCKED, broken
        missing = [need for need in needs if state(need) in (MISSING, WAITING)]
        return (WAITING, missing) if missing else (TODO, [])

    def _state_of(self, need: Need) -> int:
        return self.states[self._graph.number[need.digest]]
