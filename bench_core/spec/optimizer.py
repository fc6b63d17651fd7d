"""The optimizer section: AdamW, Adam or SGD, each with the settings that act on it and no other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Discriminator, Field, Tag

from bench_core.spec.change import change_of
from bench_core.spec.section import Form, Fraction, NonNegativeFloat, Section, Words, chosen_by

Betas = Annotated[tuple[Fraction, Fraction], Field(strict=False)]


class AdamW(Form):
    """AdamW: weight decay apart from the gradient's."""

    name: Literal["adamw"] = "adamw"
    weight_decay: NonNegativeFloat = 0.01
    betas: Betas = (0.9, 0.999)
    """Decay of the running means of the gradient and of its square."""


class Adam(Form):
    """Adam: weight decay as an L2 penalty."""

    name: Literal["adam"]
    weight_decay: NonNegativeFloat = 0.01
    betas: Betas = (0.9, 0.999)
    """Decay of the running means of the gradient and of its square."""


class SGD(Form):
    """Stochastic gradient descent: weight decay as an L2 penalty."""

    name: Literal["sgd"]
    weight_decay: NonNegativeFloat = 0.01
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
