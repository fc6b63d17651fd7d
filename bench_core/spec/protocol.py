"""The protocol section of a spec: the settings held constant across models."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Off = Literal["off"]
PositiveInt = Annotated[int, Field(gt=0, lt=2**31)]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegativeFloat = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Metric = Literal["miou", "mdsc", "mrecall", "mprecision"]


class Section(BaseModel):
    """A strict, immutable part of a spec: unknown keys are errors and nothing is converted silently."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True)


class Normalization(Section):
    """Images in [0, 1] become (image - mean) / std, per channel."""

    mean: Finite | list[Finite] = 0.5
    """One value for all channels or one a channel."""
    std: PositiveFloat | list[PositiveFloat] = 0.5
    """One value for all channels or one a channel."""


class Optimizer(Section):
    """The optimizer; one parameter group."""

    name: Literal["adamw", "adam", "sgd"] = "adamw"
    weight_decay: NonNegativeFloat = 0.01
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = Field(
        default=(0.9, 0.999), strict=False
    )
    """For adam and adamw."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """For sgd."""


class Schedule(Section):
    """The learning rate over a stage, as a factor of the base rate; T is the stage's epochs (or steps)."""

    name: Literal["rex", "constant", "cosine", "poly"] = "rex"
    step: Literal["epoch", "step"] = "epoch"
    """Where the factor is evaluated: once an epoch or once an optimizer step."""
    alpha: PositiveFloat = 0.5
    """REX: f(t) = (1 - t/T) / (alpha + beta (1 - t/T))."""
    beta: NonNegativeFloat = 0.5
    """REX: see alpha."""
    power: PositiveFloat = 0.9
    """Poly: f(t) = (1 - t/T) ** power."""
    min_lr: NonNegativeFloat = 0.0
    """Floor of the learning rate (absolute, not a factor)."""


class EarlyStopping(Section):
    """Stop when the monitored validation metric has not risen by min_delta for `patience` epochs."""

    monitor: Metric = "miou"
    patience: PositiveInt = 20
    min_delta: NonNegativeFloat = 0.001
    """Compared with the running best; the best itself always advances."""


class Checkpoint(Section):
    """Which epoch's weights are tested."""

    choose: Literal["best", "last"] = "best"
    monitor: Metric = "miou"


class Metrics(Section):
    """How logits become counts, and what an image without any foreground counts as."""

    threshold: Annotated[float, Field(allow_inf_nan=False)] = 0.5
    """Binary tasks: foreground where the probability (or the logit) is above this value."""
    threshold_space: Literal["probability", "logit"] = "probability"
    empty: Literal["ignore", "one", "zero"] = "ignore"
    """Per-image view: the score of a class absent from both mask and prediction; `ignore` leaves it out."""


class Search(Section):
    """The learning-rate grid: every value trains on the search folds; the best on validation is evaluated."""

    learning_rate: Annotated[list[PositiveFloat], Field(min_length=1)]
    """The rates to try."""
    epochs: PositiveInt
    folds: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)] = [0]
    """Folds that search jobs validate on; not with nested."""
    early_stopping: EarlyStopping | Off = "off"
    monitor: Metric = "miou"
    """The validation metric (at its best epoch, averaged over the search folds) that picks the rate."""
    nested: bool = False
    """One search for each evaluate fold, inside its training and validation images: sees no test image."""


class Evaluate(Section):
    """Cross-validation with the selected learning rate."""

    epochs: PositiveInt
    folds: Annotated[int, Field(ge=2, le=1000)] = 5
    """How many folds the data is cut into."""
    layout: Literal["rotate", "holdout"] = "rotate"
    """rotate: fold i validates, fold i+1 tests, the others train. holdout: fold i validates and tests."""
    only: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)] | None = None
    """Run these folds only."""


class Protocol(Section):
    """Everything that is the same for every model."""

    image_size: PositiveInt = 512
    """Pixels of the square input."""
    resize: Literal["pad-square", "stretch"] = "pad-square"
    """pad-square pads with zeros to a square first and keeps the aspect ratio; stretch does not."""
    channels: Literal["rgb", "native"] = "rgb"
    """rgb repeats gray images to three channels; native gives the model the dataset's own channels."""
    pretrained: Literal["imagenet", "none"] = "imagenet"
    """What encoders start from; a model that differs is a deviation and needs a reason."""
    normalization: Normalization = Normalization()
    optimizer: Optimizer = Optimizer()
    schedule: Schedule = Schedule()
    learning_rate: PositiveFloat | None = None
    """The rate where there is no search."""
    batch_size: PositiveInt = 8
    """Global batch size; more devices split it."""
    precision: Literal["fp32", "fp16", "bf16"] = "fp32"
    """fp16 and bf16 are autocast; fp16 with gradient scaling."""
    loss: Literal["auto", "bce", "cross-entropy", "dice"] | dict[str, PositiveFloat] = "auto"
    """auto: bce for binary tasks, cross-entropy otherwise. A mapping such as {bce: 0.5, dice: 0.5} sums."""
    augmentation: list[str | dict[str, dict[str, Any] | None]] = []
    """torchvision.transforms.v2 names with their arguments, applied in order to image and mask together."""
    gradient_clipping: PositiveFloat | Off = "off"
    """Largest global L2 norm of the gradients."""
    early_stopping: EarlyStopping | Off = EarlyStopping()
    """Of the evaluate stage; the search has its own."""
    checkpoint: Checkpoint = Checkpoint()
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
    "precision",
    "loss",
    "augmentation",
    "gradient_clipping",
)
"""Protocol fields that one model may take differently, with its reason."""
