"""The protocol section of a spec: the settings held constant across models."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from bench_core.spec.loss import Losses, LossName
from bench_core.spec.optimizer import SGD, Adam, AdamW, Optimizer
from bench_core.spec.schedule import Constant, Cosine, Falling, Poly, Rex, Schedule
from bench_core.spec.section import (
    BatchSize,
    Epochs,
    Finite,
    Form,
    ImageSize,
    Metric,
    NonNegativeFloat,
    Off,
    PositiveFloat,
    PositiveInt,
    Section,
    Words,
    chosen_by,
)


class Normalization(Section):
    """Images in [0, 1] become (image - mean) / std, per channel."""

    mean: Finite | list[Finite] = 0.5
    """One value for all channels or one per channel."""
    std: PositiveFloat | list[PositiveFloat] = 0.5
    """One value for all channels or one per channel."""


class EarlyStopping(Section):
    """Stop when the monitored validation metric has not risen by min_delta for `patience` epochs."""

    monitor: Metric = "miou"
    patience: Epochs = 20
    min_delta: NonNegativeFloat = 0.001
    """Compared with the running best; the best itself always advances."""


class Best(Form):
    """The epoch with the best validation value is tested."""

    key: ClassVar[str] = "choose"
    choose: Literal["best"] = "best"
    monitor: Metric = "miou"


class Last(Form):
    """The last epoch that ran is tested, whatever its validation value."""

    key: ClassVar[str] = "choose"
    choose: Literal["last"]

    @property
    def monitor(self) -> Metric:
        """The validation metric that is noted of the epoch; it decides nothing."""
        return "miou"


Checkpoint = Annotated[
    Annotated[Best, Tag("best")] | Annotated[Last, Tag("last")],
    Discriminator(chosen_by("choose", "best")),
    Words(("best", "last")),
]
"""Which epoch's weights are tested."""


class Metrics(Section):
    """How logits become labels, which are counted."""

    threshold: Annotated[float, Field(allow_inf_nan=False)] = 0.5
    """Binary tasks: foreground where the probability (or the logit) is above this value."""
    threshold_space: Literal["probability", "logit"] = "probability"


class Search(Section):
    """The learning-rate grid: every value trains on the search folds; the best on validation is evaluated."""

    learning_rate: Annotated[list[PositiveFloat], Field(min_length=1)]
    """The rates to try."""
    epochs: Epochs
    folds: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)] = [0]
    """Folds that search jobs validate on; not with nested."""
    early_stopping: EarlyStopping | Off = "off"
    monitor: Metric = "miou"
    """The validation metric (at its best epoch, averaged over the search folds) that picks the rate."""
    nested: bool = False
    """One search for each evaluate fold, inside its training and validation images: sees no test image."""


class Evaluate(Section):
    """Cross-validation with the selected learning rate."""

    epochs: Epochs
    folds: Annotated[int, Field(ge=2, le=1000)] = 5
    """How many folds the data is cut into."""
    layout: Literal["rotate", "holdout"] = "rotate"
    """rotate: fold i validates, fold i+1 tests, the others train. holdout: fold i validates and tests."""
    only: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)] | None = None
    """Run these folds only."""
    repeats: Annotated[int, Field(ge=1, le=100)] = 1
    """Train each fold so many times, with other initial weights and another order of samples."""
    reshuffle: bool = False
    """Deal the samples into other folds at each repeat."""


class Protocol(Section):
    """Everything that is the same for every model."""

    image_size: ImageSize = 512
    """Pixels of the square input."""
    resize: Literal["pad-square", "stretch"] = "pad-square"
    """pad-square pads with zeros to a square first and keeps the aspect ratio; stretch does not."""
    padding: Literal["background", "ignore"] = "background"
    """What masks hold where images are padded, and beyond the border of augmented ones; `ignore` counts
    neither in the loss nor in a metric."""
    channels: Literal["rgb", "native"] = "rgb"
    """rgb repeats gray images to three channels; native gives the model the dataset's own channels."""
    pretrained: Literal["imagenet", "none"] = "imagenet"
    """What encoders start from; a model that differs is a deviation and needs a reason."""
    normalization: Normalization = Normalization()
    optimizer: Optimizer = AdamW()
    schedule: Schedule = Rex()
    learning_rate: PositiveFloat | None = None
    """The rate where there is no search."""
    batch_size: BatchSize = 8
    """Global batch size; more devices split it."""
    micro_batch: BatchSize | Off = "off"
    """Images that pass through the network at a time; gradients are added up to the batch's."""
    sync_batch_norm: bool = True
    """Where a job has several devices: true takes the statistics of batch norm from the whole batch, false
    from the part of it that each device has, which changes the results with the number of devices."""
    smallest_device_batch: BatchSize = 4
    """The fewest images of a batch that a device may have without `sync_batch_norm`; no part of identity."""
    precision: Literal["fp32", "fp16", "bf16"] = "fp32"
    """fp16 and bf16 are autocast; fp16 with gradient scaling."""
    loss: Literal["auto"] | LossName | Losses = "auto"
    """auto: bce for binary tasks, cross-entropy otherwise. A mapping such as {bce: 0.5, dice: 0.5} sums."""
    augmentation: list[str | dict[str, dict[str, Any] | None]] = []
    """torchvision.transforms.v2 names with their arguments, applied in order to image and mask together."""
    gradient_clipping: PositiveFloat | Off = "off"
    """Largest global L2 norm of the gradients."""
    early_stopping: EarlyStopping | Off = EarlyStopping()
    """Of the evaluate stage; the search has its own."""
    checkpoint: Checkpoint = Best()
    metrics: Metrics = Metrics()
    search: Search | None = None
    evaluate: Evaluate

    @model_validator(mode="after")
    def _one_source_of_the_rate(self) -> Protocol:
        if (self.search is None) == (self.learning_rate is None):
            raise ValueError(
                "give exactly one of `search` (a grid of learning rates) and `learning_rate` (one fixed rate)"
            )
        return self


DEVIATING_FIELDS = (
    "pretrained",
    "normalization",
    "optimizer",
    "schedule",
    "batch_size",
    "micro_batch",
    "precision",
    "loss",
    "augmentation",
    "gradient_clipping",
)
"""Protocol fields that one model may take differently, with its reason."""

__all__ = [
    "DEVIATING_FIELDS",
    "SGD",
    "Adam",
    "AdamW",
    "Best",
    "Checkpoint",
    "Constant",
    "Cosine",
    "EarlyStopping",
    "Evaluate",
    "Falling",
    "Finite",
    "Last",
    "Metric",
    "Metrics",
    "NonNegativeFloat",
    "Normalization",
    "Off",
    "Optimizer",
    "Poly",
    "PositiveFloat",
    "PositiveInt",
    "Protocol",
    "Rex",
    "Schedule",
    "Search",
    "Section",
]
