"""How alike maps of one image are that several networks made: order of all pixels, and the largest ones.

Rank correlation of maps after Adebayo et al., "Sanity Checks for Saliency Maps", NeurIPS 2018; overlap of the
largest values as the top-k intersection of Ghorbani et al., "Interpretation of Neural Networks is Fragile",
AAAI 2019, with as many pixels as the target has, and as intersection over union.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench_core.metrics.map_tables import FOLD_NUMBERS, TRAINED
from bench_steps.grad_cam.numbers import correlation, is_silent, ranks

Map = NDArray[np.float32]
Mask = NDArray[np.bool_]
Number = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Seen:
    """A map as it is compared: its ranks and its top area, over the pixels that count."""

    ranks: Number
    """[P]."""
    top: Number
    """[P]: 1 for a pixel among the largest, the share of places for pixels that tie for the last ones."""


def seen(found: Map | None, counted: Mask, size: int) -> Seen | None:
    """Return what is compared of a map [S, S] with a top area of `size` pixels; None where it says nothing
    of places."""
    if found is None or is_silent(found) or is_silent(found[counted]):
        return None
    values = found[counted].astype(np.float64)
    return Seen(ranks(values), top_area(values, size))


def top_area(values: Number, size: int) -> Number:
    """Return which of the values [P] are the `size` largest; what ties for the last places shares them."""
    if size <= 0:
        return np.zeros(len(values))
    last = np.partition(values, len(values) - size)[len(values) - size]
    above, tied = values > last, values == last
    return np.where(above, 1.0, np.where(tied, (size - int(above.sum())) / int(tied.sum()), 0.0))


def overlap(one: Number, other: Number) -> float:
    """Return the intersection over union of two top areas [P]; NaN where both are empty."""
    union = float(np.maximum(one, other).sum())
    return float(np.minimum(one, other).sum()) / union if union > 0 else float("nan")


def by_chance(share: float) -> float:
    """Return the overlap of two areas of this share of the image that know nothing of each other."""
    return share / (2 - share)


def compared(
    maps: Sequence[Seen | None], trained: Sequence[bool], share: float
) -> Mapping[tuple[str, int], dict[str, float]]:
    """Return the numbers of pairs of networks by how many of the two trained on the image, and how many
    pairs these are.

    `maps` and `trained` are one per network; `share` is the area's share of the pixels that count.

    - `rank`: mean of Spearman's correlation over the pairs; `rank_least`: the least.
    - `overlap`: mean intersection over union of the two top areas; `chance`: what it is for two maps that
      know nothing of each other. Both are NaN for an area that is everything.
    - `silent`: share of pairs of which a map is constant or not finite; the others leave these out.
    """
    pairs: dict[str, list[tuple[Seen | None, Seen | None]]] = {}
    for one, other in itertools.combinations(range(len(maps)), 2):
        pairs.setdefault(TRAINED[trained[one] + trained[other]], []).append((maps[one], maps[other]))
    found = {}
    for key in TRAINED:
        if key not in pairs:
            continue
        known = [(one, other) for one, other in pairs[key] if one is not None and other is not None]
        alike = [correlation(one.ranks, other.ranks) for one, other in known]
        alike = [value for value in alike if value == value]
        numbers = dict.fromkeys(FOLD_NUMBERS, float("nan"))
        numbers["silent"] = 1 - len(known) / len(pairs[key])
        if 0 < share < 1:
            numbers["chance"] = by_chance(share)
            if known:
                numbers["overlap"] = float(np.mean([overlap(one.top, other.top) for one, other in known]))
        if alike:
            numbers |= {"rank": float(np.mean(alike)), "rank_least": float(min(alike))}
        found[key, len(pairs[key])] = numbers
    return found
