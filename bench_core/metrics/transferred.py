"""Values of networks on another dataset, from their counts there and at home."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench_core.metrics.counts import micro

HOME = "home-"
"""Begins the names of values of the images that the networks were tested on at home."""


def transfer_values(there: NDArray[np.int64], home: NDArray[np.int64]) -> dict[str, float]:
    """Return the pooled metrics of counts [N, K, 3] there, and of counts [M, K, 3] at home as `home-NAME`."""
    return {**micro(there), **{f"{HOME}{name}": value for name, value in micro(home).items()}}
