"""From what a layer returned, and the gradient of a score in it, to a map.

Formulas are those of pytorch-grad-cam 1.5.7 without its final scaling, which a test holds them to. They are
written anew because the library makes each map by a forward and a backward pass of its own, keeps views that
activations in place overwrite, and takes a full singular value decomposition: [h w, h w] and [C, C] numbers,
32 GB for a decoder at 512 pixels. Here the smaller of the two matrices [C, C] and [h w, h w] is decomposed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from bench_core.activations import Layer

_EPSILON = 1e-6


def grad_cam(layer: Layer) -> Tensor:
    """Channels weighted by their mean gradient (Selvaraju et al., ICCV 2017)."""
    weights = layer.gradient.mean(dim=(2, 3), keepdim=True)
    return (weights * layer.features).sum(dim=1)


def grad_cam_plus(layer: Layer) -> Tensor:
    """Channels weighted by positive gradients, each by its share (Chattopadhay et al., WACV 2018)."""
    gradient = layer.gradient
    square = gradient.square()
    total = layer.features.sum(dim=(2, 3), keepdim=True)
    share = square / (2 * square + total * square * gradient + _EPSILON)
    share = torch.where(gradient != 0, share, 0.0)
    weights = (gradient.clamp(min=0) * share).sum(dim=(2, 3), keepdim=True)
    return (weights * layer.features).sum(dim=1)


def hires_cam(layer: Layer) -> Tensor:
    """Features times their own gradients (Draelos and Carin, arXiv 2011.08891)."""
    return (layer.gradient * layer.features).sum(dim=1)


def seg_eigen_cam(layer: Layer) -> Tensor:
    """First principal component of features times absolute gradients, its larger side up (Chung and Ying,
    Applied Sciences 15(13), 2025)."""
    weighted = (layer.gradient.abs() * layer.features).double().cpu()
    return torch.stack([_component(each) for each in weighted]).float()


METHODS: Mapping[str, Callable[[Layer], Tensor]] = {
    "grad-cam": grad_cam,
    "grad-cam++": grad_cam_plus,
    "hires-cam": hires_cam,
    "seg-eigen-cam": seg_eigen_cam,
}
"""Name to what gives maps [B, h, w], before negative values are cut off."""


def map_of(method: str, layer: Layer) -> Tensor:
    """Return maps [B, h, w] >= 0, float32 on the CPU; what is not finite stays so."""
    return METHODS[method](layer).float().clamp(min=0).cpu()


def _component(weighted: Tensor) -> Tensor:
    """Return the first principal component [h, w] of maps [C, h, w], pixels being what is observed."""
    channels, height, width = weighted.shape
    if not torch.isfinite(weighted).all():
        return torch.full((height, width), torch.nan, dtype=weighted.dtype)
    pixels = weighted.reshape(channels, -1)
    # Gradients of a large network are tiny, and their squares would vanish.
    largest = pixels.abs().max()
    pixels = pixels / largest if largest > 0 else pixels
    pixels = pixels - pixels.mean(dim=1, keepdim=True)
    if channels <= pixels.shape[1]:
        axis = torch.linalg.eigh(pixels @ pixels.T).eigenvectors[:, -1]
        found = axis @ pixels
    else:
        values, vectors = torch.linalg.eigh(pixels.T @ pixels)
        found = vectors[:, -1] * values[-1].clamp(min=0).sqrt()
    if found.min().abs() > found.max().abs():
        found = -found
    component: Tensor = (found * largest).reshape(height, width)
    return component
