"""Scores of a cell over its folds, and the study's table with honest rankings."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean, stdev

from bench_core.analysis.evidence import Cell, Evidence
from bench_core.protocol.metrics import micro

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
    """By dataset and AVERAGE: the value that rankings compare, over cells and folds that all models share."""


@dataclass(frozen=True)
class Board:
    """Models x datasets for one metric."""

    metric: str
    rows: tuple[BoardRow, ...]
    shared: Mapping[str, tuple[int, ...]]
    """By dataset: the folds that all ranked models have, over which they are compared; absent: none."""
    averaged: tuple[str, ...]
    """The datasets that the average runs over: those that every ranked model has."""
    waiting: tuple[str, ...]
    """Models without any finished fold: not ranked."""

    def row(self, model: str) -> BoardRow:
        """Return one model's line."""
        return next(row for row in self.rows if row.model == model)

    def best(self, column: str, family: str | None = None, digits: int = 1) -> frozenset[str]:
        """Return the models that lead a column (of a family, or of all).

        Values that print the same percentage at `digits` decimals share the lead. Empty where fewer than
        two models can be compared: to lead alone is no distinction.
        """
        rows = [row for row in self.rows if column in row.ranked and family in (None, row.family)]
        if len(rows) < 2:
            return frozenset()
        printed = {row.model: percent(row.ranked[column], digits) for row in rows}
        top = max(float(value) for value in printed.values())
        return frozenset(model for model, value in printed.items() if float(value) == top)


def percent(value: float, digits: int = 1) -> str:
    """Return a fraction as a percentage with fixed decimals, without the sign."""
    return f"{100 * value:.{digits}f}"


def score(cell: Cell, metric: str) -> Score | None:
    """Return a cell's metric over its folds, or None where no fold has a value."""
    values = {fold.index: micro(fold.counts.values)[metric] for fold in cell.folds}
    known = {index: value for index, value in values.items() if not math.isnan(value)}
    return Score(known, len(cell.planned)) if known else None


def board(evidence: Evidence, metric: str) -> Board:
    """Return the study's table for one metric, models in the order of the spec."""
    scores: dict[str, dict[str, Score]] = {}
    for model in evidence.models:
        found = {
            data.label: score(evidence.cell(model.label, data.label), metric) for data in evidence.datasets
        }
        scores[model.label] = {label: value for label, value in found.items() if value is not None}
    ranked = [label for label, found in scores.items() if found]
    shared = {}
    for data in evidence.datasets:
        contenders = [label for label in ranked if evidence.cell(label, data.label).planned]
        folds = [
            set(scores[label][data.label].folds) if data.label in scores[label] else set()
            for label in contenders
        ]
        common = set.intersection(*folds) if folds else set()
        if common:
            shared[data.label] = tuple(sorted(common))
    averaged = tuple(
        label for label in shared if all(evidence.cell(model, label).planned for model in ranked)
    )
    rows = []
    for model in evidence.models:
        mine = scores[model.label]
        values = {
            label: fmean(mine[label].folds[index] for index in folds)
            for label, folds in shared.items()
            if label in mine
        }
        if mine and averaged:
            values[AVERAGE] = fmean(values[label] for label in averaged)
        rows.append(BoardRow(model.label, model.family, mine, values))
    waiting = tuple(label for label, found in scores.items() if not found)
    return Board(metric, tuple(rows), shared, averaged, waiting)
