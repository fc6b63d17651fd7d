"""Which models have the layers that an option `layer` means, as far as declarations tell."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from bench_core.declarations import Architecture, Layers
from bench_steps.grad_cam.options import AUTO, DECODER, ENCODER, SWEEP

NOTHING = "name one with `layer: NAME`, write `layer: auto`, or declare `explained` in its plugin"
_NAMED = 5
"""Layers that a message names."""
_NEAREST = 3


def suits(options: Mapping[str, Any], model: Architecture) -> str:
    """Return "" where a model declares the layers, or that only its network can tell.

    Raises ValueError where it declares none of a word's.
    """
    layer, declared = options["layer"], model.explained
    found = {SWEEP: declared.names, ENCODER: declared.encoder, DECODER: declared.decoder}
    if layer in found:
        if not found[layer]:
            raise ValueError(f"it declares no layers for `layer: {layer}`; {NOTHING}")
        return ""
    if layer == AUTO or layer in declared.names:
        return ""
    near = nearest(layer, declared.names)
    return f"it declares no layer {layer!r}" + (f", the nearest is {near[0]!r}" if near else "")


def nearest(layer: str, names: Iterable[str]) -> list[str]:
    """Return the names that are most like a layer's, the nearest first."""
    return difflib.get_close_matches(layer, list(dict.fromkeys(names)), n=_NEAREST)


def declares(layers: Layers) -> str:
    """Return in words what a model declares."""
    names = layers.names[:_NAMED]
    more = f" and {len(layers.names) - _NAMED} more" if len(layers.names) > _NAMED else ""
    return f"it declares {', '.join(names)}{more}" if names else "it declares none"
