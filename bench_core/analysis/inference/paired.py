"""All pairs of models on one dataset as columns of group sums, so that every resample serves all pairs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bench_core.analysis.inference.field import Field
from bench_core.analysis.inference.resampling import EXACT_GROUPS, PERMUTATIONS, exchanges
from bench_core.analysis.inference.statistics import (
    MeanOfImages,
    PooledRatio,
    Statistic,
    Sums,
    group_sums,
    image_sums,
    informative,
)

View = Literal["pooled", "images"]
Pairs = tuple[tuple[str, str], ...]


class PairedSums(ABC):
    """Differences of P pairs of models, each model minus its reference, as functions of group sums."""

    pairs: Pairs
    columns: Sums
    """[G, D] sums of each group, all that the differences need."""

    @abstractmethod
    def differences(self, sums: Sums) -> NDArray[np.float64]:
        """Return the differences [..., P] of sums [..., D]."""

    @abstractmethod
    def exchanged(self, moved: Sums) -> NDArray[np.float64]:
        """Return the differences [..., P] after exchange in the groups whose sums are `moved` [..., D]."""

    @abstractmethod
    def of_groups(self, place: int) -> NDArray[np.float64]:
        """Return a pair's difference in each group for which it is defined."""

    @abstractmethod
    def informative(self, place: int) -> NDArray[np.bool_]:
        """Return which groups [G] tell anything of a pair."""

    @abstractmethod
    def weights(self, place: int) -> NDArray[np.float64]:
        """Return how much each group [G] counts in a pair's difference, up to a factor."""

    @abstractmethod
    def left_out(self, place: int) -> int:
        """Return how many tested images a pair leaves out because a score is undefined."""


@dataclass(frozen=True, eq=False)
class PooledPairs(PairedSums):
    """Differences of pooled ratios: three columns for each model."""

    pairs: Pairs
    columns: Sums
    statistic: Statistic
    ends: NDArray[np.intp]
    """[P, 2] places of each pair's models."""

    def differences(self, sums: Sums) -> NDArray[np.float64]:
        """Return the differences of the models' ratios."""
        scores = self.statistic.of(sums.reshape(*sums.shape[:-1], -1, 3))
        return np.asarray(scores[..., self.ends[:, 0]] - scores[..., self.ends[:, 1]])

    def exchanged(self, moved: Sums) -> NDArray[np.float64]:
        """Return the differences after the moved groups' counts have changed sides."""
        totals = self.columns.sum(axis=0).reshape(-1, 3)
        moved = moved.reshape(*moved.shape[:-1], -1, 3)
        first, second = self.ends[:, 0], self.ends[:, 1]
        change = moved[..., second, :] - moved[..., first, :]
        return np.asarray(
            self.statistic.of(totals[first] + change) - self.statistic.of(totals[second] - change)
        )

    def of_groups(self, place: int) -> NDArray[np.float64]:
        """Return the differences of each group's pooled scores."""
        found = self.differences(self.columns)[:, place]
        return np.asarray(found[~np.isnan(found)])

    def informative(self, place: int) -> NDArray[np.bool_]:
        """Return which groups have any pixel of truth or of either prediction."""
        ends = [slice(3 * int(end), 3 * int(end) + 3) for end in self.ends[place]]
        return informative(np.concatenate([self.columns[:, end] for end in ends], axis=1))

    def weights(self, place: int) -> NDArray[np.float64]:
        """Return the pixels of truth or prediction of both models."""
        return np.asarray(
            self.columns.reshape(len(self.columns), -1, 3)[:, self.ends[place]].sum(axis=(1, 2))
        )

    def left_out(self, place: int) -> int:
        """Return 0: every pixel counts."""
        return 0


@dataclass(frozen=True, eq=False)
class ImagePairs(PairedSums):
    """Mean differences over the images that both models have a score of: two columns for each pair."""

    pairs: Pairs
    columns: Sums
    images: int

    def differences(self, sums: Sums) -> NDArray[np.float64]:
        """Return the mean differences."""
        return MeanOfImages().of(sums.reshape(*sums.shape[:-1], -1, 2))

    def exchanged(self, moved: Sums) -> NDArray[np.float64]:
        """Return the mean differences after those of the moved groups have changed their sign."""
        totals = self.columns.sum(axis=0).reshape(-1, 2)
        moved = moved.reshape(*moved.shape[:-1], -1, 2)
        total = totals[:, 0] - 2 * moved[..., 0]
        return MeanOfImages().of(np.stack([total, np.broadcast_to(totals[:, 1], total.shape)], axis=-1))

    def of_groups(self, place: int) -> NDArray[np.float64]:
        """Return the mean difference of each group."""
        found = MeanOfImages().of(self.columns[:, 2 * place : 2 * place + 2])
        return np.asarray(found[~np.isnan(found)])

    def informative(self, place: int) -> NDArray[np.bool_]:
        """Return which groups have an image that both models have a score of."""
        return np.asarray(self.columns[:, 2 * place + 1] > 0)

    def weights(self, place: int) -> NDArray[np.float64]:
        """Return the number of images that both models have a score of."""
        return np.asarray(self.columns[:, 2 * place + 1])

    def left_out(self, place: int) -> int:
        """Return how many tested images one of the two has no score of."""
        return self.images - round(float(self.columns[:, 2 * place + 1].sum()))


def paired_sums(field: Field, view: View) -> PairedSums | None:
    """Return all pairs of a field; None for pooled ratios of a metric that has no counts."""
    labels = list(field.models)
    pairs = tuple(combinations(labels, 2))
    if view == "images":
        columns = []
        for one, other in pairs:
            difference = field.models[one].scores - field.models[other].scores
            columns.append(image_sums(difference, ~np.isnan(difference), field.of_image, len(field.groups)))
        return ImagePairs(pairs, np.concatenate(columns, axis=1), len(field.of_image))
    sums = pooled_sums(field)
    if sums is None:
        return None
    places = {label: place for place, label in enumerate(labels)}
    ends = np.array([(places[one], places[other]) for one, other in pairs], dtype=np.intp)
    columns = [sums[label].sum(axis=1) for label in labels]
    return PooledPairs(pairs, np.concatenate(columns, axis=1), PooledRatio(field.quantity.metric), ends)


def pooled_sums(field: Field) -> Mapping[str, Sums] | None:
    """Return the counts [G, K, 3] of each model, summed over the images of each group."""
    found = {}
    for label, tested in field.models.items():
        if tested.counts is None:
            return None
        counts = tested.counts.reshape(len(tested.counts), -1).astype(np.float64)
        summed = group_sums(counts, field.of_image, len(field.groups))
        found[label] = summed.reshape(len(field.groups), *tested.counts.shape[1:])
    return found


def exchanged_differences(
    sums: PairedSums, seed: int, permutations: int = PERMUTATIONS
) -> NDArray[np.float64]:
    """Return the differences [B, P] of all pairs under exchange of their models in random groups."""
    count = len(sums.columns)
    total = 2**count if count <= EXACT_GROUPS else permutations
    found = np.empty((total, len(sums.pairs)))
    start = 0
    for block in _narrow(exchanges(count, seed, permutations), len(sums.pairs)):
        found[start : start + len(block)] = sums.exchanged(block @ sums.columns)
        start += len(block)
    return found


def _narrow(blocks: Iterator[NDArray[np.float64]], pairs: int) -> Iterator[NDArray[np.float64]]:
    # A block of few groups is long; with many pairs what is computed of it would not fit.
    most = max(1, 2_000_000 // max(pairs, 1))
    for block in blocks:
        for start in range(0, len(block), most):
            yield block[start : start + most]
