"""The state of a run as people watch it: each job's progress, counts, and how long it will take."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from bench_core.declarations import JobEvent
from bench_core.plan.job import Job
from bench_core.store.result import Failure

Status = Literal["todo", "running", "elsewhere", "done", "failed", "blocked", "waiting"]
FINAL = ("done", "failed", "blocked", "waiting")


@dataclass
class JobProgress:
    """One job as it is now."""

    job: Job
    status: Status = "todo"
    ran_here: bool = False
    """Started by this run, and not found done or run by another."""
    done: int = 0
    """Units of work behind it: epochs where it trains."""
    total: int = 0
    """Units of work in all; 0 while unknown."""
    loss: float | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    """On the validation images."""
    tested: Mapping[str, float] = field(default_factory=dict)
    """On the test images, where it was tested by this run."""
    note: str = ""
    device: str = ""
    started: float = 0.0
    failure: Failure | None = None
    because: str = ""
    """Why it is blocked or waits."""
    barred: str = ""
    """Why it is left to other workers."""
    unit_seconds: float | None = None
    _last: float | None = None

    def __post_init__(self) -> None:
        self.total = self.total or self.job.epochs

    def advance(self, event: JobEvent, now: float) -> None:
        """Take the numbers of one unit more."""
        before, self.done = self.done, event.epoch + 1 if event.kind == "epoch" else event.done
        if self._last is not None:
            # Who only looks every so often may see several units at once.
            step = (now - self._last) / max(1, self.done - before)
            # A running mean over about the last five units follows a machine that gets busier.
            self.unit_seconds = (
                step if self.unit_seconds is None else self.unit_seconds + (step - self.unit_seconds) / 5
            )
        self._last = now
        self.total = event.total or self.total
        self.loss, self.metrics, self.note = event.loss, event.metrics, event.message

    @property
    def left(self) -> int:
        """Return the units that are still to do, at most."""
        return max(0, self.total - self.done)

    @property
    def seconds_left(self) -> float | None:
        """Return the time until all units are done (early stopping may end sooner), or None if unknown."""
        return None if self.unit_seconds is None else self.unit_seconds * self.left


class RunProgress:
    """All selected jobs of a run, in the plan's order."""

    def __init__(self, jobs: Iterable[Job], slots: int = 1) -> None:
        self.jobs = {job.digest: JobProgress(job) for job in jobs}
        self.slots = slots
        self.stopping = False
        self.late = False
        """Whether the run ended at its deadline; what is not done is for others."""
        self.workers = ""
        """Where jobs run and how many workers there are, in words, if that is not this machine."""
        self.begun = time.monotonic()
        self.deaf: dict[str, str] = {}
        """Plugins whose listener failed, with how: each is told once."""

    def __getitem__(self, digest: str) -> JobProgress:
        return self.jobs[digest]

    def event(self, event: JobEvent) -> None:
        """Take what a job's worker tells."""
        progress = self.jobs[event.digest]
        if event.kind in ("epoch", "progress"):
            progress.advance(event, time.monotonic())
        elif event.kind == "resumed":
            progress.done = event.done
        elif event.kind == "anew":
            progress.note = event.message
        elif event.kind == "testing":
            progress.note = "testing"
        elif event.kind == "finished":
            progress.tested = event.metrics

    def with_status(self, *statuses: Status) -> list[JobProgress]:
        """Return the jobs in one of these states, in the plan's order."""
        return [progress for progress in self.jobs.values() if progress.status in statuses]

    def counts(self) -> Counter[Status]:
        """Return how many jobs are in each state."""
        return Counter(progress.status for progress in self.jobs.values())

    def units(self) -> tuple[int, int]:
        """Return units done and to do in all; a job that stopped early counts in full."""
        total = sum(progress.total for progress in self.jobs.values())
        done = sum(
            progress.total if progress.status in FINAL else progress.done for progress in self.jobs.values()
        )
        return done, total

    def seconds_left(self) -> float | None:
        """Return the time until all jobs are done at this run's own pace, at most; None if unknown yet."""
        known: dict[tuple[str, str, str], list[float]] = {}
        for progress in self.jobs.values():
            if progress.unit_seconds is not None:
                known.setdefault(_cell(progress.job), []).append(progress.unit_seconds)
        if not known:
            return None
        means = {cell: sum(values) / len(values) for cell, values in known.items()}
        overall = sum(means.values()) / len(means)
        waiting = self.with_status("todo", "running")
        left = sum(means.get(_cell(progress.job), overall) * progress.left for progress in waiting)
        return left / max(1, min(self.slots, len(waiting)))


def _cell(job: Job) -> tuple[str, str, str]:
    return job.stage, job.model.label, job.dataset.label
