"""The selective scan in few operations that any exporter can follow; no gradients of its own.

Steps are cut into chunks, which are stepped through side by side, twice. The first time begins at h = 0 and
leaves each chunk's last states. Joining each chunk with the one 1, 2, 4 and so on before (Hillis and Steele,
Data parallel algorithms, CACM 1986) gives the states that each begins with, and the second time starts there.
Only products of decays are formed, as in the other forms. What is written down grows with the logarithm of
the number of steps, and one state for each chunk is held, not one for each step.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

LONGEST_CHUNK = 16
"""Steps, each of which is written down twice."""


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
    chunk = min(LONGEST_CHUNK, math.isqrt(int(length) - 1) + 1)
    inputs, steps = (tensor.unflatten(1, (groups, -1)) for tensor in (u, delta))  # type: ignore[no-untyped-call]
    # Tensors below are [b, G, i, N, d] for chunk i; what has no states or channels has a 1 there.
    rates = A.view(groups, 1, -1, states).mT
    step, drive = (_by_steps(tensor, chunk)[..., None, :] for tensor in (steps, steps * inputs))
    b, c = (_by_steps(tensor, chunk) for tensor in (B, C))

    def advanced(h: Tensor | None, t: int) -> Tensor:
        driven = drive[t] * b[t][..., None]
        return driven if h is None else (step[t] * rates).exp() * h + driven

    h: Tensor | None = None
    for t in range(chunk):
        h = advanced(h, t)
    assert h is not None
    ends = _joined((step.sum(0) * rates).exp(), h)
    h = _moved(ends, 1)
    outputs = []
    for t in range(chunk):
        h = advanced(h, t)
        outputs.append(c[t][..., None, :] @ h)
    # [b, G, i, c, d] to [b, G, d, L].
    y = torch.cat(outputs, dim=3).flatten(2, 3)[:, :, : int(length)].mT
    return y.flatten(1, 2) + D[:, None] * u


def _by_steps(sequences: Tensor, chunk: int) -> Tensor:
    """Return sequences [b, G, x, L] as [c, b, G, i, x]; filled up by zeros, which change no state."""
    padded = functional.pad(sequences, [0, -int(sequences.shape[-1]) % chunk])
    cut = padded.unflatten(-1, (-1, chunk))  # type: ignore[no-untyped-call]
    by_steps: Tensor = cut.permute(4, 0, 1, 3, 2).contiguous()
    return by_steps


def _joined(decay: Tensor, states: Tensor) -> Tensor:
    """Return h [b, G, i, N, d] of h[i] = decay[i] h[i - 1] + states[i]."""
    chunks, reach = int(states.shape[2]), 1
    while reach < chunks:
        states = states + decay * _moved(states, reach)
        decay = decay * _moved(decay, reach)
        reach *= 2
    return states


def _moved(chunks: Tensor, by: int) -> Tensor:
    """Return at every chunk what is `by` chunks before; no states are before the first one."""
    return functional.pad(chunks[:, :, :-by], [0, 0, 0, 0, by, 0])
