"""What jobs leave behind, as plain data and arrays: made under a session or contract, kept by a store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field

Rank = Literal["best", "median", "worst"]
TestedSplit = Literal["test", "validation"]
Real = Annotated[float, BeforeValidator(lambda value: float("nan") if value is None else value)]
"""A number that JSON writes as null where it is undefined (NaN)."""
Count = Annotated[int, Field(ge=0, lt=2**53)]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


@dataclass(frozen=True)
class EpochRecord:
    """One epoch of a job's history."""

    epoch: Count
    """From 0."""
    learning_rate: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    """At the epoch's first step."""
    loss: Real
    """Mean over the epoch's training samples."""
    validation: Mapping[str, Real]
    """mdsc, miou, mrecall, mprecision on the validation folds, in [0, 1]; NaN where undefined."""
    train_seconds: Seconds
    validation_seconds: Seconds
    waited_seconds: Seconds | None = None
    """Part of `train_seconds` in which the device had nothing to do until images came; None: not measured."""


@dataclass(frozen=True)
class TrainingRecord:
    """How a job trained under the shared protocol."""

    learning_rate: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    """The rate it trained with, chosen or given."""
    candidates: Mapping[str, Real]
    """Learning rate (as text) to the search metric that chose it; empty where nothing was chosen."""
    history: tuple[EpochRecord, ...]
    planned_epochs: Count
    chosen_epoch: Count
    """The epoch whose weights were tested, from 0."""
    monitor: str
    best_value: Real
    """Monitored validation metric at the chosen epoch, in [0, 1]."""
    class_weights: Mapping[str, Mapping[str, Weight]] = field(default_factory=dict)
    """Weights of classes that a loss computed from the training pixels, by loss; empty where none did."""

    @property
    def epochs_run(self) -> int:
        """Epochs that ended, those of earlier attempts included."""
        return len(self.history)

    @property
    def stopped_early(self) -> bool:
        """True where the stopping rule ended it before the last planned epoch."""
        return self.epochs_run < self.planned_epochs


@dataclass(frozen=True)
class DataFacts:
    """What the data of a job were."""

    fingerprint: str
    """Of the dataset's content."""
    fold_hash: str
    samples: Count
    groups: Count
    train: Count
    validation: Count
    test: Count
    warnings: tuple[str, ...] = ()
    """What a reader must know, for example a class that is in no training mask."""


@dataclass(frozen=True)
class NetworkFacts:
    """What was built and loaded."""

    parameters: Count
    weights: Mapping[str, Any] = field(default_factory=dict)
    """Source, file, sha256 and tensors of the pretrained weights; empty where none were loaded."""
    notes: tuple[str, ...] = ()
    """Sentences of the builder for footnotes."""
    elements: Count | None = None
    """Numbers of its whole state, parameters and buffers; None where nobody counted."""


@dataclass(frozen=True)
class Predictions:
    """Label maps of a split, on the grid that every model is compared on."""

    ids: tuple[str, ...]
    labels: NDArray[np.uint8]
    """[N, S, S], class index, 0 = background."""


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
