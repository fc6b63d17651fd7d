"""Segmentation metrics from exact pixel counts; numpy only.

All views start from the same integers: true positives, false positives and false negatives of every image and
foreground class (background is never a class here). With TP, FP, FN summed over what a view pools:

    mdsc       = 2 TP / (2 TP + FP + FN)        mrecall    = TP / (TP + FN)
    miou       =   TP / (  TP + FP + FN)        mprecision = TP / (TP + FP)

A score whose denominator is zero is undefined and NaN. Only the per-image view has a policy for empty masks.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

METRICS = ("mdsc", "miou", "mrecall", "mprecision")
EmptyPolicy = Literal["ignore", "one", "zero"]


def scores(values: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
    """Return every metric of counts [..., 3] as arrays [...], NaN where the denominator is zero."""
    counts = np.asarray(values)
    true_positives, false_positives, false_negatives = counts[..., 0], counts[..., 1], counts[..., 2]
    errors = false_positives + false_negatives
    return {
        "mdsc": _ratio(2 * true_positives, 2 * true_positives + errors),
        "miou": _ratio(true_positives, true_positives + errors),
        "mrecall": _ratio(true_positives, true_positives + false_negatives),
        "mprecision": _ratio(true_positives, true_positives + false_positives),
    }


def micro(values: NDArray[np.int64]) -> dict[str, float]:
    """Return the global micro-average of counts [N, K, 3]: integers pooled over images and classes.

    The sums are exact and each metric is one division, so the order of images cannot matter.
    """
    return {name: float(score) for name, score in scores(np.asarray(values).sum(axis=(0, 1))).items()}


def per_class(values: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
    """Return metrics [K] of each class, counts [N, K, 3] pooled over images."""
    return scores(np.asarray(values).sum(axis=0))


def per_image(values: NDArray[np.int64], empty: EmptyPolicy = "ignore") -> dict[str, NDArray[np.float64]]:
    """Return metrics [N] of each image: the mean over its classes of counts [N, K, 3].

    A class that is absent from both mask and prediction of an image is left out of that image's mean
    (`ignore`), or scores 1 (`one`) or 0 (`zero`) in all metrics. Any other undefined score (recall of a
    class that is only predicted, precision of one that is only in the mask) is left out. An image with
    nothing left is NaN.
    """
    counts = np.asarray(values)
    absent = (counts == 0).all(axis=-1)
    result = {}
    for name, score in scores(counts).items():
        if empty != "ignore":
            score[absent] = 1.0 if empty == "one" else 0.0
        defined = ~np.isnan(score)
        result[name] = _ratio(np.where(defined, score, 0.0).sum(axis=1), defined.sum(axis=1))
    return result


def _ratio(numerator: NDArray, denominator: NDArray) -> NDArray[np.float64]:
    quotient = np.full(np.shape(denominator), np.nan)
    return np.asarray(np.divide(numerator, denominator, out=quotient, where=np.asarray(denominator) > 0))
