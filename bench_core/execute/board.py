"""Where every job of a plan stands as one process knows it, and what it asks the ledger to know more.

All questions are bounded: a job is looked at exactly before it is started, the whole is surveyed only when
about as much has been lost to outdated knowledge as a survey costs, and who waits asks less and less often.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import compress
from random import Random

from bench_core.execute.graph import Graph
from bench_core.execute.ledger import Ledger
from bench_core.execute.manners import Manners, anything
from bench_core.execute.pace import Pace
from bench_core.execute.ready import FromOwnPlace, InOrder
from bench_core.execute.tally import DIVERGED, DONE, ELSEWHERE, ENDED, FAILED, MISSING, RUNNING, TODO, Tally
from bench_core.plan.job import Need
from bench_core.store.result import Failure
from bench_core.store.states import State

_OPEN = bytes(state not in ENDED and state != RUNNING for state in range(256))
"""For each state, whether what others do can change it."""
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
        graph, token, may = self.graph, self.manners.token, self.manners.may
        self.known_failures: dict[int, Failure] = {}
        """Failures that a new try follows, by job."""
        self.failures: dict[int, Failure] = {}
        """Failures of jobs that have ended so."""
        self._pace = Pace(graph)
        self._ready: InOrder | FromOwnPlace = FromOwnPlace(self._pace, token) if token else InOrder()
        allowed = b"\1" * graph.count if may is anything else map(may, range(graph.count))
        self._tally = Tally(graph, bytearray(allowed), self._ready)
        self._random = Random(f"{token}-looks")
        self._post = self._random.randrange(graph.count or 1)
        self._looked, self._pause = float("-inf"), LOOK_SECONDS
        self._lost = 0
        self._starved = False
        """Whether the last search for a job found none."""
        self._stalled: float | None = None

    @property
    def states(self) -> bytearray:
        """The state of each job, by number."""
        return self._tally.states

    @property
    def changed(self) -> list[int]:
        """Jobs whose state has changed, for whoever shows them; emptied by them."""
        return self._tally.changed

    @property
    def mine(self) -> int:
        """Jobs to do that may be run here."""
        return self._tally.mine

    def read(self) -> None:
        """Take the states of all jobs from the ledger: exactly, or, one of many, from names alone."""
        self._take_all(self.ledger.survey() if self.manners.token else self.ledger.states(), first=True)
        self._tally.doubt(self.graph.beyond)

    def take(self) -> int | None:
        """Return a job that can start now, or None; of many workers' it has been looked at exactly.

        Whoever does not start it gives it back with `put_back`.
        """
        tries = 0
        while tries < MOST_TRIES and (number := self._ready.next(self._tally.free)) is not None:
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
        self._tally.bar(number)

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
        self._ready.prune(self._tally.all_free().__getitem__)
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
        self._tally.settle()

    def fate(self, number: int) -> tuple[int, list[Need]]:
        """Return what a job that is to do comes to (todo, blocked, waiting), and the needs that decide it."""
        return self._tally.fate(number)

    def finished(self) -> bool:
        """Say whether there is nothing left that this process may do, or may have to take over."""
        if self._tally.count(RUNNING):
            return False
        if self.mine:
            return self._waits_in_vain()
        self._stalled = None
        return self.manners.leave or not any(map(self._tally.may_run, self._tally.numbers(ELSEWHERE)))

    @property
    def stalled(self) -> bool:
        """Whether what is left here waits for jobs that nobody runs, as of the last `finished`."""
        return self._stalled is not None

    def _waits_in_vain(self) -> bool:
        """Say whether what is left here waits for jobs of other workers, and none of them comes."""
        if self._tally.startable() or self._tally.count(ELSEWHERE):
            self._stalled = None
            return False
        now = self.clock()
        self._stalled = now if self._stalled is None else self._stalled
        return now - self._stalled > STALL_SECONDS

    def _watched(self) -> list[int]:
        """Return a few jobs elsewhere, behind a place of this process's own.

        They stay the same until they end: an owner on another machine is known to be dead only to whoever
        has looked at it several times.
        """
        elsewhere = list(self._tally.numbers(ELSEWHERE))
        start = bisect_left(elsewhere, self._post)
        return [*elsewhere[start : start + FEW], *elsewhere[: max(0, start + FEW - len(elsewhere))]][:FEW]

    def _elsewhere(self) -> Iterator[int]:
        yield from self._tally.numbers(ELSEWHERE)
        outside = range(self.graph.count, len(self.graph.digests))
        yield from (number for number in outside if self.states[number] not in (DONE, DIVERGED))
        if self.manners.token:
            # Of jobs of other kinds of workers only their names tell that they were begun.
            yield from (number for number in self._tally.numbers(TODO) if not self._tally.may_run(number))

    def _take_all(self, found: Mapping[str, State], *, first: bool) -> None:
        digests, count = self.graph.digests, self.graph.count
        given_back = [*self._tally.numbers(ELSEWHERE), *range(count, len(digests))]
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
        self._tally.set_done(done)
        self._learn(done)

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
        if self._tally.set(number, state) and state == DONE:
            self._learn([number])
