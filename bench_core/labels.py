"""Label maps compared with the truth: exact pixel counts and the images that are kept as pictures."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from bench_core.declarations import IGNORE
from bench_core.records import Counts, Predictions, Rank

RANKS: tuple[Rank, ...] = ("best", "worst", "median", "worst")
"""In the order in which few images are given away: two of the worst where there are at least four."""


def count(labels: NDArray[np.uint8], truth: NDArray[np.uint8], classes: int) -> NDArray[np.int64]:
    """Return true positives, false positives, false negatives [K, 3] of one image's foreground classes.

    `labels` and `truth` are class indices of equal shape; pixels whose truth is IGNORE are left out.
    """
    seen = truth != IGNORE
    width = classes + 1
    pairs = truth[seen].astype(np.int64) * width + labels[seen]
    confusion = np.bincount(pairs, minlength=width * width).reshape(width, width)
    hits = confusion.diagonal()
    table = np.stack([hits, confusion.sum(axis=0) - hits, confusion.sum(axis=1) - hits], axis=-1)
    counts: NDArray[np.int64] = table[1:].astype(np.int64)
    return counts


def count_all(
    predictions: Predictions,
    truths: Iterable[NDArray[np.uint8]],
    groups: tuple[str, ...],
    classes: tuple[str, ...],
) -> Counts:
    """Return the counts of label maps against their masks, which come in the same order, one at a time."""
    rows = [
        count(labels, truth, len(classes)) for labels, truth in zip(predictions.labels, truths, strict=True)
    ]
    values = np.stack(rows) if rows else np.zeros((0, len(classes), 3), np.int64)
    return Counts(predictions.ids, groups, classes, values)


def choose_cases(ids: tuple[str, ...], values: NDArray[np.int64]) -> list[tuple[str, Rank, float]]:
    """Return (id, rank, dice) of up to four different images, by Dice and then by id.

    The median is the middle one between best and worst, of two middle ones the higher. An image's Dice is the
    mean over the classes that are in its mask or its prediction; images without any are passed over.
    `values` are counts [N, K, 3] in the order of `ids`.
    """
    doubled = 2 * values[..., 0]
    sizes = doubled + values[..., 1] + values[..., 2]
    order = sorted(
        (float((hits[total > 0] / total[total > 0]).mean()), sample)
        for sample, hits, total in zip(ids, doubled, sizes, strict=True)
        if total.any()
    )
    taken: list[tuple[str, Rank, float]] = []
    for rank in RANKS[: len(order)]:
        position = {"best": -1, "worst": 0, "median": len(order) // 2}[rank]
        score, sample = order.pop(position)
        taken.append((sample, rank, score))
    return taken
