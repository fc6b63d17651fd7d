"""Which values of `measure` and `native` follow from the tables that they left; needs no framework."""

from __future__ import annotations

from collections.abc import Mapping

from bench_core.metrics.counts import mean_defined, micro
from bench_core.metrics.tables import NATIVE_COUNTS, SCORES, read_counts, read_scores
from bench_core.store.left import Left


def measured(left: Left) -> Mapping[str, float | str]:
    """Return the mean of each metric over classes, then images, and the unit of lengths if one has it.

    Raises ValueError (TableError) for scores of other images, classes or units than the job's.
    """
    found = read_scores(left.records(SCORES), left.images, left.job.dataset.task.classes)
    values: dict[str, float | str] = {
        name: float(mean_defined(mean_defined(scores.values))) for name, scores in found.items()
    }
    for unit in {scores.unit for scores in found.values()} - {"fraction"}:
        values["lengths"] = unit
    return values


def native(left: Left) -> Mapping[str, float]:
    """Return the pooled metrics of the counts at original size; raises ValueError as `measured` does."""
    return micro(read_counts(left.records(NATIVE_COUNTS), left.images, left.job.dataset.task.classes))
