"""The selective scan in few operations that any exporter can follow; no gradients of its own.

h[t] = decay[t] h[t - 1] + drive[t] is a composition of linear maps. Joining each step with the one 1, 2, 4
and so on steps before takes log2(L) rounds (Hillis and Steele, Data parallel algorithms, CACM 1986), in which
only products of decays are formed, as in the other forms. All states of some channels are held at a time.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

MOST_STATES = 2**25
"""States of one image held at a time, over all steps: 128 MB in single precision, and three of them."""


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
    """Scan as bench_sma.swin_umamba.scan.dispatcher says; what is traced takes a batch of any size."""
    groups, states, length = B.shape[1:]
    delta = delta + delta_bias[:, None]
    if delta_softplus:
        delta = functional.softplus(delta)
    inputs, steps = (tensor.unflatten(1, (groups, -1)) for tensor in (u, delta))  # type: ignore[no-untyped-call]
    rates = A.view(groups, -1, states)
    channels = rates.shape[1]
    at_once = max(1, MOST_STATES // (groups * states * length))
    pieces = []
    for first in range(0, channels, at_once):
        piece = slice(first, first + at_once)
        step = steps[:, :, piece, None]
        decay = (step * rates[:, piece, :, None]).exp()
        held = _joined(decay, step * inputs[:, :, piece, None] * B[:, :, None])
        pieces.append((held * C[:, :, None]).sum(3))
    return torch.cat(pieces, dim=2).flatten(1, 2) + D[:, None] * u


def _joined(decay: Tensor, states: Tensor) -> Tensor:
    """Return h [b, G, d, N, L] of h[t] = decay[t] h[t - 1] + states[t]."""
    length, reach = int(states.shape[-1]), 1
    while reach < length:
        # Before the first step are no states, and a decay of anything.
        earlier = functional.pad(states[..., :-reach], [reach, 0])
        states = states + decay * earlier
        decay = decay * functional.pad(decay[..., :-reach], [reach, 0])
        reach *= 2
    return states
