"""Folds in which classes and attributes are spread as evenly as whole groups allow."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bench_core.data.arrays import CachedArrays
from bench_core.data.describe import label_pixels
from bench_core.errors import DataError
from bench_core.seeds import derive_seed

CLASSES = "classes"
"""The word for which classes a mask holds; other words are attributes."""
BINS = 4
"""Ranges of equal size into which an attribute of numbers is cut."""
MOST_VALUES = 64
"""Different texts of an attribute; more would name samples and spread nothing."""


def strata_of(arrays: CachedArrays, names: Sequence[str], classes: Sequence[str]) -> NDArray[np.bool_]:
    """Return which stratum each sample belongs to, [N, K]: one column for each class or range of values.

    Raises DataError for an attribute that the samples do not have, or with too many values.
    """
    columns = [np.ones(len(arrays.ids), dtype=bool)]
    for name in names:
        columns += _classes(arrays, classes) if name == CLASSES else _attribute(arrays, name)
    return np.stack(columns, axis=1)


def _classes(arrays: CachedArrays, classes: Sequence[str]) -> list[NDArray[np.bool_]]:
    present = label_pixels(arrays)[:, 1 : len(classes) + 1] > 0
    return [*present.T, ~present.any(axis=1)]


def _attribute(arrays: CachedArrays, name: str) -> list[NDArray[np.bool_]]:
    values = [row.get(name) for row in arrays.attributes]
    known = [value for value in values if value is not None]
    if not known:
        there = sorted({name for row in arrays.attributes for name in row})
        raise DataError(
            f"folds cannot be stratified by {name!r}",
            cause="no sample has such an attribute",
            fix=f"choose from {', '.join([CLASSES, *there])}",
        )
    if all(isinstance(value, str) for value in known):
        texts = sorted({str(value) for value in known})
        if len(texts) > MOST_VALUES:
            raise DataError(
                f"folds cannot be stratified by {name!r}",
                cause=f"it has {len(texts)} values, at most {MOST_VALUES} are possible",
                fix="leave it out of `stratify`",
            )
        columns = [np.array([value == text for value in values]) for text in texts]
    else:
        numbers = np.array([np.nan if value is None else float(value) for value in values])
        edges = np.unique(np.nanquantile(numbers, np.linspace(0, 1, BINS + 1)[1:-1]))
        ranges = np.searchsorted(edges, numbers, side="right")
        columns = [(ranges == number) & ~np.isnan(numbers) for number in range(len(edges) + 1)]
    return [*columns, np.array([value is None for value in values])]


def assign_stratified(
    groups: Sequence[str], strata: NDArray[np.bool_], count: int, seed: int
) -> NDArray[np.int64]:
    """Return each sample's fold in [0, count): whole groups, strata [N, K] spread, random by `seed`.

    Large groups come first, then those with rare strata. Each goes to the fold that lacks most of what it
    brings, a stratum the more the rarer it is. No fold stays empty.
    """
    names, place = np.unique(np.array(groups, dtype=object), return_inverse=True)
    held = np.zeros((len(names), strata.shape[1]))
    np.add.at(held, place, strata)
    total = np.maximum(held.sum(axis=0), 1)
    sizes = np.bincount(place, minlength=len(names))
    weights = (1e6 * held / total).sum(axis=1)

    def turn(number: int) -> tuple[int, int, int]:
        rank = -int(sizes[number]).bit_length(), -int(weights[number]).bit_length()
        return *rank, derive_seed("fold", seed, str(names[number]))

    order = sorted(range(len(names)), key=turn)
    filled = np.zeros((count, strata.shape[1]))
    fold_of = np.zeros(len(names), dtype=np.int64)
    empty = set(range(count))
    for done, number in enumerate(order):
        brings = held[number] / total
        # The growth of the sum of squared shares, were it put there.
        cost = ((2 * filled / total + brings) * brings).sum(axis=1)
        allowed = sorted(empty) if len(order) - done <= len(empty) else range(count)
        fold = min(allowed, key=lambda fold: (round(float(cost[fold]), 12), filled[fold, 0], fold))
        fold_of[number] = fold
        filled[fold] += held[number]
        empty.discard(fold)
    return np.asarray(fold_of[place], dtype=np.int64)
