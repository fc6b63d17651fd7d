"""What finished jobs tell of those that are alike: how long an epoch takes, how much memory it needs."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from statistics import median

from bench_core.errors import StoreError
from bench_core.execute.progress import JobProgress, RunProgress
from bench_core.plan.job import Job, Train
from bench_core.store.result import Result
from bench_core.store.store import Store

MOST_READ = 3
"""Results that are read for one question; a question that was answered is not asked again."""


class Known:
    """Answers from sealed results of the same study, on the same kind of device."""

    def __init__(self, store: Store, progress: RunProgress, kind: str) -> None:
        self._store = store
        self._kind = kind
        """cpu, cuda or mps: neither time nor memory compare across them."""
        self._cells: dict[tuple[object, ...], list[JobProgress]] = {}
        for item in progress.jobs.values():
            self._cells.setdefault(_cell(item.job), []).append(item)
        self._results: dict[tuple[object, ...], list[Result]] = {}

    def epoch_seconds(self, job: Job) -> float | None:
        """Return how long an epoch of a job took here, or in finished jobs like it; None if nothing tells."""
        here = [item.unit_seconds for item in self.alike(job) if item.unit_seconds is not None]
        if here:
            return median(here)
        epochs = [
            record.train_seconds + record.validation_seconds
            for result in self._finished(job)
            if result.training is not None
            for record in result.training.history
        ]
        return median(epochs) if epochs else None

    def memory(self, job: Job) -> int | None:
        """Return the most bytes that a finished job like it took; None if nothing tells."""
        return max((result.peak_memory_bytes for result in self._finished(job)), default=None) or None

    def alike(self, job: Job) -> Iterable[JobProgress]:
        """Return the jobs that take as much of both as this one, itself included."""
        return self._cells.get(_cell(job), ())

    def _finished(self, job: Job) -> list[Result]:
        cell = _cell(job)
        if cell not in self._results:
            done = (item.job.digest for item in self.alike(job) if item.status == "done")
            found = [
                result for digest in islice(done, MOST_READ) if (result := self._read(digest)) is not None
            ]
            if not found:
                return []
            self._results[cell] = found
        return self._results[cell]

    def _read(self, digest: str) -> Result | None:
        try:
            result = self._store.result(digest)
        except StoreError:
            return None
        return result if str(result.provenance.get("device", "")).startswith(self._kind) else None


def _cell(job: Job) -> tuple[object, ...]:
    """Return what jobs have in common whose epochs take equally long and need the same memory."""
    batch = job.work.training.batch_size if isinstance(job.work, Train) else 0
    return (type(job.work).__name__, *(() if isinstance(job.work, Train) else (job.stage,)), job.model.label,
            job.dataset.label, job.pixels.image_size, batch)  # fmt: skip
