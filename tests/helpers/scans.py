"""Arguments of the selective scan, its outcome in one form, and how far two outcomes are apart."""

from __future__ import annotations

import torch
from torch import Tensor

from bench_sma.swin_umamba.scan import selective_scan, use_backend

NAMES = ("u", "delta", "A", "B", "C", "D", "delta_bias")


def inputs(shape: tuple[int, ...], large_steps: bool = False, seed: int = 0) -> list[Tensor]:
    """Return float64 arguments like those of a fresh network, or with steps up to 10 and more.

    `shape` is images, groups, channels of a group, states, steps.
    """
    batch, groups, channels, states, length = shape
    draw = torch.Generator().manual_seed(seed)

    def normal(*sizes: int) -> Tensor:
        return torch.randn(*sizes, dtype=torch.float64, generator=draw)

    rows = groups * channels
    decay = torch.arange(1, states + 1, dtype=torch.float64).repeat(rows, 1)
    return [
        normal(batch, rows, length),
        normal(batch, rows, length) * (4 if large_steps else 1),
        -decay * (0.5 * normal(rows, states)).exp(),
        normal(batch, groups, states, length),
        normal(batch, groups, states, length),
        normal(rows),
        normal(rows) + (2 if large_steps else -3),
    ]


def outcome(backend: str, arguments: list[Tensor], softplus: bool = True) -> dict[str, Tensor]:
    """Return y and the gradients of a weighted sum of it."""
    leaves = [tensor.clone().requires_grad_() for tensor in arguments]
    with use_backend(backend):
        y = selective_scan(*leaves, delta_softplus=softplus)
    weights = torch.randn(y.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    gradients = torch.autograd.grad((y * weights.to(y)).sum(), leaves)
    return {"y": y.detach(), **dict(zip(NAMES, gradients, strict=True))}


def errors(found: dict[str, Tensor], expected: dict[str, Tensor]) -> dict[str, float]:
    """Return the largest differences, relative to the largest value expected, or to 1 where that is 0."""
    return {
        name: ((found[name].cpu().double() - tensor).abs().max() / (tensor.abs().max() or 1)).item()
        for name, tensor in expected.items()
    }
