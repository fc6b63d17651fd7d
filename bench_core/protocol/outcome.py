"""What a contract hands back when a job is done: numbers and pictures, in plain arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Rank = Literal["best", "median", "worst"]
CountsSplit = Literal["test", "validation"]


@dataclass(frozen=True)
class EpochStats:
    """One epoch of training and its validation."""

    epoch: int
    """From 0."""
    learning_rate: float
    """At the epoch's first step."""
    loss: float
    """Mean over the epoch's training samples."""
    validation: Mapping[str, float]
    """Micro-averaged mdsc, miou, mrecall and mprecision, in [0, 1]; NaN where undefined."""
    train_seconds: float
    validation_seconds: float


@dataclass(frozen=True)
class SampleCounts:
    """Pixel counts a sample and a foreground class."""

    ids: tuple[str, ...]
    groups: tuple[str, ...]
    classes: tuple[str, ...]
    values: NDArray[np.int64]
    """[samples, classes, 3]: true positives, false positives, false negatives."""


@dataclass(frozen=True)
class CaseImage:
    """A counted image with its mask and prediction, at the size that the network saw."""

    id: str
    rank: Rank
    dice: float
    """Mean Dice over the image's classes (see bench_core.protocol.cases)."""
    image: NDArray[np.uint8]
    """[H, W, C]"""
    mask: NDArray[np.uint8]
    """[H, W] class indices"""
    prediction: NDArray[np.uint8]
    """[H, W] class indices"""


@dataclass(frozen=True)
class Outcome:
    """A trained and tested job."""

    history: tuple[EpochStats, ...]
    epochs_run: int
    stopped_early: bool
    chosen_epoch: int
    """The epoch whose weights were counted, from 0."""
    best_value: float
    """The checkpoint's monitored validation metric at the chosen epoch."""
    counts: SampleCounts
    counts_split: CountsSplit
    """Which images were counted: validation where the job has no test images."""
    cases: tuple[CaseImage, ...]
