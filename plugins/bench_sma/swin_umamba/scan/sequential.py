"""The selective scan as it is defined, one step after another: what the other forms are tested against."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor,
    delta_bias: Tensor,
    delta_softplus: bool = True,
) -> Tensor:
    """Scan as bench_sma.swin_umamba.scan.dispatcher says; L Python steps, b * G * d * N * L numbers held."""
    batch, groups, states, length = B.shape
    delta = delta + delta_bias[:, None]
    if delta_softplus:
        delta = functional.softplus(delta)
    inputs, steps = (tensor.view(batch, groups, -1, length) for tensor in (u, delta))
    rates = A.view(groups, -1, states)
    h = u.new_zeros(batch, *rates.shape)
    outputs: list[Tensor] = []
    for t in range(length):
        step = steps[..., t, None]
        h = (step * rates).exp() * h + step * inputs[..., t, None] * B[..., None, :, t]
        outputs.append((h * C[..., None, :, t]).sum(-1))
    return torch.stack(outputs, dim=-1).view_as(u) + D[:, None] * u
