"""Scores of a cell over its folds, and the study's table with honest rankings."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from bench_core.analysis.evidence import Cell, Evidence
from bench_core.metrics.counts import micro

AVERAGE = "average"
"""Column of the study's table over all ranked datasets; no dataset's label is compared with it."""


@dataclass(frozen=True)
class Score:
    """One metric of one cell over its finished folds, in [0, 1]."""

    folds: Mapping[int, float]
    """Fold index to value; folds where the metric is undefined are left out."""
    planned: int

    @property
    def mean(self) -> float:
        """Arithmetic mean over the folds."""
        return fmean(self.folds.values())

    @property
    def std(self) -> float | None:
        """Sample standard deviation over the folds (n - 1); None below two folds."""
        return stdev(self.folds.values()) if len(self.folds) > 1 else None

    @property
    def complete(self) -> bool:
        """True when every planned fold has a value."""
        return len(self.folds) == self.planned


@dataclass(frozen=True)
class BoardRow:
    """One model's line in the study's table."""

    model: str
    family: str
    scores: Mapping[str, Score]
    """By dataset; a dataset without a finished fold is absent."""
    ranked: Mapping[str, float]
    """By dataset and AVERAGE: the value that rankings compare; absent where this model cannot be compared."""


@dataclass(frozen=True)
class Board:
    """Models x datasets for one metric."""

    metric: str
    rows: tuple[BoardRow, ...]
    shared: Mapping[str, tuple[int, ...]]
    """By dataset: the finished folds of all models that are ranked there; a dataset without two such models
    is absent."""
    averaged: tuple[str, ...]
    """The datasets that the average runs over: those with a ranking."""
    waiting: tuple[str, ...]
    """Models without any finished fold."""

    def row(self, model: str) -> BoardRow:
        """Return one model's line."""
        return next(row for row in self.rows if row.model == model)

    def best(self, column: str, family: str | None = None, digits: int = 1) -> frozenset[str]:
        """Return the models that lead a column (of a family, or of all).

        Values that print the same percentage at `digits` decimals share the lead. Empty where fewer than
        two models can be compared: to lead alone is no distinction.
        """
        rows = [row for row in self.rows if column in row.ranked and family in (None, row.family)]
        return leaders({row.model: row.ranked[column] for row in rows}, digits)


def percent(value: float, digits: int = 1) -> str:
    """Return a fraction as a percentage with fixed decimals, without the sign."""
    return f"{100 * value:.{digits}f}"


def leaders(values: Mapping[str, float], digits: int = 1) -> frozenset[str]:
    """Return the names whose percentage prints highest; none below two: to lead alone is no distinction."""
    if len(values) < 2:
        return frozenset()
    printed = {name: float(percent(value, digits)) for name, value in values.items()}
    return frozenset(name for name, value in printed.items() if value == max(printed.values()))


def score(cell: Cell, metric: str) -> Score | None:
    """Return a cell's metric over its folds, or None where no fold has a value."""
    values = {fold.index: micro(fold.counts.values)[metric] for fold in cell.folds}
    known = {index: value for index, value in values.items() if not math.isnan(value)}
    return Score(known, len(cell.planned)) if known else None


def board(evidence: Evidence, metric: str) -> Board:
    """Return the study's table for one metric, models in the order of the spec.

    Models are ranked on a dataset only if they have the same finished folds there, and by their average only
    if they are ranked on every dataset that has a ranking: what is printed is what is compared.
    """
    scores: dict[str, dict[str, Score]] = {}
    for model in evidence.models:
        found = {
            data.label: score(evidence.cell(model.label, data.label), metric) for data in evidence.datasets
        }
        scores[model.label] = {label: value for label, value in found.items() if value is not None}
    shared = {}
    for data in evidence.datasets:
        folds = shared_folds([found[data.label] for found in scores.values() if data.label in found])
        if folds:
            shared[data.label] = folds
    rows = []
    for model in evidence.models:
        mine = scores[model.label]
        ranked = {
            label: mine[label].mean
            for label, folds in shared.items()
            if label in mine and tuple(sorted(mine[label].folds)) == folds
        }
        if shared and len(ranked) == len(shared):
            ranked[AVERAGE] = fmean(ranked.values())
        rows.append(BoardRow(model.label, model.family, mine, ranked))
    waiting = tuple(label for label, found in scores.items() if not found)
    return Board(metric, tuple(rows), shared, tuple(shared), waiting)


def shared_folds(scores: Sequence[Score]) -> tuple[int, ...]:
    """Return the largest set of folds that at least two models have exactly; empty where there is none."""
    counted = Counter(tuple(sorted(item.folds)) for item in scores)
    held = [(len(folds), number, folds) for folds, number in counted.items() if number > 1]
    return max(held)[2] if held else ()
