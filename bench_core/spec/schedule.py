"""The schedule section: REX, constant, cosine or polynomial, each with the settings that act on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Discriminator, Field, Tag

from bench_core.spec.change import change_of
from bench_core.spec.section import (
    Epochs,
    Form,
    NonNegativeFloat,
    Off,
    PositiveFloat,
    PositiveInt,
    Section,
    Words,
    chosen_by,
)


class WarmupEpochs(Section):
    """The rate rises to the schedule's over the stage's first epochs."""

    epochs: Epochs
    """Epochs over which the rate rises, step by step."""
    factor: Annotated[float, Field(gt=0, lt=1)] = 1e-3
    """Of the schedule's rate, at the first step."""


class WarmupSteps(Section):
    """The rate rises to the schedule's over the stage's first optimizer steps."""

    steps: PositiveInt
    """Optimizer steps over which the rate rises."""
    factor: Annotated[float, Field(gt=0, lt=1)] = 1e-3
    """Of the schedule's rate, at the first step."""


def _duration(value: object) -> str | None:
    if isinstance(value, Mapping):
        return "(steps)" if "steps" in value else "(epochs)"
    if isinstance(value, WarmupSteps):
        return "(steps)"
    return "(epochs)" if isinstance(value, WarmupEpochs) else None


Warmup = Annotated[
    Annotated[WarmupEpochs, Tag("(epochs)")] | Annotated[WarmupSteps, Tag("(steps)")],
    Discriminator(_duration),
]


class Warming(Form):
    """A rate that may rise before it follows its schedule."""

    warmup: Warmup | Off = "off"
    """The rate rises in a line from factor times the schedule's rate; with `epochs` or with `steps`."""


class Falling(Warming):
    """A rate that falls over a stage; T is the stage's epochs (or steps)."""

    step: Literal["epoch", "step"] = "epoch"
    """Where the factor is evaluated: once an epoch or once an optimizer step."""
    min_lr: NonNegativeFloat = 0.0
    """Floor of the learning rate (absolute, not a factor)."""


class Rex(Falling):
    """REX: f(t) = (1 - t/T) / (alpha + beta (1 - t/T))."""

    name: Literal["rex"] = "rex"
    alpha: PositiveFloat = 0.5
    """REX: f(t) = (1 - t/T) / (alpha + beta (1 - t/T))."""
    beta: NonNegativeFloat = 0.5
    """REX: see alpha."""


class Constant(Warming):
    """The base rate throughout."""

    name: Literal["constant"]


class Cosine(Falling):
    """Half a cosine: f(t) = (1 + cos(pi t/T)) / 2."""

    name: Literal["cosine"]


class Poly(Falling):
    """A power: f(t) = (1 - t/T) ** power."""

    name: Literal["poly"]
    power: PositiveFloat = 0.9
    """Poly: f(t) = (1 - t/T) ** power."""


_WORDS = Words(("rex", "constant", "cosine", "poly"))
Schedule = Annotated[
    Annotated[Rex, Tag("rex")]
    | Annotated[Constant, Tag("constant")]
    | Annotated[Cosine, Tag("cosine")]
    | Annotated[Poly, Tag("poly")],
    Discriminator(chosen_by("name", "rex")),
    _WORDS,
]
if TYPE_CHECKING:
    ScheduleChange = Section
else:
    ScheduleChange = change_of(
        "ScheduleChange", "Settings of whichever schedule it is.", (Rex, Constant, Cosine, Poly)
    )
AnyScheduleChange = Annotated[
    Annotated[Rex, Tag("rex")]
    | Annotated[Constant, Tag("constant")]
    | Annotated[Cosine, Tag("cosine")]
    | Annotated[Poly, Tag("poly")]
    | Annotated[ScheduleChange, Tag("(unnamed)")],
    Discriminator(chosen_by("name", "(unnamed)")),
    _WORDS,
]
"""What a deviation may say: another schedule, or some settings of the protocol's."""
