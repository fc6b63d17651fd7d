"""What a contract hands back when a job is done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bench_core.records import Case, Counts, EpochRecord

CountsSplit = Literal["test", "validation"]


@dataclass(frozen=True)
class Outcome:
    """A trained and tested job."""

    history: tuple[EpochRecord, ...]
    epochs_run: int
    stopped_early: bool
    chosen_epoch: int
    """The epoch whose weights were counted, from 0."""
    best_value: float
    """The checkpoint's monitored validation metric at the chosen epoch."""
    counts: Counts
    counts_split: CountsSplit
    """Which images were counted: validation where the job has no test images."""
    cases: tuple[Case, ...]
