"""What is ready, what can never start, and what others do: policy over a run's progress and the store."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping

from bench_core.execute.board import Board
from bench_core.execute.graph import RATE, Graph
from bench_core.execute.ledger import Ledger
from bench_core.execute.manners import Manners
from bench_core.execute.progress import FINAL, JobProgress, RunProgress, Status
from bench_core.execute.tally import BLOCKED, DIVERGED, DONE, ELSEWHERE, FAILED, RUNNING, TODO, WAITING
from bench_core.plan.job import Need
from bench_core.store.result import Failure

_STATUS: Mapping[int, Status] = {
    TODO: "todo",
    RUNNING: "running",
    ELSEWHERE: "elsewhere",
    DONE: "done",
    FAILED: "failed",
    DIVERGED: "failed",
    BLOCKED: "blocked",
    WAITING: "waiting",
}
_STATE: Mapping[Status, int] = {"done": DONE, "failed": FAILED, "todo": TODO}


class Schedule:
    """Decides about the jobs of one run; starts nothing itself.

    What it decides is a Board's policy; this keeps the run's progress to it. Every method that changes a
    job's status returns the jobs that it changed. `clock` counts seconds. `retried` are failures whose jobs
    are tried again; None: all that stand when the states are read.
    """

    def __init__(
        self,
        progress: RunProgress,
        ledger: Ledger,
        clock: Callable[[], float] = time.monotonic,
        retried: Mapping[str, Failure] | None = None,
        manners: Manners | None = None,
    ) -> None:
        self.progress = progress
        self._clock = clock
        self._items = list(progress.jobs.values())
        self.graph = Graph(item.job for item in self._items)
        self.board = Board(self.graph, ledger, clock, manners or Manners(), retried)
        self._ended: list[JobProgress] = []
        self._has_read = False

    def read(self) -> None:
        """Take the states of all jobs from the store."""
        self.board.read()
        self._follow()
        self._has_read = True

    def look(self) -> list[JobProgress]:
        """See, every few seconds, what other processes have done with the jobs that are left to them."""
        self.board.look()
        self._follow()
        return self._told()

    def settle(self) -> list[JobProgress]:
        """End the jobs that can never start in this run: blocked by a failure, or waiting for a later run."""
        self.board.settle()
        self._follow()
        return self._told()

    def ready(self) -> Generator[JobProgress, None, None]:
        """Yield the jobs that can start now; those that are not begun stay ready."""
        seen = []
        try:
            while (number := self.board.take()) is not None:
                seen.append(number)
                yield self._items[number]
        finally:
            for number in seen:
                self.board.put_back(number)

    def finished(self) -> bool:
        """Say whether every job has ended or waits for something that this run does not do."""
        return self.board.finished()

    @property
    def stalled(self) -> bool:
        """Whether what is left here waits for jobs that nobody runs."""
        return self.board.stalled

    def known_failure(self, digest: str) -> Failure | None:
        """Return the failure, from before this run, that a new try follows."""
        return self.board.known_failures.get(self.graph.number[digest])

    def begin(self, progress: JobProgress, device: str) -> None:
        """Note that a job has been started here."""
        self.board.begin(self._number(progress))
        self._follow(progress)
        progress.ran_here, progress.device = True, device
        progress.started, progress.note = self._clock(), "starting"

    def bar(self, progress: JobProgress) -> None:
        """Leave a job to others, since it cannot be run here any more."""
        self.board.bar(self._number(progress))

    def leave(self, progress: JobProgress) -> None:
        """Note that a job turned out to be run by another process; it is looked up soon."""
        self.board.leave(self._number(progress))
        self._follow(progress)
        progress.ran_here = False

    def give_back(self, progress: JobProgress) -> None:
        """Note that a job that ran here is to do again."""
        self.board.give_back(self._number(progress))
        self._follow(progress)
        progress.ran_here = False

    def end(self, progress: JobProgress, status: Status) -> None:
        """Note how a job ended."""
        failure = progress.failure if status == "failed" else None
        state = DIVERGED if failure is not None and failure.diverged else _STATE[status]
        self.board.end(self._number(progress), state, failure)
        self._follow(progress)

    def _number(self, progress: JobProgress) -> int:
        return self.graph.number[progress.job.digest]

    def _told(self) -> list[JobProgress]:
        """Return the jobs that have ended, other than here, since this was last asked."""
        ended, self._ended = self._ended, []
        return ended

    def _follow(self, own: JobProgress | None = None) -> None:
        """Bring the progress to what the board says; of jobs but `own` it is noted that they have ended."""
        board = self.board
        for number in dict.fromkeys(board.changed):
            if number >= self.graph.count:
                continue
            item, status = self._items[number], _STATUS[board.states[number]]
            if item.status == status:
                continue
            item.status = status
            if status == "failed":
                item.failure = board.failures.get(number)
            elif status in ("blocked", "waiting"):
                item.because = self._because(number)
            elif status == "done" and not item.ran_here:
                item.done = item.total
            if status in FINAL and item is not own and self._has_read:
                self._ended.append(item)
        board.changed.clear()

    def _because(self, number: int) -> str:
        state, needs = self.board.fate(number)
        if state == BLOCKED:
            kind = "search job" if needs[0].role == RATE else "needed job"
            return f"its {kind} {self._name(needs[0])} failed"
        kind = "search job(s)" if all(need.role == RATE for need in needs) else "job(s)"
        return f"waiting for {len(needs)} {kind} that are not part of this run"

    def _name(self, need: Need) -> str:
        number = self.graph.number[need.digest]
        return self._items[number].job.name if number < self.graph.count else need.digest[:12]
