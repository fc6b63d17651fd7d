"""What is told of a run while it works, change by change."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bench_core.execute.progress import JobProgress, RunProgress

Watch = Callable[[RunProgress, "Happening | None"], None]
"""Hears of everything that happens, and with None a few times a second in between."""


@dataclass(frozen=True)
class Happening:
    """A change worth a line."""

    kind: str
    """started, anew, resumed, epoch, progress, testing, done, failed, again, given back, elsewhere, returned,
    blocked, waiting, deaf, workers, stalled."""
    progress: JobProgress | None
    """The job that it happened to; None for `deaf`, `workers` and `stalled`."""
    text: str = ""
