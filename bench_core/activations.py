"""What layers of a network return for images, and the gradient of a score in them, from one forward pass."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge
from torch.nn.modules.batchnorm import _BatchNorm

from bench_core.declarations.layers import Form


@dataclass(frozen=True)
class Layer:
    """What a layer returned for some images, and the gradient of a score in it."""

    features: Tensor
    """[B, C, h, w]."""
    gradient: Tensor
    """[B, C, h, w]."""


@dataclass(frozen=True)
class Pass:
    """Images that went through a network: its logits, and what some of its layers returned."""

    logits: Tensor
    """[B, K, S, S], from which gradients can be asked."""
    features: Mapping[str, Tensor]
    """[B, C, h, w] by layer; those that did not run, or on which no logit stands, are missing."""
    _edges: Mapping[str, GradientEdge]
    _forms: Mapping[str, Form]

    def layers(self, score: Tensor) -> dict[str, Layer]:
        """Return each layer with the gradient of a scalar made of the logits; without those that it does not
        depend on. It can be asked again with another score."""
        names = list(self._edges)
        if not names:
            return {}
        found = torch.autograd.grad(
            score, [self._edges[name] for name in names], retain_graph=True, allow_unused=True
        )
        return {
            name: Layer(self.features[name], as_maps(gradient, self._forms[name]))
            for name, gradient in zip(names, found, strict=True)
            if gradient is not None
        }


def look(network: nn.Module, images: Tensor, layers: Mapping[str, Form]) -> Pass:
    """Send images [B, C, S, S] through a network once, and keep what layers return, by name and form.

    Parameters get no gradient. What is kept are copies, and gradients are those of the layer's own output,
    since an activation behind it may overwrite it. A module that runs several times is kept as it ran last.
    Raises KeyError for a layer that does not exist, ValueError for an output that is not of its form.
    """
    kept: dict[str, tuple[Tensor, GradientEdge | None]] = {}
    known = dict(network.named_modules())
    modules = {name: known[name] for name in layers}

    def keep(name: str, module: nn.Module, arguments: Any, output: Any) -> None:
        if not isinstance(output, Tensor):
            raise ValueError(f"the output of {name} is {type(output).__name__}, not one tensor")
        edge = get_gradient_edge(output) if output.requires_grad else None
        kept[name] = output.detach().clone(), edge

    with ExitStack() as until, torch.enable_grad():
        until.enter_context(_frozen(network))
        for name, module in modules.items():
            until.callback(module.register_forward_hook(partial(keep, name)).remove)
        if len(images) == 1 and images.device.type == "cpu":
            for module in network.modules():
                if isinstance(module, _BatchNorm):
                    until.callback(module.register_forward_hook(_order_gradient).remove)
        # A copy of the leaf, which a network may overwrite.
        logits: Tensor = network(images.detach().requires_grad_().clone())
    edges = {name: edge for name, (_, edge) in kept.items() if edge is not None}
    features = {name: _of_form(name, kept[name][0], layers[name]) for name in edges}
    return Pass(logits, features, edges, layers)


def as_maps(output: Tensor, form: Form) -> Tensor:
    """Return maps [B, C, h, w] of an output of a form; raises ValueError for one that is of another."""
    if form == "tokens":
        if output.ndim != 3:
            raise ValueError(f"an output of shape {tuple(output.shape)} is not tokens")
        batch, count, channels = output.shape
        side = math.isqrt(count)
        tokens = output[:, count - side * side :]
        return tokens.transpose(1, 2).reshape(batch, channels, side, side)
    if output.ndim != 4:
        raise ValueError(f"an output of shape {tuple(output.shape)} is not a map")
    return output.permute(0, 3, 1, 2) if form == "channels-last" else output


def _of_form(name: str, output: Tensor, form: Form) -> Tensor:
    try:
        maps = as_maps(output, form)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    # Images are square, and so is what is made of them.
    if maps.shape[2] != maps.shape[3]:
        last = output.ndim == 4 and output.shape[1] == output.shape[2]
        raise ValueError(
            f"{name}: its channels come last: {tuple(output.shape)}"
            if last
            else f"{name}: an output of shape {tuple(output.shape)} is not of the form {form!r}"
        )
    return maps


@contextmanager
def _frozen(network: nn.Module) -> Iterator[None]:
    asked = [parameter for parameter in network.parameters() if parameter.requires_grad]
    for parameter in asked:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in asked:
            parameter.requires_grad_(True)


def _order_gradient(module: nn.Module, arguments: Any, output: Tensor) -> None:
    """Have the gradient come in the usual memory order.

    On a CPU, batch norm returns a wrong gradient (by more than 100 %) of a single image where the incoming
    one has its channels last; found with torch 2.14.
    """
    if output.requires_grad:
        output.register_hook(lambda gradient: gradient.contiguous())  # type: ignore[no-untyped-call]
