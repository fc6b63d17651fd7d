"""What a heat map says in numbers: how far it lies on the structure, and how far it is the prediction again.

Definitions: energy inside, Wang et al., "Score-CAM", CVPRW 2020 (energy-based pointing game); pointing game,
Zhang et al., IJCV 126, 2018; average precision without interpolation, as in Davis and Goadrich, ICML 2006.
Numbers that need an order of pixels take equal values together, so that no order of pixels in memory decides.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench_core.metrics.map_tables import NUMBERS

Map = NDArray[np.float32]
Mask = NDArray[np.bool_]
Number = NDArray[np.float64]

UNDEFINED = dict.fromkeys(NUMBERS, float("nan"))


def of_map(found: Map, mask: Mask, logits: Map, counted: Mask | None = None) -> dict[str, float]:
    """Return the numbers of a map [S, S] >= 0 of one class, by name; NaN where a number is undefined.

    `mask` [S, S] is the structure, `logits` [S, S] those of the class; pixels that are not `counted` are left
    out of all of them. A map that is not finite or has one value everywhere says nothing of places: all but
    `share` are NaN. So are all but `logits` where the mask is empty or full.

    - `share`: the mask's share of the area.
    - `energy`: the share of the map's sum that lies inside the mask; `lift`: energy over share, 1 for a map
      that knows nothing.
    - `pointing`: whether the largest value lies inside; of several equal ones, the share of them that does.
    - `iou`: intersection over union of the mask and as many of the map's largest pixels as the mask has; of
      pixels that share the last places, the expected intersection.
    - `auprc`: average precision of the map's values for being inside; the share for a map that knows nothing.
    - `logits`: Pearson's correlation with the positive part of the logits; NaN where no logit is positive.
    """
    if counted is None:
        counted = np.ones(mask.shape, dtype=bool)
    values, inside = found[counted].astype(np.float64), mask[counted]
    share = float(inside.mean()) if inside.size else float("nan")
    numbers = {**UNDEFINED, "share": share}
    if is_silent(found) or is_silent(found[counted]):
        return numbers
    numbers["logits"] = correlation(values, np.maximum(logits[counted].astype(np.float64), 0))
    if not 0 < share < 1:
        return numbers
    energy = float(values[inside].sum() / values.sum())
    largest = values == values.max()
    return {
        **numbers,
        "energy": energy,
        "lift": energy / share,
        "pointing": float(inside[largest].mean()),
        "iou": matched_iou(values, inside),
        "auprc": average_precision(values, inside),
    }


def is_silent(found: NDArray[np.floating]) -> bool:
    """Say whether a map is not finite, has one value everywhere, or has none."""
    return found.size == 0 or not np.isfinite(found).all() or bool(found.min() == found.max())


def matched_iou(values: Number, inside: Mask) -> float:
    """Return the IoU of the mask [P] and as many of the largest values [P]; NaN for an empty mask.

    Pixels that tie for the last places enter with the share of them that has a place.
    """
    size = int(inside.sum())
    if size == 0:
        return float("nan")
    last = np.partition(values, len(values) - size)[len(values) - size]
    above, tied = values > last, values == last
    places = (size - int(above.sum())) / int(tied.sum())
    common = float(inside[above].sum() + places * inside[tied].sum())
    return common / (2 * size - common)


def average_precision(values: Number, inside: Mask) -> float:
    """Return the average precision of values [P] for being inside; NaN for an empty mask."""
    size = int(inside.sum())
    if size == 0:
        return float("nan")
    order = np.argsort(-values, kind="stable")
    ordered = values[order]
    ends = np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)
    hits = np.cumsum(inside[order])[ends]
    gained = np.diff(np.concatenate([[0], hits]))
    return float((gained * hits / (ends + 1)).sum() / size)


def correlation(first: NDArray[np.floating], second: NDArray[np.floating]) -> float:
    """Return Pearson's correlation of two arrays of one shape; NaN where one is not finite or constant."""
    if is_silent(first) or is_silent(second):
        return float("nan")
    one, other = (item.astype(np.float64).ravel() for item in (first, second))
    # Scaled first: squares of tiny gradients would vanish.
    one, other = (item / np.abs(item).max() for item in (one, other))
    one, other = one - one.mean(), other - other.mean()
    size = float(np.sqrt((one @ one) * (other @ other)))
    return float(np.clip(one @ other / size, -1, 1)) if size > 0 else float("nan")


def rank_correlation(first: NDArray[np.floating], second: NDArray[np.floating]) -> float:
    """Return Spearman's correlation of two arrays of one shape, ties having the mean of their ranks.

    NaN where one is not finite or constant.
    """
    if is_silent(first) or is_silent(second):
        return float("nan")
    return correlation(ranks(first), ranks(second))


def ranks(values: NDArray[np.floating]) -> Number:
    """Return the rank of each value [...] as [P], from 1; equal values have the mean of theirs."""
    _, places, counts = np.unique(values.ravel(), return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    means: Number = ends - (counts - 1) / 2
    return np.asarray(means[places.ravel()], dtype=np.float64)
