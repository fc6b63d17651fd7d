"""A result: what a finished job leaves behind, and from which every number of a report is derived."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

RESULT_FORMAT = 1


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
    """mdsc, miou, mrecall, mprecision on the validation folds, in [0, 1]."""
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
class Result:
    """A sealed job."""

    digest: str
    learning_rate: float
    """The rate it trained with, chosen or given."""
    candidates: Mapping[str, float]
    """Learning rate (as text) to the search metric that chose it; empty where nothing was chosen."""
    epochs_run: int
    stopped_early: bool
    chosen_epoch: int
    """The epoch whose weights were tested."""
    monitor: str
    best_value: float
    """Monitored validation metric at the chosen epoch."""
    history: Sequence[EpochRecord]
    counts_split: str
    """Which images `counts.csv` is about: "test", or "validation" for search jobs."""
    parameters: int
    model_facts: Mapping[str, Any] = field(default_factory=dict)
    """What the builder reports: weights source, tensors loaded, sha256, notes for footnotes."""
    data_facts: Mapping[str, Any] = field(default_factory=dict)
    """Dataset fingerprint, fold hash, sizes of the splits."""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    """Versions, hardware, threads, device, channels_last, compile, command, time stamps."""
    seconds: float = 0.0
    """Wall time of training and testing, all attempts together."""
    peak_memory_bytes: int = 0
    """Of the device (CUDA) or the process (CPU)."""
    attempts: int = 1
    """How many times the job was started; above 1 it was resumed."""
    format: int = RESULT_FORMAT
