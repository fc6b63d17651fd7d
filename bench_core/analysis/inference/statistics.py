"""What is estimated: a score as a function of sums over groups, so that resampling is a matrix product.

A group (patient, session, cluster of duplicates, volume) is what was drawn independently; its images are not.
Each statistic reads one row of sums for each group, adds up the rows that a resample takes, and divides once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench_core.declarations import Metric
from bench_core.metrics.declared import of_counts

Sums = NDArray[np.float64]
"""[..., D], sums over some groups."""


class Statistic(ABC):
    """A score of sums."""

    @abstractmethod
    def of(self, sums: Sums) -> NDArray[np.float64]:
        """Return the score [...] of sums [..., D], NaN where it is undefined."""


@dataclass(frozen=True)
class PooledRatio(Statistic):
    """A metric of pixel counts, D = 3: sums of true positives, false positives and false negatives."""

    metric: Metric

    def of(self, sums: Sums) -> NDArray[np.float64]:
        """Return the score; sums of counts stay exact integers in float64 up to 2**53."""
        return of_counts(self.metric, np.rint(sums).astype(np.int64))


@dataclass(frozen=True)
class MeanOfImages(Statistic):
    """The mean over images, D = 2: the sum of their scores, and how many there are."""

    def of(self, sums: Sums) -> NDArray[np.float64]:
        """Return the mean."""
        total, number = sums[..., 0], sums[..., 1]
        mean = np.full(total.shape, np.nan)
        np.divide(total, number, out=mean, where=number > 0.5)
        return mean


def group_sums(values: NDArray[np.float64], groups: NDArray[np.intp], count: int) -> Sums:
    """Return sums [G, D] of values [N, D] over the images of each group; `groups` [N] are numbers below G."""
    sums = np.zeros((count, values.shape[1]))
    np.add.at(sums, groups, values)
    return sums


def image_sums(
    scores: NDArray[np.float64], used: NDArray[np.bool_], groups: NDArray[np.intp], count: int
) -> Sums:
    """Return the sums [G, 2] that MeanOfImages reads of scores [N]; images not `used` are left out."""
    values = np.stack([np.where(used, scores, 0.0), used.astype(np.float64)], axis=1)
    return group_sums(values, groups, count)


def informative(sums: Sums) -> NDArray[np.bool_]:
    """Return which groups [G] add anything to sums [G, D]: one without a pixel or a score tells nothing."""
    return np.asarray((sums != 0).any(axis=1))


def left_out(sums: Sums) -> Sums:
    """Return the sums [G, D] of all groups but one, for each group of sums [G, D]."""
    return np.asarray(sums.sum(axis=0) - sums)


def effective_groups(weights: NDArray[np.float64]) -> float:
    """Return how many groups of equal weight have the scatter of groups with these weights [G].

    Source: Kish, Survey Sampling, 1965, section 11.7: (sum of w)² / (sum of w²). 0 without any weight.
    """
    squares = float(np.sum(weights**2))
    return float(np.sum(weights)) ** 2 / squares if squares > 0 else 0.0
