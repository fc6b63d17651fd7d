"""Boundary metrics from label maps: HD95, ASSD and NSD.

Definitions, alike for all three:

- A structure is all pixels of one class in one image. Its boundary pixels are those with at least one of
  their four neighbors outside the structure; beyond the image's edge everything is outside. This is a mask
  minus its erosion by a cross, as in MONAI (`get_mask_edges`) and medpy. DeepMind's surface-distance weighs
  the elements of a contour between the pixels instead, so that its numbers differ a little.
- Distances are Euclidean, between pixel centers, from each boundary pixel to the nearest one of the other
  structure. `spacing` (row, column) in mm per pixel makes them mm; without it they are in pixels.
- All three are symmetric in truth and prediction.
- Pixels of `ignore` belong to no structure, neither in the truth nor in the prediction.

Empty and missed structures: where neither truth nor prediction has the class, the score is undefined (NaN)
and left out of means. Where exactly one has it, the score is the worst there is: the length of the image's
diagonal, which no distance within the image reaches, or an NSD of 0. It is never left out: a mean over the
images in which a structure was found would improve with every structure that is missed.

What follows, and what the tests hold: to delete a predicted structure that the truth has never improves its
score, nor a mean over images and classes. Moving a predicted structure away along an axis, from where its
extent along this axis no longer meets the truth's, never improves a score either: every distance grows.
(Nearer by, no such statement is true of any metric: a comb moved by one tooth fits better than one moved by
half a tooth.)

Sources: Maier-Hein, Reinke et al., "Metrics reloaded", Nature Methods 2024 (HD95, ASSD, NSD); Huttenlocher et
al., IEEE TPAMI 1993 (Hausdorff distance); Heimann et al., IEEE TMI 2009 (ASSD); Nikolov et al., J Med
Internet Res 2021, arXiv:1809.04430 (NSD, there surface Dice).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.uint8]
Spacing = tuple[float, float]
"""Row and column, mm per pixel."""


@dataclass(frozen=True)
class SurfaceDistances:
    """The distances between the boundaries of two structures, neither of which is empty."""

    from_prediction: NDArray[np.float64]
    """From each of its boundary pixels to the truth's nearest one."""
    from_truth: NDArray[np.float64]
    """From each of its boundary pixels to the prediction's nearest one."""


def hd95(
    prediction: Labels,
    truth: Labels,
    classes: int,
    spacing: Spacing | None = None,
    ignore: NDArray[np.bool_] | None = None,
) -> NDArray[np.float64]:
    """Return the 95th percentile Hausdorff distance [K] of labels 1 to K in maps [H, W].

    The larger of the two directed percentiles (not the percentile of both sets together, as medpy has it),
    with linear interpolation between ranks, as in MONAI and Metrics Reloaded. In mm with `spacing`, else in
    pixels. Raises ValueError for maps, spacing or ignore that do not fit.
    """

    def rule(found: SurfaceDistances) -> float:
        return float(max(np.percentile(found.from_prediction, 95), np.percentile(found.from_truth, 95)))

    return _each(prediction, truth, classes, spacing, ignore, rule, None)


def assd(
    prediction: Labels,
    truth: Labels,
    classes: int,
    spacing: Spacing | None = None,
    ignore: NDArray[np.bool_] | None = None,
) -> NDArray[np.float64]:
    """Return the average symmetric surface distance [K] of labels 1 to K in maps [H, W].

    The mean over the boundary pixels of both structures together (Heimann 2009; the mean of the two directed
    means is another metric, MASD). In mm with `spacing`, else in pixels. Raises ValueError as `hd95`.
    """

    def rule(found: SurfaceDistances) -> float:
        total = found.from_prediction.sum() + found.from_truth.sum()
        return float(total / (found.from_prediction.size + found.from_truth.size))

    return _each(prediction, truth, classes, spacing, ignore, rule, None)


def nsd(
    prediction: Labels,
    truth: Labels,
    classes: int,
    spacing: Spacing | None = None,
    ignore: NDArray[np.bool_] | None = None,
    tolerance: float = 2.0,
) -> NDArray[np.float64]:
    """Return the normalized surface distance [K], in [0, 1], of labels 1 to K in maps [H, W].

    The share of the boundary pixels of both structures that lie within `tolerance` (inclusive) of the other
    boundary; in mm with `spacing`, else in pixels. Raises ValueError as `hd95`, and for a tolerance below 0.
    """
    if not tolerance >= 0 or math.isinf(tolerance):
        raise ValueError(f"tolerance must be a number from 0, not {tolerance!r}")

    def rule(found: SurfaceDistances) -> float:
        both = (found.from_prediction, found.from_truth)
        # A distance of 3 x 0.1 mm is within 0.3 mm, whatever the last bit says.
        near = sum(int(np.count_nonzero(part <= tolerance * (1 + 1e-12))) for part in both)
        return near / sum(part.size for part in both)

    return _each(prediction, truth, classes, spacing, ignore, rule, 0.0)


def surface_distances(
    prediction: NDArray[np.bool_], truth: NDArray[np.bool_], spacing: Spacing = (1.0, 1.0)
) -> SurfaceDistances:
    """Return the distances between the boundaries of two masks [H, W]; raises ValueError if one is empty."""
    if not (prediction.any() and truth.any()):
        raise ValueError("an empty structure has no boundary")
    edges = [np.argwhere(_boundary(mask)) for mask in (prediction, truth)]
    shape = prediction.shape
    return SurfaceDistances(
        _nearest(edges[0], edges[1], shape, spacing), _nearest(edges[1], edges[0], shape, spacing)
    )


def diagonal(shape: tuple[int, ...], spacing: Spacing | None = None) -> float:
    """Return the length of an image's diagonal, in mm with `spacing`, else in pixels."""
    row, column = spacing or (1.0, 1.0)
    return math.hypot(shape[0] * row, shape[1] * column)


def _each(
    prediction: Labels,
    truth: Labels,
    classes: int,
    spacing: Spacing | None,
    ignore: NDArray[np.bool_] | None,
    rule: Callable[[SurfaceDistances], float],
    worst: float | None,
) -> NDArray[np.float64]:
    """Return `rule` of each class; `worst` (None: the diagonal) where exactly one map has it, else NaN."""
    _check(prediction, truth, classes, spacing, ignore)
    found = np.full(classes, np.nan)
    for index in range(classes):
        masks = [labels == index + 1 for labels in (prediction, truth)]
        if ignore is not None:
            masks = [mask & ~ignore for mask in masks]
        filled = [bool(mask.any()) for mask in masks]
        if all(filled):
            window = _window(masks[0] | masks[1])
            found[index] = rule(surface_distances(masks[0][window], masks[1][window], spacing or (1.0, 1.0)))
        elif any(filled):
            found[index] = diagonal(truth.shape, spacing) if worst is None else worst
    return found


def _check(
    prediction: Labels,
    truth: Labels,
    classes: int,
    spacing: Spacing | None,
    ignore: NDArray[np.bool_] | None,
) -> None:
    if prediction.ndim != 2 or prediction.shape != truth.shape:
        raise ValueError(f"label maps must be [H, W] and alike, not {prediction.shape} and {truth.shape}")
    if ignore is not None and (ignore.shape != truth.shape or ignore.dtype != np.bool_):
        raise ValueError(f"ignore must be a mask {truth.shape}, not {ignore.dtype} {ignore.shape}")
    if classes < 1:
        raise ValueError(f"there must be at least one class, not {classes}")
    if spacing is not None and (
        len(spacing) != 2 or not all(math.isfinite(side) and side > 0 for side in spacing)
    ):
        raise ValueError(f"spacing must be two lengths above 0 (row, column), not {spacing!r}")


def _window(mask: NDArray[np.bool_]) -> tuple[slice, slice]:
    """Return the bounding box of a mask: all that is beyond it is outside of the structures."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _boundary(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    padded = np.pad(mask, 1)
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return mask & ~inner


def _nearest(
    points: NDArray[np.intp], goals: NDArray[np.intp], shape: tuple[int, ...], spacing: Spacing
) -> NDArray[np.float64]:
    """Return the distance from each point [N, 2] to the nearest of `goals` [M, 2], exactly.

    A distance transform in two passes (after Felzenszwalb and Huttenlocher, Theory of Computing 2012) that is
    only finished where it is asked for: the first finds the nearest goal within each column, for every row;
    the second walks from each point's column to both sides until no column can hold a nearer one.
    """
    gaps = _within_columns(goals, shape)

    def down(row: NDArray[np.intp], column: NDArray[np.intp]) -> NDArray[np.float64]:
        return np.asarray((gaps[row, column].astype(np.float64) * spacing[0]) ** 2)

    rows, columns = points[:, 0], points[:, 1]
    best = down(rows, columns)
    active = np.arange(len(points))
    for step in range(1, shape[1]):
        across = (step * spacing[1]) ** 2
        active = active[best[active] > across]
        if not active.size:
            break
        row, column = rows[active], columns[active]
        # Beyond the edge, the last column is taken for one that lies further away, which changes no minimum.
        left = down(row, np.maximum(column - step, 0))
        right = down(row, np.minimum(column + step, shape[1] - 1))
        best[active] = np.minimum(best[active], np.minimum(left, right) + across)
    return np.sqrt(best)


def _within_columns(goals: NDArray[np.intp], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return how many rows [H, W] the nearest goal of the same column is away, infinite without one."""
    above = np.full(shape, -np.inf, np.float32)
    above[goals[:, 0], goals[:, 1]] = goals[:, 0]
    below = np.abs(above)
    np.maximum.accumulate(above, axis=0, out=above)
    np.minimum.accumulate(below[::-1], axis=0, out=below[::-1])
    row = np.arange(shape[0], dtype=np.float32)[:, None]
    gap: NDArray[np.float32] = np.minimum(row - above, below - row)
    return gap
