"""The layer that the study's Grad-CAM takes by itself: M3d-CAM's rule (arXiv 2007.00453, `layer="auto"`).

Modules are listed as they are registered, each behind those that it holds, and are asked from the last on
for an output [B, C, h, w] that has a gradient. In most networks this is the classifier: its map is the
prediction.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge

from bench_core.errors import TrainingError


def last_with_gradient(network: nn.Module, images: Tensor) -> str:
    """Return the name of the layer for images [B, C, S, S]; raises TrainingError where there is none."""
    edges: dict[str, GradientEdge] = {}

    def keep(name: str, module: nn.Module, arguments: Any, output: Any) -> None:
        if isinstance(output, Tensor) and output.ndim == 4 and output.requires_grad:
            edges[name] = get_gradient_edge(output)

    names = list(_inner_first(network))
    with ExitStack() as until, torch.enable_grad():
        for name in names:
            module = network.get_submodule(name)
            until.callback(module.register_forward_hook(partial(keep, name)).remove)
        logits: Tensor = network(images.detach().requires_grad_().clone())
    for name in reversed(names):
        if name in edges:
            (gradient,) = torch.autograd.grad(
                logits.sum(), [edges[name]], retain_graph=True, allow_unused=True
            )
            if gradient is not None:
                return name
    raise TrainingError(
        "no module of the network returns maps that have a gradient",
        fix="name a layer with `layer: NAME` instead of `auto`",
    )


def _inner_first(module: nn.Module, prefix: str = "") -> Iterator[str]:
    """Yield the names of all modules in a module, each behind those that it holds."""
    for name, child in module.named_children():
        yield from _inner_first(child, f"{prefix}{name}.")
        yield f"{prefix}{name}"
