"""Ours beside what others have published: does theirs lie where five more folds of ours would?"""

from __future__ import annotations

import math
from dataclasses import dataclass

from bench_core.analysis.evidence import Cell, Evidence
from bench_core.analysis.inference.distributions import t_quantile
from bench_core.analysis.inference.resampling import Interval
from bench_core.analysis.quantities import quantity
from bench_core.analysis.quantity import Quantity
from bench_core.analysis.scores import Score, fold_score, score
from bench_core.spec.expected import Expected


@dataclass(frozen=True)
class Beside:
    """One published score and ours, in the metric's stored unit."""

    model: str
    dataset: str
    theirs: float
    their_std: float | None
    ours: Score | None
    interval: Interval | None
    """Where the mean of as many folds as theirs would lie, if they were more of ours."""
    rounding: float
    """By how much theirs may differ from what is printed."""

    @property
    def difference(self) -> float | None:
        """Ours minus theirs."""
        return None if self.ours is None else self.ours.mean - self.theirs

    @property
    def within(self) -> bool | None:
        """Whether theirs lies within the interval; None where there is none."""
        if self.interval is None:
            return None
        wide = Interval(self.interval.low - self.rounding, self.interval.high + self.rounding)
        return wide.holds(self.theirs)


@dataclass(frozen=True)
class Published:
    """A published table beside ours."""

    table: Expected
    quantity: Quantity
    cells: tuple[Beside, ...]
    """In the order of the spec's models and datasets."""


def published(evidence: Evidence, table: Expected, alpha: float = 0.05) -> Published:
    """Return a published table with our scores and their prediction intervals of confidence 1 - alpha."""
    found = quantity(evidence, table.metric)
    cells = []
    for model in evidence.models:
        for data in evidence.datasets:
            theirs = table.scores.get(model.label, {}).get(data.label)
            if theirs is None:
                continue
            ours = _ours(evidence.cell(model.label, data.label), found, table.of_class)
            factor = found.scale(data.label).factor
            interval = None
            if ours is not None and ours.std is not None:
                interval = prediction(ours.mean, ours.std, len(ours.folds), table.folds, 1 - alpha)
            cells.append(
                Beside(
                    model=model.label,
                    dataset=data.label,
                    theirs=theirs.mean / factor,
                    their_std=None if theirs.std is None else theirs.std / factor,
                    ours=ours,
                    interval=interval,
                    rounding=0.5 * 10**-table.decimals / factor,
                )
            )
    return Published(table, found, tuple(cells))


def prediction(mean: float, std: float, count: int, more: int, confidence: float = 0.95) -> Interval:
    """Return where the mean of `more` further folds lies, given mean and std of `count` of them.

    mean ± t * std * sqrt(1 / count + 1 / more) with count - 1 degrees of freedom: the prediction interval of
    a mean (Hahn and Meeker, Statistical Intervals, 1991, section 4.8), if folds of both are independent draws
    from one normal distribution. Raises ValueError below two folds.
    """
    if count < 2:
        raise ValueError("one fold has no spread")
    half = t_quantile(0.5 + confidence / 2, count - 1) * std * math.sqrt(1 / count + 1 / more)
    return Interval(mean - half, mean + half)


def _ours(cell: Cell, found: Quantity, of_class: str | None) -> Score | None:
    if of_class is None:
        return score(cell, found)
    values = {
        fold.index: found.of_classes(fold).get(of_class, math.nan) for fold in cell.folds if found.has(fold)
    }
    return fold_score(cell, found, values)
