"""What is ready, what can never start, and what others do: policy over a run's progress and the store."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping

from bench_core.execute.progress import FINAL, JobProgress, RunProgress, Status
from bench_core.store.result import Failure
from bench_core.store.store import Store

LOOK_SECONDS = 2.0
"""How often jobs that other processes run are looked up."""
RATE = "rate"
"""Role of a search job: only such a one has ended when it diverged, as a rate that is not a candidate."""


class Schedule:
    """Decides about the jobs of one run; starts nothing itself.

    Every method that changes a job's status returns the jobs that it changed. `clock` counts seconds.
    `retried` are failures whose jobs are tried again; None: all that stand when the states are read.
    """

    def __init__(
        self,
        progress: RunProgress,
        store: Store,
        clock: Callable[[], float] = time.monotonic,
        retried: Mapping[str, Failure] | None = None,
    ) -> None:
        self.progress = progress
        self._store = store
        self._clock = clock
        self._looked = float("-inf")
        self._retried = retried
        self._known_failures: dict[str, Failure | None] = {}
        self._outside: dict[str, str] = {}
        """State in the store of needed jobs that are not selected."""
        self._needs = {digest: item.job.needs for digest, item in progress.jobs.items()}
        self._open: dict[str, JobProgress] = {}
        """The jobs to do, in the plan's order."""
        self._changed = True
        """Whether anything has ended since `settle` looked: large plans are not gone through in vain."""

    def read(self) -> None:
        """Take the states of all jobs from the store."""
        states = self._store.states()
        for digest, progress in self.progress.jobs.items():
            state = states.get(digest, "todo")
            if state == "done":
                progress.status, progress.done = "done", progress.total
            elif state == "running":
                progress.status = "elsewhere"
            elif state == "failed":
                self._read_failure(progress)
        for needs in self._needs.values():
            for need in needs:
                if need.digest not in self.progress.jobs:
                    self._outside[need.digest] = states.get(need.digest, "todo")
        self._list_open()

    def look(self) -> list[JobProgress]:
        """See, every few seconds, what other processes have done with the jobs that are left to them."""
        if self._clock() - self._looked < LOOK_SECONDS:
            return []
        self._looked = self._clock()
        changed = []
        for progress in self.progress.with_status("elsewhere"):
            if self._look_at(progress):
                changed.append(progress)
        for digest, seen in self._outside.items():
            if seen != "done":
                self._outside[digest] = self._store.state(digest)
                self._changed |= self._outside[digest] != seen
        return changed

    def settle(self) -> list[JobProgress]:
        """End the jobs that can never start in this run: blocked by a failure, or waiting for a later run."""
        changed = []
        # One that is blocked blocks those behind it.
        while self._changed:
            self._changed = False
            for progress in list(self._open.values()):
                status, because = self._hopeless(progress)
                if status is not None:
                    progress.because = because
                    self.end(progress, status)
                    changed.append(progress)
        return changed

    def ready(self) -> Iterator[JobProgress]:
        """Yield the jobs that can start now, in the plan's order."""
        for progress in list(self._open.values()):
            needs = self._needs[progress.job.digest]
            if all(self._state_of(need.digest) in ("done", "diverged") for need in needs):
                yield progress

    def finished(self) -> bool:
        """Say whether every job has ended or waits for something that this run does not do."""
        return not self._open and all(progress.status in FINAL for progress in self.progress.jobs.values())

    def known_failure(self, digest: str) -> Failure | None:
        """Return the failure, from before this run, that a new try follows."""
        return self._known_failures.get(digest)

    def begin(self, progress: JobProgress, device: str) -> None:
        """Note that a job has been started here."""
        progress.status, progress.ran_here, progress.device = "running", True, device
        progress.started, progress.note = self._clock(), "starting"
        self._open.pop(progress.job.digest, None)

    def leave(self, progress: JobProgress) -> None:
        """Note that a job turned out to be run by another process; it is looked up at once."""
        progress.status, progress.ran_here = "elsewhere", False
        self._open.pop(progress.job.digest, None)
        self._looked = float("-inf")

    def end(self, progress: JobProgress, status: Status) -> None:
        """Note how a job ended."""
        progress.status = status
        self._open.pop(progress.job.digest, None)
        self._changed = True

    def _read_failure(self, progress: JobProgress) -> None:
        digest = progress.job.digest
        failure = self._store.failure(digest)
        if self._retried is None or failure is None or failure == self._retried.get(digest):
            self._known_failures[digest] = failure
        else:
            progress.status, progress.failure = "failed", failure

    def _list_open(self) -> None:
        self._open = {item.job.digest: item for item in self.progress.with_status("todo")}

    def _look_at(self, progress: JobProgress) -> bool:
        digest = progress.job.digest
        state = self._store.state(digest)
        if state == "running":
            return False
        if state == "done":
            self.end(progress, "done")
            return True
        failure = self._store.failure(digest) if state == "failed" else None
        if failure is not None and failure != self._known_failures.get(digest):
            progress.failure = failure
            self.end(progress, "failed")
            return True
        # Its owner has died or given it back; in its old place, so that the plan's order holds.
        progress.status = "todo"
        self._list_open()
        return False

    def _hopeless(self, progress: JobProgress) -> tuple[Status | None, str]:
        needs = self._needs[progress.job.digest]
        states = {need: self._state_of(need.digest) for need in needs}
        broken = [
            need
            for need, state in states.items()
            if state in ("failed", "blocked") or (state == "diverged" and need.role != RATE)
        ]
        rates = [need for need in needs if need.role == RATE]
        if rates and all(states[need] == "diverged" for need in rates):
            broken += rates
        if broken:
            kind = "search job" if broken[0].role == RATE else "needed job"
            return "blocked", f"its {kind} {self._name(broken[0].digest)} failed"
        missing = [need for need, state in states.items() if state in ("missing", "waiting")]
        if missing:
            kind = "search job(s)" if all(need.role == RATE for need in missing) else "job(s)"
            return "waiting", f"waiting for {len(missing)} {kind} that are not part of this run"
        return None, ""

    def _state_of(self, digest: str) -> str:
        """Return a needed job's state; "diverged" has ended too, as a rate that is not a candidate."""
        if digest in self.progress.jobs:
            progress = self.progress[digest]
            lost = progress.status == "failed" and progress.failure is not None and progress.failure.diverged
            return "diverged" if lost else progress.status
        state = self._outside[digest]
        if state == "failed":
            failure = self._store.failure(digest)
            return "diverged" if failure is not None and failure.diverged else "missing"
        # A job outside the selection that failed before may be fixed by whoever runs it.
        return state if state in ("done", "running") else "missing"

    def _name(self, digest: str) -> str:
        return self.progress[digest].job.name if digest in self.progress.jobs else digest[:12]
