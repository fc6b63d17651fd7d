"""The optimizer section: AdamW, Adam or SGD, each with the settings that act on it and no other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Discriminator, Field, Tag

from bench_core.spec.change import change_of
from bench_core.spec.section import Form, Fraction, NonNegativeFloat, Section, Words, chosen_by

Betas = Annotated[tuple[Fraction, Fraction], Field(strict=False)]


class Grouping(Form):
    """What the optimizers share: which parameters decay, and how fast each learns."""

    weight_decay: NonNegativeFloat = 0.01
    decay: Literal["all", "weights-only"] = "all"
    """weights-only leaves norms, biases, other vectors and what the network names without weight decay."""
    encoder_factor: Annotated[float, Field(gt=0, le=100)] = 1.0
    """Of the learning rate, for the parameters of the encoder that the model declares."""
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Of the learning rate, once more for each step from the decoder down the encoder's declared layers."""


class AdamW(Grouping):
    """AdamW: weight decay apart from the gradient's."""

    name: Literal["adamw"] = "adamw"
    betas: Betas = (0.9, 0.999)
    """Decay of the running means of the gradient and of its square."""


class Adam(Grouping):
    """Adam: weight decay as an L2 penalty."""

    name: Literal["adam"]
    betas: Betas = (0.9, 0.999)
    """Decay of the running means of the gradient and of its square."""


class SGD(Grouping):
    """Stochastic gradient descent: weight decay as an L2 penalty."""

    name: Literal["sgd"]
    momentum: Fraction = 0.9


_WORDS = Words(("adamw", "adam", "sgd"))
Optimizer = Annotated[
    Annotated[AdamW, Tag("adamw")] | Annotated[Adam, Tag("adam")] | Annotated[SGD, Tag("sgd")],
    Discriminator(chosen_by("name", "adamw")),
    _WORDS,
]
if TYPE_CHECKING:
    OptimizerChange = Section
else:
    OptimizerChange = change_of(
        "OptimizerChange", "Settings of whichever optimizer it is.", (AdamW, Adam, SGD)
    )
AnyOptimizerChange = Annotated[
    Annotated[AdamW, Tag("adamw")]
    | Annotated[Adam, Tag("adam")]
    | Annotated[SGD, Tag("sgd")]
    | Annotated[OptimizerChange, Tag("(unnamed)")],
    Discriminator(chosen_by("name", "(unnamed)")),
    _WORDS,
]
"""What a deviation may say: another optimizer, or some settings of the protocol's."""
