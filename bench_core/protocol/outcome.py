"""What every kind of job hands back when it is done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bench_core.records import Predictions, TestedSplit, TrainingRecord


@dataclass(frozen=True)
class Outcome:
    """A finished job: label maps of the tested images, how it trained, numbers of its own."""

    predictions: Predictions | None = None
    tested: TestedSplit = "test"
    """Which images the label maps are of: validation where the job has no test images."""
    training: TrainingRecord | None = None
    """Of jobs under the shared protocol."""
    values: Mapping[str, float | str] = field(default_factory=dict)
    """A step's or own procedure's numbers, for the report: {"deletion-auc": 0.41}."""
