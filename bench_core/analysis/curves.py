"""Training curves: a quantity per epoch, one line per fold, and their mean while all folds train."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import fmean

from bench_core.analysis.evidence import Cell
from bench_core.records import EpochRecord


@dataclass(frozen=True)
class Line:
    """One fold's values, an epoch a point; NaN where undefined."""

    fold: int
    values: tuple[float, ...]
    chosen_epoch: int
    """The epoch (from 0) whose weights were tested."""


@dataclass(frozen=True)
class CurveSet:
    """All folds of one cell."""

    model: str
    dataset: str
    quantity: str
    """A validation metric, or "loss" for the training loss."""
    lines: tuple[Line, ...]

    @property
    def mean(self) -> tuple[float, ...]:
        """Mean over folds, up to the epoch where the first of them stopped."""
        shortest = min((len(line.values) for line in self.lines), default=0)
        columns = ([line.values[epoch] for line in self.lines] for epoch in range(shortest))
        return tuple(fmean(column) for column in columns)


def curves(cell: Cell, quantity: str) -> CurveSet:
    """Return a cell's curves of a validation metric, or of the training "loss"."""
    lines = []
    for fold in cell.folds:
        if fold.training is not None:
            values = tuple(_value(record, quantity) for record in fold.training.history)
            lines.append(Line(fold.index, values, fold.training.chosen_epoch))
    return CurveSet(cell.model, cell.dataset, quantity, tuple(lines))


def _value(record: EpochRecord, quantity: str) -> float:
    return record.loss if quantity == "loss" else record.validation.get(quantity, math.nan)
