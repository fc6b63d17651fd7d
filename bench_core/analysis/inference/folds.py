"""What folds and repeats say: the corrected resampled t-test, and which of them scores vary over."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, variance

from bench_core.analysis.inference.distributions import t_below


@dataclass(frozen=True)
class FoldTest:
    """A t-test over the differences of folds."""

    mean: float
    statistic: float
    degrees: int
    p: float


def corrected_resampled_t(differences: Sequence[float], ratio: float) -> FoldTest | None:
    """Return the test of no difference over folds and repeats whose training sets overlap.

    `ratio` is the number of test images over that of training images. The variance of the mean is
    (1 / J + ratio) s² for J differences. None below two differences.
    Sources: Nadeau and Bengio, Machine Learning 52, 2003; for repeated cross-validation Bouckaert and Frank,
    PAKDD 2004.
    """
    count = len(differences)
    if count < 2:
        return None
    mean, spread = fmean(differences), variance(differences)
    # Differences that are equal but for their rounding have no spread to test with.
    if spread <= (1e-12 * max(abs(value) for value in differences)) ** 2:
        return FoldTest(mean, math.copysign(math.inf, mean) if mean else 0.0, count - 1, 0.0 if mean else 1.0)
    statistic = mean / math.sqrt((1 / count + ratio) * spread)
    return FoldTest(mean, statistic, count - 1, float(2 * t_below(-abs(statistic), count - 1)))


@dataclass(frozen=True)
class Components:
    """Standard deviations of one fold's score that have different causes."""

    folds: float
    """Between folds (other images), the scatter of repeats taken out."""
    repeats: float
    """Between repeats of the same fold (other initial weights, another order of samples)."""


def components(scores: Mapping[tuple[int, int], float]) -> Components | None:
    """Return the variance components of scores by (fold, repeat) of the same folds.

    One-way random effects by analysis of variance, unequal numbers of repeats allowed, a negative component
    set to 0 (Searle, Casella and McCulloch, Variance Components, 1992, section 3.6). None without two folds,
    or where no fold has two repeats.
    """
    by_fold: dict[int, list[float]] = {}
    for (fold, _), score in scores.items():
        by_fold.setdefault(fold, []).append(score)
    sizes = [len(found) for found in by_fold.values()]
    total, count = sum(sizes), len(sizes)
    if count < 2 or total == count:
        return None
    grand = fmean(scores.values())
    means = {fold: fmean(found) for fold, found in by_fold.items()}
    within = sum((score - means[fold]) ** 2 for fold, found in by_fold.items() for score in found)
    between = sum(len(found) * (means[fold] - grand) ** 2 for fold, found in by_fold.items())
    within /= total - count
    between /= count - 1
    usual = (total - sum(size**2 for size in sizes) / total) / (count - 1)
    return Components(math.sqrt(max(0.0, (between - within) / usual)), math.sqrt(within))
