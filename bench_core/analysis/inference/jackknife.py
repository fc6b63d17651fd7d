"""Inference on a difference from its leave-one-group-out values: Student's t with G - 1 degrees of freedom.

The jackknife's standard error (Efron and Tibshirani 1993, chapter 11) is robust to any dependence within a
group. Where each group has one image and the statistic is a mean, it is s / sqrt(n) of the textbook, so that
everything below is the paired t-test's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench_core.analysis.inference.distributions import t_below, t_quantile
from bench_core.analysis.inference.resampling import Interval


@dataclass(frozen=True)
class Estimate:
    """A difference with the error that the choice of groups brings."""

    value: float
    error: float
    """Standard error."""
    groups: int

    @property
    def degrees(self) -> int:
        """Degrees of freedom."""
        return self.groups - 1

    @property
    def effect(self) -> float:
        """Cohen's d of paired data: the difference in standard deviations of one group's contribution.

        Source: Cohen, Statistical Power Analysis, 2nd ed. 1988, section 2.3 (d_z). NaN without any spread.
        """
        return self.value / (self.error * math.sqrt(self.groups)) if self.error > 0 else math.nan

    def interval(self, confidence: float = 0.95) -> Interval:
        """Return value ± t * error."""
        half = t_quantile(0.5 + confidence / 2, self.degrees) * self.error
        return Interval(self.value - half, self.value + half)


def estimate(value: float, jackknife: NDArray[np.float64]) -> Estimate | None:
    """Return the estimate of a value and its leave-one-out values [G]; None if one is undefined, or G < 2."""
    count = len(jackknife)
    if count < 2 or math.isnan(value) or np.isnan(jackknife).any():
        return None
    spread = float(np.sum((jackknife - jackknife.mean()) ** 2))
    error = math.sqrt((count - 1) / count * spread)
    # What is left of equal values is rounding, not spread.
    negligible = 1e-12 * max(abs(value), float(np.abs(jackknife).max()), 1e-300)
    return Estimate(value, error if error > negligible else 0.0, count)


def p_equivalent(found: Estimate, margin: float) -> float:
    """Return the p-value of two one-sided t-tests that the difference lies within ± margin.

    Source: Schuirmann, Journal of Pharmacokinetics and Biopharmaceutics 15, 1987. Without any spread between
    groups the answer is certain: 0 within the margin, else 1.
    """
    if not found.error:
        return 0.0 if abs(found.value) < margin else 1.0
    below = t_below(-(found.value + margin) / found.error, found.degrees)
    above = t_below((found.value - margin) / found.error, found.degrees)
    return float(max(below, above))


def p_false_claim(found: Estimate) -> float:
    """Return the probability that the model that is ahead is not better.

    The posterior of the true difference under the flat prior p(mean, variance) ~ 1 / variance is t with
    G - 1 degrees of freedom around the observed difference, scaled by its standard error (Gelman et al.,
    Bayesian Data Analysis, 3rd ed. 2013, section 3.2); asked is its share on the other side of zero, as in
    Christodoulou et al., arXiv 2505.04720. 0.5 where nobody is ahead.
    """
    if not found.error:
        return 0.5 if found.value == 0 else 0.0
    return float(t_below(-abs(found.value) / found.error, found.degrees))
