"""Class activation maps of a network's declared layers.

Selvaraju et al., Grad-CAM: Visual Explanations from Deep Networks, ICCV 2017.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn


def class_map(network: nn.Module, layer: str, images: Tensor, index: int) -> Tensor | None:
    """Return the maps [B, h, w] of one logit channel at a layer, before the final ReLU.

    None if the layer's output takes no part in the logits or is no tensor. Raises AttributeError for a
    layer that does not exist, ValueError for an output that is no map.
    """
    kept: list[Tensor] = []

    def keep(module: nn.Module, arguments: Any, output: Any) -> None:
        found = _last_tensor(output)
        if found is not None:
            kept.append(found)

    handle = network.get_submodule(layer).register_forward_hook(keep)
    try:
        with torch.enable_grad():
            logits: Tensor = network(images)
    finally:
        handle.remove()
    if not kept or not kept[-1].requires_grad:
        return None
    (gradient,) = torch.autograd.grad(logits[:, index].sum(), kept[-1], allow_unused=True)
    if gradient is None:
        return None
    features, gradient = _channels_first(kept[-1].detach()), _channels_first(gradient)
    weights = gradient.mean(dim=(2, 3), keepdim=True)
    return (weights * features).sum(dim=1)


def _last_tensor(output: Any) -> Tensor | None:
    if isinstance(output, Tensor):
        return output
    if isinstance(output, Mapping):
        output = list(output.values())
    if isinstance(output, Sequence) and not isinstance(output, str):
        found = [tensor for tensor in map(_last_tensor, output) if tensor is not None]
        return found[-1] if found else None
    return None


def _channels_first(features: Tensor) -> Tensor:
    """Return features [B, C, h, w] of square images, whether they are maps or tokens [B, h w, C]."""
    if features.ndim == 3:
        batch, count, channels = features.shape
        side = math.isqrt(count)
        if side * side != count:
            raise ValueError(f"{count} tokens are no square map")
        return features.transpose(1, 2).reshape(batch, channels, side, side)
    if features.ndim != 4:
        raise ValueError(f"an output of shape {tuple(features.shape)} is no map")
    if features.shape[2] != features.shape[3] and features.shape[1] == features.shape[2]:
        return features.permute(0, 3, 1, 2)
    return features
