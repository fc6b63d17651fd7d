"""Scores of a cell over its folds, and the study's table with honest rankings."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from bench_core.analysis.evidence import Cell, Evidence
from bench_core.analysis.quantity import Quantity
from bench_core.declarations.work import Track
from bench_core.metrics.scale import PERCENT, Scale, common_scale

AVERAGE = "average"
"""Column of the study's table over all ranked datasets; no dataset's label is compared with it."""


@dataclass(frozen=True)
class Score:
    """One quantity of one cell over its finished folds, in the unit of its scale."""

    folds: Mapping[int, float]
    """Fold index to value; folds where it is undefined are left out."""
    planned: int
    scale: Scale = PERCENT
    undefined: int = 0
    """Finished folds in which it is undefined."""

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
    track: Track
    scores: Mapping[str, Score]
    """By dataset; one without a finished fold that has a value is absent."""
    ranked: Mapping[str, float]
    """By dataset and AVERAGE: the value that rankings compare; absent where this model cannot be compared."""
    undefined: frozenset[str] = frozenset()
    """Datasets with finished folds, in all of which it is undefined."""


@dataclass(frozen=True)
class Board:
    """Models x datasets for one quantity."""

    quantity: Quantity
    rows: tuple[BoardRow, ...]
    shared: Mapping[str, tuple[int, ...]]
    """By dataset: the finished folds of all models that are ranked there; a dataset without two such models
    is absent."""
    averaged: tuple[str, ...]
    """The datasets that the average runs over: those with a ranking, if they have one unit."""
    waiting: tuple[str, ...]
    """Models without any fold that has what the quantity needs."""

    def row(self, model: str) -> BoardRow:
        """Return one model's line."""
        return next(row for row in self.rows if row.model == model)

    def scale(self, column: str) -> Scale:
        """Return the scale of a dataset's column, or that of the average, if there is one."""
        if column != AVERAGE:
            return self.quantity.scale(column)
        return common_scale(self.quantity.scale(label) for label in self.averaged) or PERCENT

    def best(
        self, column: str, family: str | None = None, more: int = 0, track: Track = "shared"
    ) -> frozenset[str]:
        """Return the models that lead a column (of a family, or of all), as `Scale.leaders` has it.

        Empty where fewer than two models of the track can be compared, where the best is the worst there is,
        and where prompts came from the truth: to be told more is not a distinction.
        """
        if track == "zero-shot/oracle":
            return frozenset()
        rows = [
            row
            for row in self.rows
            if column in row.ranked and family in (None, row.family) and row.track == track
        ]
        return self.scale(column).leaders({row.model: row.ranked[column] for row in rows}, more)


def score(cell: Cell, quantity: Quantity) -> Score | None:
    """Return a cell's quantity over its folds, or None where no fold has a value."""
    values = {fold.index: quantity.of_fold(fold) for fold in cell.folds if quantity.has(fold)}
    return fold_score(cell, quantity, values)


def fold_score(cell: Cell, quantity: Quantity, values: Mapping[int, float]) -> Score | None:
    """Return a score of values by fold, NaN left out; None where nothing is left."""
    known = {index: value for index, value in values.items() if not math.isnan(value)}
    if not known:
        return None
    return Score(known, len(cell.planned), quantity.scale(cell.dataset), len(values) - len(known))


def board(evidence: Evidence, quantity: Quantity) -> Board:
    """Return the study's table for one quantity, models in the order of the spec.

    Models are ranked on a dataset only if they have the same finished folds there, and by their average only
    if they are ranked on every dataset that has a ranking: what is printed is what is compared. Datasets
    whose numbers have different units have no average. Each track is ranked over the folds that its own
    models share.
    """
    scores: dict[str, dict[str, Score]] = {}
    undefined: dict[str, set[str]] = {}
    for model in evidence.models:
        scores[model.label], undefined[model.label] = {}, set()
        for data in evidence.datasets:
            cell = evidence.cell(model.label, data.label)
            found = score(cell, quantity)
            if found is not None:
                scores[model.label][data.label] = found
            elif any(quantity.has(fold) for fold in cell.folds):
                undefined[model.label].add(data.label)
    shared = {}
    for data in evidence.datasets:
        folds = shared_folds([found[data.label] for found in scores.values() if data.label in found])
        if folds:
            shared[data.label] = folds
    own = {
        track: {
            data.label: shared_folds(
                [
                    scores[model.label][data.label]
                    for model in evidence.models
                    if model.track == track and data.label in scores[model.label]
                ]
            )
            for data in evidence.datasets
        }
        for track in evidence.tracks
    }
    one_unit = common_scale(quantity.scale(label) for label in shared) is not None
    rows = []
    for model in evidence.models:
        mine = scores[model.label]
        ranked = {
            label: mine[label].mean
            for label, folds in shared.items()
            if label in mine and tuple(sorted(mine[label].folds)) == (own[model.track][label] or folds)
        }
        if one_unit and len(ranked) == len(shared):
            ranked[AVERAGE] = fmean(ranked.values())
        rows.append(
            BoardRow(model.label, model.family, model.track, mine, ranked, frozenset(undefined[model.label]))
        )
    waiting = tuple(row.model for row in rows if not row.scores and not row.undefined)
    return Board(quantity, tuple(rows), shared, tuple(shared) if one_unit else (), waiting)


def shared_folds(scores: Sequence[Score]) -> tuple[int, ...]:
    """Return the largest set of folds that at least two models have exactly; empty where there is none."""
    counted = Counter(tuple(sorted(item.folds)) for item in scores)
    held = [(len(folds), number, folds) for folds, number in counted.items() if number > 1]
    return max(held)[2] if held else ()
