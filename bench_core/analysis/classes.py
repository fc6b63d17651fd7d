"""Scores a foreground class, pooled over the images of a fold."""

from __future__ import annotations

import math

from bench_core.analysis.evidence import Cell
from bench_core.analysis.scores import Score
from bench_core.metrics.counts import per_class


def class_scores(cell: Cell, metric: str) -> dict[str, Score]:
    """Return one score a class; a class that no finished fold defines is absent."""
    found: dict[str, dict[int, float]] = {}
    for fold in cell.folds:
        values = per_class(fold.counts.values)[metric]
        for name, value in zip(fold.counts.classes, values, strict=True):
            if not math.isnan(value):
                found.setdefault(name, {})[fold.index] = float(value)
    return {name: Score(folds, len(cell.planned)) for name, folds in found.items()}
