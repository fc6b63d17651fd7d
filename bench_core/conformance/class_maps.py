"""Class activation maps of a network's declared layers.

Selvaraju et al., Grad-CAM: Visual Explanations from Deep Networks, ICCV 2017.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Layer:
    """What a layer returned for some images, and the gradient of one logit channel's sum in it."""

    features: Tensor
    """[B, C, h, w]."""
    gradient: Tensor
    """[B, C, h, w]."""

    @property
    def map(self) -> Tensor:
        """The maps [B, h, w], before the final ReLU."""
        weights = self.gradient.mean(dim=(2, 3), keepdim=True)
        return (weights * self.features).sum(dim=1)


def layer_of(network: nn.Module, layer: str, images: Tensor, index: int) -> Layer | None:
    """Return a layer's output for images [B, C, S, S], and the gradient of logit channel `index` in it.

    None if it takes no part in the logits. Raises AttributeError for a layer that does not exist, ValueError
    for an output that is not one tensor of maps [B, C, h, w] or of square tokens [B, h w, C].
    """
    kept: list[Any] = []

    def keep(module: nn.Module, arguments: Any, output: Any) -> None:
        kept.append(output)

    handle = network.get_submodule(layer).register_forward_hook(keep)
    try:
        with torch.enable_grad():
            logits: Tensor = network(images)
    finally:
        handle.remove()
    if not kept:
        return None
    output = kept[-1]
    if not isinstance(output, Tensor):
        raise ValueError(f"its output is {type(output).__name__}, not one tensor")
    if not output.requires_grad:
        return None
    (gradient,) = torch.autograd.grad(logits[:, index].sum(), output, allow_unused=True)
    if gradient is None:
        return None
    return Layer(_channels_first(output.detach()), _channels_first(gradient))


def _channels_first(features: Tensor) -> Tensor:
    """Return features [B, C, h, w] of square images, whether they are maps or tokens [B, h w, C]."""
    if features.ndim == 3:
        batch, count, channels = features.shape
        side = math.isqrt(count)
        if side * side != count:
            raise ValueError(f"{count} tokens are not a square map")
        return features.transpose(1, 2).reshape(batch, channels, side, side)
    if features.ndim != 4:
        raise ValueError(f"an output of shape {tuple(features.shape)} is not a map")
    if features.shape[2] != features.shape[3] and features.shape[1] == features.shape[2]:
        raise ValueError(f"its channels come last: {tuple(features.shape)}")
    return features
