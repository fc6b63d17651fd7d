"""Scores of each foreground class over the folds."""

from __future__ import annotations

from bench_core.analysis.evidence import Cell
from bench_core.analysis.quantity import Quantity
from bench_core.analysis.scores import Score, fold_score


def class_scores(cell: Cell, quantity: Quantity) -> dict[str, Score]:
    """Return one score per class; a class that no finished fold defines is absent."""
    found: dict[str, dict[int, float]] = {}
    for fold in filter(quantity.has, cell.folds):
        for name, value in quantity.of_classes(fold).items():
            found.setdefault(name, {})[fold.index] = value
    scores = {name: fold_score(cell, quantity, values) for name, values in found.items()}
    return {name: score for name, score in scores.items() if score is not None}
