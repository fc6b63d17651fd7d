"""A metric of label maps: how alike the areas of a structure are, wherever they lie."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def area_ratio(
    prediction: NDArray[np.uint8],
    truth: NDArray[np.uint8],
    classes: int,
    spacing: tuple[float, float] | None,
    ignore: NDArray[np.bool_] | None,
) -> NDArray[np.float64]:
    """Return the smaller area through the larger one [classes]; NaN where neither has the structure."""
    seen = np.ones(truth.shape, bool) if ignore is None else ~ignore
    areas = [np.bincount(labels[seen], minlength=256)[1 : classes + 1] for labels in (prediction, truth)]
    larger = np.maximum(*areas).astype(np.float64)
    return np.divide(np.minimum(*areas), larger, out=np.full(classes, np.nan), where=larger > 0)
