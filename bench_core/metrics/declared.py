"""Declared metrics, computed: what a declaration promises is checked when its function answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bench_core.declarations import Metric, resolve_entry
from bench_core.errors import PluginError
from bench_core.metrics.counts import EmptyPolicy, image_means, mean_defined

KnownUnit = Literal["fraction", "px", "mm"]


def known_unit(metric: Metric, spacing: bool) -> KnownUnit:
    """Return the unit of a metric's numbers on a dataset; `spacing` says whether all images have theirs."""
    if metric.unit == "length":
        return "mm" if spacing else "px"
    return metric.unit


def of_counts(metric: Metric, values: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the scores [...] of counts [..., 3], NaN where undefined.

    Raises PluginError for a metric whose function returns anything else than fractions of this shape.
    """
    counts = np.asarray(values, dtype=np.int64)
    found = resolve_entry(metric.compute)(counts)
    return _checked(metric, found, counts.shape[:-1])


def of_labels(
    metric: Metric,
    options: Mapping[str, Any],
    prediction: NDArray[np.uint8],
    truth: NDArray[np.uint8],
    classes: int,
    spacing: tuple[float, float] | None = None,
    ignore: NDArray[np.bool_] | None = None,
) -> NDArray[np.float64]:
    """Return the scores [classes] of one image's label maps [H, W], NaN where undefined.

    A metric in pixels never gets a spacing. Raises PluginError for a metric whose function returns anything
    else than numbers of its unit, one per class.
    """
    given = None if metric.unit == "px" else spacing
    found = resolve_entry(metric.compute)(prediction, truth, classes, given, ignore, **options)
    return _checked(metric, found, (classes,))


def micro(metric: Metric, values: NDArray[np.int64]) -> float:
    """Return the score of counts [N, K, 3] summed over images and classes."""
    return float(of_counts(metric, np.asarray(values).sum(axis=(0, 1))))


def macro(metric: Metric, values: NDArray[np.int64]) -> float:
    """Return the mean over the defined classes of counts [N, K, 3] summed over images."""
    return float(mean_defined(per_class(metric, values)))


def per_class(metric: Metric, values: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the score [K] of each class of counts [N, K, 3] summed over images."""
    return of_counts(metric, np.asarray(values).sum(axis=0))


def per_image(
    metric: Metric, values: NDArray[np.int64], empty: EmptyPolicy = "ignore"
) -> NDArray[np.float64]:
    """Return the mean [N] over each image's classes of counts [N, K, 3]; `empty` as in `counts.per_image`."""
    return image_means(of_counts(metric, values), values, empty)


def _checked(metric: Metric, found: Any, shape: tuple[int, ...]) -> NDArray[np.float64]:
    try:
        scores = np.asarray(found, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise _broken(metric, f"it returned {type(found).__name__}") from error
    if scores.shape != shape:
        raise _broken(metric, f"it returned numbers of shape {scores.shape} where {shape} belongs")
    defined = scores[~np.isnan(scores)]
    highest = 1.0 if metric.unit == "fraction" else np.finfo(np.float64).max
    if defined.size and not (defined.min() >= 0 and defined.max() <= highest):
        odd = defined.min() if defined.min() < 0 else defined.max()
        raise _broken(metric, f"it returned {odd!r}, which no {metric.unit} can be")
    return scores


def _broken(metric: Metric, cause: str) -> PluginError:
    return PluginError(
        f"metric {metric.name!r} does not return what it declares",
        place=metric.compute if isinstance(metric.compute, str) else repr(metric.compute),
        cause=cause,
        fix="correct its function, or its declared unit",
    )
