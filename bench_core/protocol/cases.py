"""Which images of a counted split are kept as pictures: the best, the median and the worst."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench_core.metrics.counts import per_image
from bench_core.records import Rank

RANKS: tuple[Rank, ...] = ("best", "worst", "median", "worst")
"""In the order in which few images are given away: two of the worst where there are at least four."""


def choose_cases(ids: tuple[str, ...], values: NDArray[np.int64]) -> list[tuple[str, Rank, float]]:
    """Return (id, rank, dice) of up to four different images, by Dice and then by id.

    The median is the middle one between best and worst, of two middle ones the higher.

    An image's Dice is the mean over the classes that are in its mask or its prediction, whatever the policy
    for empty masks; images without any are passed over. `values` are counts [N, K, 3] in the order of
    `ids`.
    """
    dice = per_image(values, "ignore")["mdsc"]
    order = sorted((float(score), sample) for score, sample in zip(dice, ids, strict=True) if score == score)
    taken: list[tuple[str, Rank, float]] = []
    for rank in RANKS[: len(order)]:
        position = {"best": -1, "worst": 0, "median": len(order) // 2}[rank]
        score, sample = order.pop(position)
        taken.append((sample, rank, score))
    return taken
