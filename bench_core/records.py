"""What training and testing leave behind, in plain arrays: written by a contract, kept by a store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Rank = Literal["best", "median", "worst"]


@dataclass(frozen=True)
class EpochRecord:
    """One epoch of a job's history."""

    epoch: int
    """From 0."""
    learning_rate: float
    """At the epoch's first step."""
    loss: float
    """Mean over the epoch's training samples."""
    validation: Mapping[str, float]
    """mdsc, miou, mrecall, mprecision on the validation folds, in [0, 1]; NaN where undefined."""
    train_seconds: float
    validation_seconds: float


@dataclass(frozen=True)
class Counts:
    """Pixel counts a sample and a foreground class: everything that metrics are made of."""

    ids: tuple[str, ...]
    groups: tuple[str, ...]
    classes: tuple[str, ...]
    values: NDArray[np.int64]
    """[samples, classes, 3]: true positives, false positives, false negatives."""


@dataclass(frozen=True)
class Case:
    """One example image with its truth and its prediction, for pictures in a report."""

    id: str
    rank: Rank
    dice: float
    """Mean Dice over the image's foreground classes, in [0, 1]."""
    image: NDArray[np.uint8]
    """[H, W, C]."""
    mask: NDArray[np.uint8]
    """[H, W], class index."""
    prediction: NDArray[np.uint8]
    """[H, W], class index."""
