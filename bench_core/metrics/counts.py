"""Overlap metrics from exact pixel counts.

All views start from the same integers: true positives, false positives and false negatives of every image and
foreground class (background is never a class here). With TP, FP, FN summed over what a view pools:

    mdsc       = 2 TP / (2 TP + FP + FN)        mrecall    = TP / (TP + FN)
    miou       =   TP / (  TP + FP + FN)        mprecision = TP / (TP + FP)

The views:

    micro            sums over images and classes, then one division
    macro            sums over images, one division per class, then the mean over classes
    per_image        one division per image and class, then the mean over an image's classes
    per_image_micro  sums over an image's classes, then one division per image

Empty and missed structures (a structure is all pixels of one class in whatever is pooled): where neither
truth nor prediction has a pixel, a score is undefined (NaN) and left out of means. A missed structure scores
0 in all four; precision's 0 / 0 is 0 there, since to leave it out would reward silence. A structure that is
only predicted scores 0 in Dice, IoU and precision; recall asks about the truth's pixels only and stays
undefined.

What follows, and what the tests hold: to delete a predicted structure that the truth has never raises a score
per image and class, nor any mean of such scores; nor does moving it where it meets fewer of the truth's
pixels. For sums the same holds of recall always, and of Dice and IoU if at least half of the structure's
pixels are right: D = 2 T / (P + G) falls with (t, p) taken from (T, P) unless t / p < D / 2. Precision of a
sum is that of what is left, so that it must be read beside recall.

The names and the views are those of Metrics Reloaded (Maier-Hein, Reinke et al., Nature Methods 2024) and of
scikit-learn's `average`; scikit-learn scores precision without a prediction 0, too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

METRICS = ("mdsc", "miou", "mrecall", "mprecision")
EmptyPolicy = Literal["ignore", "one", "zero"]
Ratio = Callable[[NDArray[np.int64]], NDArray[np.float64]]
"""Counts [..., 3] to scores [...], NaN where undefined."""


def dice(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the Dice similarity coefficient [...] of counts [..., 3], NaN where all three are zero."""
    hits, errors = counts[..., 0], counts[..., 1] + counts[..., 2]
    return _ratio(2 * hits, 2 * hits + errors)


def iou(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the intersection over union [...] of counts [..., 3], NaN where all three are zero."""
    return _ratio(counts[..., 0], counts.sum(axis=-1))


def recall(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the share of the truth's pixels [...] that are found, NaN where the truth has none."""
    return _ratio(counts[..., 0], counts[..., 0] + counts[..., 2])


def precision(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the share of predicted pixels [...] that are right, 0 where all are missed, NaN for no pixel."""
    found = _ratio(counts[..., 0], counts[..., 0] + counts[..., 1])
    missed = (counts[..., 0] + counts[..., 1] == 0) & (counts[..., 2] > 0)
    return np.where(missed, 0.0, found)


RATIOS: dict[str, Ratio] = {"mdsc": dice, "miou": iou, "mrecall": recall, "mprecision": precision}


def scores(values: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
    """Return every metric of counts [..., 3] as arrays [...], NaN where undefined."""
    counts = np.asarray(values)
    return {name: ratio(counts) for name, ratio in RATIOS.items()}


def micro(values: NDArray[np.int64]) -> dict[str, float]:
    """Return the global micro-average of counts [N, K, 3]: integers pooled over images and classes.

    The sums are exact and each metric is one division, so the order of images cannot matter.
    """
    return {name: float(score) for name, score in scores(np.asarray(values).sum(axis=(0, 1))).items()}


def macro(values: NDArray[np.int64]) -> dict[str, float]:
    """Return the mean over classes of counts [N, K, 3] pooled over images; undefined classes are left out."""
    return {name: float(mean_defined(score)) for name, score in per_class(values).items()}


def per_class(values: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
    """Return metrics [K] of each class, counts [N, K, 3] pooled over images."""
    return scores(np.asarray(values).sum(axis=0))


def per_image(values: NDArray[np.int64], empty: EmptyPolicy = "ignore") -> dict[str, NDArray[np.float64]]:
    """Return metrics [N] of each image: the mean over its classes of counts [N, K, 3].

    A class that is absent from both mask and prediction of an image is left out of that image's mean
    (`ignore`), or scores 1 (`one`) or 0 (`zero`) in all metrics. Recall of a class that is only predicted is
    left out under every policy. An image with nothing left is NaN.
    """
    return {name: image_means(score, values, empty) for name, score in scores(values).items()}


def per_image_micro(
    values: NDArray[np.int64], empty: EmptyPolicy = "ignore"
) -> dict[str, NDArray[np.float64]]:
    """Return metrics [N] of each image, counts [N, K, 3] pooled over its classes.

    `empty` says what an image without any foreground in mask and prediction scores: NaN (`ignore`), 1 or 0.
    """
    return per_image(np.asarray(values).sum(axis=1, keepdims=True), empty)


def by_group(values: NDArray[np.int64], groups: Sequence[str]) -> NDArray[np.int64]:
    """Return counts [G, K, 3] of counts [N, K, 3] summed over each group's images, groups in their order."""
    numbers = {group: number for number, group in enumerate(dict.fromkeys(groups))}
    counts = np.asarray(values)
    summed = np.zeros((len(numbers), *counts.shape[1:]), dtype=np.int64)
    np.add.at(summed, [numbers[group] for group in groups], counts)
    return summed


def image_means(
    score: NDArray[np.float64], values: NDArray[np.int64], empty: EmptyPolicy = "ignore"
) -> NDArray[np.float64]:
    """Return the mean [N] over the classes of scores [N, K], where counts [N, K, 3] tell absent classes."""
    filled = np.array(score, dtype=np.float64)
    if empty != "ignore":
        filled[(np.asarray(values) == 0).all(axis=-1)] = 1.0 if empty == "one" else 0.0
    return mean_defined(filled)


def mean_defined(score: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean [...] over the last axis of [..., K] without its NaN; NaN where nothing is left."""
    defined = ~np.isnan(score)
    return _ratio(np.where(defined, score, 0.0).sum(axis=-1), defined.sum(axis=-1))


def _ratio(numerator: NDArray, denominator: NDArray) -> NDArray[np.float64]:
    quotient = np.full(np.shape(denominator), np.nan)
    return np.asarray(np.divide(numerator, denominator, out=quotient, where=np.asarray(denominator) > 0))
