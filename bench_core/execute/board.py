"""Where every job of a plan stands as one process knows it, and what it asks the ledger to know more.

All questions are bounded: a job is looked at exactly before it is started, the whole is surveyed only when
about as much has been lost to outdated knowledge as a survey costs, and who waits asks less and less often.
"""

from __future__ import annotations

import time
from array import array
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import compress
from operator import and_
from random import Random

from bench_core.execute.graph import RATE, Graph
from bench_core.execute.ledger import Ledger
from bench_core.execute.pace import Pace
from bench_core.execute.ready import FromOwnPlace, InOrder
from bench_core.plan.job import Need
from bench_core.store.result import Failure
from bench_core.store.states import State

TODO, RUNNING, ELSEWHERE, DONE, FAILED, DIVERGED, BLOCKED, WAITING, MISSING = range(9)
"""Running: here. Diverged: failed so, as a search job may. Missing: needed, and not of this plan."""
ENDED = frozenset({DONE, FAILED, DIVERGED, BLOCKED, WAITING})
_OPEN = bytes(state not in ENDED and state != RUNNING for state in range(256))
"""For each state, whether what others do can change it."""
_TODO = bytes(state == TODO for state in range(256))
LOOK_SECONDS = 2.0
"""How often one that waits looks at what others do, at first."""
LONGEST_LOOK_SECONDS = 30.0
FEW = 16
"""So many jobs elsewhere are looked at one by one, more by a survey and a sample of them."""
DUTY = 0.05
"""Share of its time that one that waits may spend on surveys."""
NAMES_PER_OPERATION = 300
"""Names that a listing brings at a time; what a survey costs in operations follows from it."""
MOST_TRIES = 64
"""Jobs that are looked at in one go for a free one."""
STALL_SECONDS = 600.0
"""How long a job is waited for that nobody runs and that this process may not run."""


def anything(number: int) -> bool:
    """Say that a job may be run, whichever it is."""
    return True


@dataclass(frozen=True)
class Manners:
    """How a process behaves among others; by default it takes all jobs in the plan's order."""

    token: str = ""
    """Names one of many workers: decides where it begins. Empty: the plan's order."""
    may: Callable[[int], bool] = anything
    """Whether a job, by its number, may be run here."""
    again: Callable[[int, Failure], bool] = lambda number, failure: False
    """Whether a failed job may nevertheless be tried here."""
    leave: bool = False
    """End when all that is left is at work elsewhere, instead of standing by to take over."""


@dataclass
class Costs:
    """Questions asked so far."""

    looks: int = 0
    surveys: int = 0
    failures: int = 0
    readings: int = 0
    """Results that were read to know how long jobs take."""
    collisions: int = 0
    """Jobs that another had taken since they were last seen."""

    def operations(self, jobs: int) -> int:
        """Return about how many operations of a file system that was, of a store of so many jobs."""
        surveys = self.surveys * (3 + jobs // NAMES_PER_OPERATION)
        return 3 * self.looks + self.failures + 2 * self.readings + surveys


@dataclass
class Board:
    """The state of each job of a graph by number, one byte each. `clock` counts seconds.

    `retried` are failures whose jobs are tried again; None: all that stand when the states are read.
    """

    graph: Graph
    ledger: Ledger
    clock: Callable[[], float] = time.monotonic
    manners: Manners = field(default_factory=Manners)
    retried: Mapping[str, Failure] | None = None
    costs: Costs = field(default_factory=Costs)

    def __post_init__(self) -> None:
        graph, token = self.graph, self.manners.token
        self.states = bytearray([TODO]) * graph.count + bytearray([MISSING]) * (
            len(graph.digests) - graph.count
        )
        self.known_failures: dict[int, Failure] = {}
        """Failures that a new try follows, by job."""
        self.failures: dict[int, Failure] = {}
        """Failures of jobs that have ended so."""
        self.changed: list[int] = []
        """Jobs whose state has changed, for whoever shows them; emptied by them."""
        self._unmet = array("l", graph.needed)
        may = self.manners.may
        self._may = (
            bytearray(b"\1") * graph.count if may is anything else bytearray(map(may, range(graph.count)))
        )
        self._pace = Pace(graph)
        self._ready: InOrder | FromOwnPlace = FromOwnPlace(self._pace, token) if token else InOrder()
        self._random = Random(f"{token}-looks")
        self._post = self._random.randrange(graph.count or 1)
        self._counts = [0] * 9
        self.mine = sum(self._may)
        """Jobs to do that may be run here."""
        self._counts[TODO], self._counts[MISSING] = graph.count, len(graph.digests) - graph.count
        self._unsettled: deque[int] = deque()
        self._looked, self._pause = float("-inf"), LOOK_SECONDS
        self._lost = 0
        self._starved = False
        """Whether the last search for a job found none."""
        self._stalled: float | None = None
        for number in graph.roots:
            self._ready.add(number)

    def read(self) -> None:
        """Take the states of all jobs from the ledger: exactly, or, one of many, from names alone."""
        self._take_all(self.ledger.survey() if self.manners.token else self.ledger.states(), first=True)
        self._unsettled += self.graph.beyond

    def free(self, number: int) -> bool:
        """Say whether a job is, as far as is known, to do, and may be run here."""
        return self.states[number] == TODO and bool(self._may[number])

    def take(self) -> int | None:
        """Return a job that can start now, or None; of many workers' it has been looked at exactly.

        Whoever does not start it gives it back with `put_back`.
        """
        tries = 0
        while tries < MOST_TRIES and (number := self._ready.next(self.free)) is not None:
            if not self.manners.token or self._is_free(number):
                self._ready.got()
                self._starved, self._pause = False, LOOK_SECONDS
                return number
            tries += 1
            self.collide()
            # What was learned can block jobs that seem to be ready.
            self.settle()
        self._starved = True
        return None

    def put_back(self, number: int) -> None:
        """Let a job that was taken and not started be ready again."""
        if self.states[number] == TODO:
            self._ready.add(number)

    def bar(self, number: int) -> None:
        """Let a job be run by others alone."""
        if self._may[number]:
            self.mine -= self.states[number] == TODO
            self._may[number] = 0

    def begin(self, number: int) -> None:
        """Note that a job has been started here."""
        self._set(number, RUNNING)

    def leave(self, number: int) -> None:
        """Note that a job turned out to be run by another process; it is looked at soon."""
        self._set(number, ELSEWHERE)
        self._looked, self._pause = float("-inf"), LOOK_SECONDS
        if self.manners.token:
            self.collide()

    def give_back(self, number: int) -> None:
        """Note that a job that ran here is to do again, by whoever comes."""
        self._set(number, TODO)

    def end(self, number: int, state: int, failure: Failure | None = None) -> None:
        """Note how a job ended."""
        if failure is not None:
            self.failures[number] = failure
        self._set(number, state)

    def collide(self) -> None:
        """Count a job that was not free; after enough of them everything is surveyed."""
        self.costs.collisions += 1
        self._lost += 1
        self._ready.taken()
        if self._lost > max(FEW, len(self.graph.digests) // (3 * NAMES_PER_OPERATION)):
            self.survey()

    def survey(self) -> None:
        """See at once what others have done with all jobs."""
        self.costs.surveys += 1
        self._lost = 0
        self._take_all(self.ledger.survey(), first=False)
        todo = self.states.translate(_TODO)
        self._ready.prune(bytes(map(and_, todo, self._may)).__getitem__)
        # Names do not tell which owners have died.
        for number in self._watched():
            self._is_free(number)

    def look(self) -> None:
        """See now and then what became of jobs that are elsewhere; one of many asks only if it has no job."""
        now = self.clock()
        if now - self._looked < self._pause or (self.manners.token and not self._starved):
            return
        elsewhere = list(self._elsewhere())
        if len(elsewhere) > FEW:
            self.survey()
        else:
            for number in elsewhere:
                self._is_free(number)
        spent = self.clock() - now
        self._looked = self.clock()
        # News alone is no reason to ask more often: where many wait, others end jobs all the time. Who ends a
        # job takes what needed it, so that nobody's patience delays the next.
        pause = self._pause * (1.5 + self._random.random()) if self.manners.token else LOOK_SECONDS
        self._pause = max(min(pause, LONGEST_LOOK_SECONDS), spent / DUTY)

    def settle(self) -> None:
        """End the jobs that can never start here: blocked by a failure, or waiting for what nobody runs."""
        while self._unsettled:
            number = self._unsettled.popleft()
            if number >= self.graph.count or self.states[number] != TODO:
                continue
            self._set(number, self.fate(number)[0])

    def fate(self, number: int) -> tuple[int, list[Need]]:
        """Return what a job that is to do comes to (todo, blocked, waiting), and the needs that decide it."""
        needs, state = self.graph.needs[number], self._state_of
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

    def finished(self) -> bool:
        """Say whether there is nothing left that this process may do, or may have to take over."""
        if self._counts[RUNNING]:
            return False
        if self.mine:
            return self._waits_in_vain()
        self._stalled = None
        return self.manners.leave or not any(self._may[number] for number in self._numbers(ELSEWHERE))

    @property
    def stalled(self) -> bool:
        """Whether what is left here waits for jobs that nobody runs, as of the last `finished`."""
        return self._stalled is not None

    def _waits_in_vain(self) -> bool:
        """Say whether what is left here waits for jobs of other workers, and none of them comes."""
        blocked = all(self._unmet[number] for number in self._numbers(TODO) if self._may[number])
        if not blocked or self._counts[ELSEWHERE]:
            self._stalled = None
            return False
        now = self.clock()
        self._stalled = now if self._stalled is None else self._stalled
        return now - self._stalled > STALL_SECONDS

    def _numbers(self, state: int) -> Iterator[int]:
        number = self.states.find(state, 0, self.graph.count)
        while number >= 0:
            yield number
            number = self.states.find(state, number + 1, self.graph.count)

    def _watched(self) -> list[int]:
        """Return a few jobs elsewhere, behind a place of this process's own.

        They stay the same until they end: an owner on another machine is known to be dead only to whoever
        has looked at it several times.
        """
        elsewhere = list(self._numbers(ELSEWHERE))
        start = bisect_left(elsewhere, self._post)
        return [*elsewhere[start : start + FEW], *elsewhere[: max(0, start + FEW - len(elsewhere))]][:FEW]

    def _elsewhere(self) -> Iterator[int]:
        yield from self._numbers(ELSEWHERE)
        outside = range(self.graph.count, len(self.graph.digests))
        yield from (number for number in outside if self.states[number] not in (DONE, DIVERGED))
        if self.manners.token:
            # Of jobs of other kinds of workers only their names tell that they were begun.
            yield from (number for number in self._numbers(TODO) if not self._may[number])

    def _state_of(self, need: Need) -> int:
        return self.states[self.graph.number[need.digest]]

    def _take_all(self, found: Mapping[str, State], *, first: bool) -> None:
        digests, count = self.graph.digests, self.graph.count
        given_back = [*self._numbers(ELSEWHERE), *range(count, len(digests))]
        for number in given_back:
            if self.states[number] not in ENDED and found.get(digests[number], "todo") == "todo":
                self._set(number, TODO if number < count else MISSING)
        # Each worker surveys all jobs again and again: no loop over those of which there is no news.
        unended = self.states.translate(_OPEN)
        seen = list(map(found.get, compress(digests, unended)))
        news = compress(zip(compress(range(len(digests)), unended), seen, strict=True), seen)
        done = []
        for number, state in news:
            if state == "done":
                done.append(number)
            elif state == "running":
                self._set(number, ELSEWHERE)
            elif state == "failed":
                self._take_failure(number, first=first)
        self._take_done(done)

    def _take_done(self, numbers: list[int]) -> None:
        """Note of many jobs that others have done them; the same as `_set` for each, in a shorter loop."""
        states, counts, unmet, dependants = self.states, self._counts, self._unmet, self.graph.dependants
        for number in numbers:
            counts[states[number]] -= 1
            if states[number] == TODO and number < self.graph.count:
                self.mine -= self._may[number]
            states[number] = DONE
        counts[DONE] += len(numbers)
        self.changed += numbers
        for number in numbers:
            for other in dependants[number]:
                unmet[other] -= 1
                if not unmet[other] and states[other] == TODO:
                    self._ready.add(other)
        self._learn(numbers)

    def _learn(self, numbers: Sequence[int]) -> None:
        """Let a few results of jobs that have been done tell how long the others will take."""
        if self.manners.token and (read := self._pace.read(numbers, self.ledger, self._post)):
            self.costs.readings += read
            if self._pace.settle():
                self._ready.reorder()

    def _is_free(self, number: int) -> bool:
        """Look at one job exactly, and note what it has come to."""
        self.costs.looks += 1
        state = self.ledger.state(self.graph.digests[number])
        if state == "done":
            self._set(number, DONE)
        elif state == "running":
            self._set(number, ELSEWHERE)
        elif state == "failed":
            self._take_failure(number, first=False)
        else:
            self._set(number, TODO if number < self.graph.count else MISSING)
        return self.states[number] == TODO

    def _take_failure(self, number: int, *, first: bool) -> None:
        digest = self.graph.digests[number]
        self.costs.failures += 1
        failure = self.ledger.failure(digest)
        if number >= self.graph.count:
            # A job outside the selection that failed before may be fixed by whoever runs it.
            self._set(number, DIVERGED if failure is not None and failure.diverged else MISSING)
            return
        if failure is None or failure == self.known_failures.get(number):
            self._set(number, TODO)
            return
        old = first and self.retried is None
        if old or failure == (self.retried or {}).get(digest) or self.manners.again(number, failure):
            self.known_failures[number] = failure
            self._set(number, TODO)
        else:
            self.end(number, DIVERGED if failure.diverged else FAILED, failure)

    def _set(self, number: int, state: int) -> None:
        known = self.states[number]
        if known == state:
            return
        self.states[number] = state
        self._counts[known] -= 1
        self._counts[state] += 1
        self.changed.append(number)
        if number < self.graph.count:
            if known == TODO:
                self.mine -= self._may[number]
            elif state == TODO:
                self.mine += self._may[number]
            if state == TODO:
                self._unsettled.append(number)
                if not self._unmet[number]:
                    self._ready.add(number)
        dependants = self.graph.dependants[number]
        if state in (DONE, DIVERGED):
            for other in dependants:
                self._unmet[other] -= 1
                if not self._unmet[other] and self.states[other] == TODO:
                    self._ready.add(other)
        if state == DONE:
            self._learn([number])
        if state in (FAILED, DIVERGED, BLOCKED, WAITING, MISSING):
            self._unsettled += dependants
