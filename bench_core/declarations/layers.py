"""Where a network can be looked into: the layers that its declaration names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from bench_core.errors import PluginError

Form = Literal["maps", "channels-last", "tokens"]
"""How a layer's output lies: maps [B, C, h, w], maps [B, h, w, C], or tokens [B, n, C] of a square image,
row by row; tokens before the last square number of them, such as a class token, belong to no pixel."""


@dataclass(frozen=True, kw_only=True)
class Layers:
    """Modules of whose outputs maps are made, by their names in the network, from its input to its logits.

    Each returns one tensor, and something nonlinear follows: behind the last nonlinear step a map is by
    algebra the logit. Raises PluginError for a form of a layer that is not named, or that does not exist.
    """

    encoder: tuple[str, ...] = ()
    """One per stage, from the input on; the last is the deepest."""
    decoder: str = ""
    """The last one before the last nonlinear step; empty where there is none."""
    forms: Mapping[str, Form] = field(default_factory=dict)
    """Of those that do not return maps [B, C, h, w]."""

    def __post_init__(self) -> None:
        for name, form in self.forms.items():
            if name not in self.names or form not in get_args(Form):
                raise PluginError(
                    f"the form {form!r} of layer {name!r} is declared",
                    cause="the layer is not among those that are named"
                    if name not in self.names
                    else f"a form is one of {', '.join(get_args(Form))}",
                )
        if len(set(self.names)) != len(self.names):
            raise PluginError("a layer is named twice", cause=", ".join(self.names))

    @property
    def names(self) -> tuple[str, ...]:
        """All of them, from the input to the logits."""
        return (*self.encoder, self.decoder) if self.decoder else self.encoder

    def form(self, name: str) -> Form:
        """Return how a layer's output lies; of one that is not named, as maps."""
        return self.forms.get(name, "maps")
