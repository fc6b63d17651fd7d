"""Which layers are looked at: those that an architecture declares, one of them, the study's, any by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from bench_core.activations import look
from bench_core.declarations import Architecture, Form, Layers
from bench_core.errors import TrainingError
from bench_steps.grad_cam.automatic import last_with_gradient
from bench_steps.grad_cam.options import AUTO, DECODER, ENCODER, SWEEP
from bench_steps.grad_cam.suited import NOTHING, declares, nearest

LINEAR = "only linear steps follow: its maps are the logits again"
NAMED = "named"


@dataclass(frozen=True)
class Chosen:
    """A layer that is looked at."""

    name: str
    form: Form
    part: str
    """encoder, decoder, auto or named."""
    depth: int
    """Its place among the declared layers, from 1 at the input; of another one, behind them all."""
    note: str = ""
    """What a reader of its maps must know."""


def chosen_layers(
    declared: Layers, wanted: str, network: nn.Module, images: Tensor, model: str
) -> tuple[Chosen, ...]:
    """Return the layers that an option `layer` means, for a network that takes images like [B, C, S, S].

    Raises TrainingError where the network has no such layer, or its output is not maps.
    """
    found = tuple(_meant(declared, wanted, network, images, model))
    return tuple(_noted(each, network, images) if each.part in (AUTO, NAMED) else each for each in found)


def tries(network: nn.Module, images: Tensor, model: Architecture, options: Mapping[str, Any]) -> None:
    """Raise TrainingError where a network has no layer of the option's name, or none that returns maps."""
    tuple(_meant(model.explained, options["layer"], network, images, model.name))


def _meant(declared: Layers, wanted: str, network: nn.Module, images: Tensor, model: str) -> Sequence[Chosen]:
    found = tuple(
        Chosen(name, declared.form(name), ENCODER if name in declared.encoder else DECODER, depth)
        for depth, name in enumerate(declared.names, start=1)
    )
    known = dict(network.named_modules())
    if wanted in (SWEEP, ENCODER, DECODER):
        found = tuple(layer for layer in found if wanted in (SWEEP, layer.part))[
            -1 if wanted == ENCODER else 0 :
        ]
        if not found:
            raise TrainingError(f"{model} declares no layers for `layer: {wanted}`", fix=NOTHING)
        return found
    if wanted == AUTO:
        return (Chosen(last_with_gradient(network, images), "maps", AUTO, len(found) + 1),)
    if wanted in declared.names:
        return tuple(layer for layer in found if layer.name == wanted)
    if wanted in known:
        return (Chosen(wanted, _form(known[wanted], network, images, wanted), NAMED, len(found) + 1),)
    near = nearest(wanted, (*declared.names, *known))
    raise TrainingError(
        f"{model} has no layer {wanted!r}",
        cause=f"{declares(declared)}; most like it: {', '.join(near)}" if near else declares(declared),
        fix=f"did you mean {near[0]!r}?" if near else f"write `layer: {SWEEP if declared.names else AUTO}`",
    )


def _form(module: nn.Module, network: nn.Module, images: Tensor, name: str) -> Form:
    """Return how a layer's output lies that nobody declares, as far as its shape tells."""
    shapes: list[tuple[int, ...]] = []

    def keep(module: nn.Module, arguments: Any, output: Any) -> None:
        shapes.append(tuple(output.shape) if isinstance(output, Tensor) else ())

    handle = module.register_forward_hook(keep)
    try:
        with torch.no_grad():
            network(images)
    finally:
        handle.remove()
    shape = shapes[-1] if shapes else ()
    if len(shape) == 3:
        return "tokens"
    if len(shape) != 4 or (shape[2] != shape[3] and shape[1] != shape[2]):
        raise TrainingError(
            f"layer {name!r} returns no maps",
            cause=f"its output is of shape {list(shape)}" if shape else "it returns no tensor, or never runs",
            fix="name a layer that returns one tensor [B, C, h, w]",
        )
    return "maps" if shape[2] == shape[3] else "channels-last"


def _noted(layer: Chosen, network: nn.Module, images: Tensor) -> Chosen:
    """Return a layer that nobody declares with a note where only linear steps lead from it to the logits: the
    gradient of their sum in it is then the same for every image."""
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(0)).to(images)
    found = []
    for batch in (images, noise):
        seen = look(network, batch, {layer.name: layer.form})
        found.append(seen.layers(seen.logits[:, -1].sum()).get(layer.name))
    one, other = found
    if one is None or other is None:
        return replace(layer, note="no logit stands on it")
    largest = float(one.gradient.abs().max())
    linear = torch.allclose(one.gradient, other.gradient, rtol=1e-4, atol=1e-6 * largest)
    return replace(layer, note=LINEAR) if linear and largest > 0 else layer
