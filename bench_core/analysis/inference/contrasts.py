"""Differences that are asked of t: of two models, of means of models, over datasets and between them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench_core.analysis.inference.distributions import t_below, t_quantile
from bench_core.analysis.inference.field import Field
from bench_core.analysis.inference.jackknife import Estimate, estimate
from bench_core.analysis.inference.paired import View
from bench_core.analysis.inference.ranking import score_columns
from bench_core.analysis.inference.resampling import Interval
from bench_core.analysis.inference.shown import Proof
from bench_core.analysis.inference.statistics import informative, left_out


@dataclass(frozen=True)
class Contrast:
    """A difference with its standard error and degrees of freedom, in the metric's stored unit."""

    value: float
    error: float
    degrees: float

    def above(self, bound: float) -> float:
        """Return the p-value that the true difference is above a bound."""
        return self.below(bound, -1.0)

    def below(self, bound: float, sign: float = 1.0) -> float:
        """Return the p-value that the true difference is below a bound."""
        apart = sign * (self.value - bound)
        if not self.error:
            return 0.0 if apart < 0 else 1.0
        return float(t_below(apart / self.error, self.degrees))

    def interval(self, confidence: float) -> Interval:
        """Return value ± t * error."""
        half = t_quantile(0.5 + confidence / 2, self.degrees) * self.error if self.error else 0.0
        return Interval(self.value - half, self.value + half)

    def times(self, factor: float) -> Contrast:
        """Return it in another unit, or turned around."""
        return Contrast(factor * self.value, abs(factor) * self.error, self.degrees)

    def exceeds(self, margin: float) -> Proof:
        """Return the proof that the difference is above the margin."""
        return Proof(self.above(margin), self.below(margin))

    def within(self, margin: float) -> Proof:
        """Return the proof that the difference lies within ± margin, by two one-sided tests.

        Against it speaks either side, so the smaller p-value counts twice.
        """
        inside = max(self.below(margin), self.above(-margin))
        return Proof(inside, min(1.0, 2 * min(self.above(margin), self.below(-margin))))


def contrast(found: Estimate) -> Contrast:
    """Return an estimate by jackknife as a contrast."""
    return Contrast(found.value, found.error, found.degrees)


def summed(parts: Sequence[Contrast]) -> Contrast:
    """Return the sum of independent contrasts; degrees of freedom by Welch and Satterthwaite.

    Source: Satterthwaite, Biometrics Bulletin 2, 1946.
    """
    squares = [part.error**2 for part in parts]
    total = sum(squares)
    slack = sum(square**2 / part.degrees for square, part in zip(squares, parts, strict=True))
    degrees = total**2 / slack if slack > 0 else min(part.degrees for part in parts)
    return Contrast(sum(part.value for part in parts), math.sqrt(total), degrees)


def mean_of(parts: Sequence[Contrast]) -> Contrast:
    """Return the mean of independent contrasts."""
    return summed(parts).times(1 / len(parts))


def means_apart(field: Field, view: View, first: Sequence[str], second: Sequence[str]) -> Contrast | None:
    """Return the mean score of some models minus that of others on a dataset, by jackknife over groups.

    None where a score is undefined, or is without one of the groups.
    """
    statistic, columns, _, _ = score_columns(field, view)
    models = list(field.models)
    weights = np.zeros(len(models))
    for side, sign in ((first, 1.0), (second, -1.0)):
        for label in side:
            weights[models.index(label)] += sign / len(side)
    width = columns.shape[1] // len(models)

    def score(sums: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(statistic.of(sums.reshape(*sums.shape[:-1], len(models), width)) @ weights)

    kept = score(left_out(columns))[informative(columns)]
    found = estimate(float(score(columns.sum(axis=0))), kept)
    return None if found is None else contrast(found)
