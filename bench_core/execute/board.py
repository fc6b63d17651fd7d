"""The state of a run as people watch it: each job's progress, counts by cell, and how long it will take."""

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
class Progress:
    """One job as it is now."""

    job: Job
    status: Status = "todo"
    ran_here: bool = False
    """Started by this run, and not found done or run by another."""
    epochs_done: int = 0
    loss: float | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    note: str = ""
    device: str = ""
    started: float = 0.0
    failure: Failure | None = None
    because: str = ""
    """Why it is blocked or waits."""
    epoch_seconds: float | None = None
    _last_epoch: float | None = None

    def epoch(self, event: JobEvent, now: float) -> None:
        """Take one epoch's numbers."""
        if self._last_epoch is not None:
            step = now - self._last_epoch
            # A running mean over about the last five epochs follows a machine that gets busier.
            self.epoch_seconds = (
                step if self.epoch_seconds is None else self.epoch_seconds + (step - self.epoch_seconds) / 5
            )
        self._last_epoch = now
        self.epochs_done, self.loss, self.metrics, self.note = event.epoch + 1, event.loss, event.metrics, ""

    @property
    def seconds_left(self) -> float | None:
        """Return the time until all epochs are run (early stopping may end sooner), or None if unknown."""
        if self.epoch_seconds is None:
            return None
        return self.epoch_seconds * (self.job.training.epochs - self.epochs_done)


class Board:
    """All selected jobs of a run, in the plan's order."""

    def __init__(self, jobs: Iterable[Job], workers: int = 1) -> None:
        self.progress = {job.digest: Progress(job) for job in jobs}
        self.workers = workers
        self.stopping = False
        self.begun = time.monotonic()

    def __getitem__(self, digest: str) -> Progress:
        return self.progress[digest]

    def event(self, event: JobEvent) -> None:
        """Take what a job's worker tells."""
        progress = self.progress[event.digest]
        if event.kind == "epoch":
            progress.epoch(event, time.monotonic())
        elif event.kind == "testing":
            progress.note = "testing"

    def with_status(self, *statuses: Status) -> list[Progress]:
        """Return the jobs in one of these states, in the plan's order."""
        return [progress for progress in self.progress.values() if progress.status in statuses]

    def counts(self) -> Counter[Status]:
        """Return how many jobs are in each state."""
        return Counter(progress.status for progress in self.progress.values())

    def cells(self) -> dict[tuple[str, str], Counter[Status]]:
        """Return the counts of each (model label, dataset label)."""
        table: dict[tuple[str, str], Counter[Status]] = {}
        for progress in self.progress.values():
            cell = (progress.job.model.label, progress.job.dataset.label)
            table.setdefault(cell, Counter())[progress.status] += 1
        return table

    def epochs(self) -> tuple[float, float]:
        """Return epochs run and to run in all; a job that stopped early counts in full."""
        total = sum(progress.job.training.epochs for progress in self.progress.values())
        done = sum(
            progress.job.training.epochs if progress.status in FINAL else progress.epochs_done
            for progress in self.progress.values()
        )
        return done, total

    def seconds_left(self) -> float | None:
        """Return the time until all jobs are done at this run's own pace, at most; None if unknown yet."""
        known: dict[tuple[str, str], list[float]] = {}
        for progress in self.progress.values():
            if progress.epoch_seconds is not None:
                known.setdefault(_cell(progress.job), []).append(progress.epoch_seconds)
        if not known:
            return None
        means = {cell: sum(values) / len(values) for cell, values in known.items()}
        overall = sum(means.values()) / len(means)
        left = sum(
            means.get(_cell(progress.job), overall) * (progress.job.training.epochs - progress.epochs_done)
            for progress in self.with_status("todo", "running")
        )
        return left / max(1, min(self.workers, len(self.with_status("todo", "running"))))


def _cell(job: Job) -> tuple[str, str]:
    return job.model.label, job.dataset.label
