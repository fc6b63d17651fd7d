"""The selective scan in plain PyTorch, in two levels: steps within chunks, then from chunk to chunk.

Chunks are stepped through side by side, each from h = 0; then last states are carried from chunk to chunk,
and added to every step times its decay since the chunk began. About 2 sqrt(L) steps instead of L, and only
products of decays are formed, never quotients, so that no step size overflows. Any dtype, any device.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

_AT_ONCE = {"cpu": 2**20}
_AT_ONCE_ELSEWHERE = 2**26
"""States held at a time, over all steps: what a cache takes, or what fills an accelerator."""
_FEWEST_ROWS = 16
"""Channels computed side by side at least, for the sake of vector instructions."""


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
    """Scan as bench_sma.swin_umamba.scan.dispatcher says; states are held for some channels at a time."""
    batch, groups = B.shape[:2]
    delta = delta + delta_bias[:, None]
    if delta_softplus:
        delta = functional.softplus(delta)
    rates = A.view(groups, -1, A.shape[-1]).repeat(batch, 1, 1)
    inputs, steps = (tensor.view(batch * groups, -1, u.shape[-1]) for tensor in (u, delta))
    y: Tensor = _Recurrence.apply(inputs, steps, rates, B.flatten(0, 1), C.flatten(0, 1))
    return y.view_as(u) + D[:, None] * u


class _Recurrence(torch.autograd.Function):
    """u, delta [Q, d, L], A [Q, d, N], B, C [Q, N, L] to y [Q, d, L]; the backward pass computes states anew.

    Inside, tensors are [c, i, q, N, r], for step c of chunk i; what has no states or channels has a 1 there.
    """

    @staticmethod
    def forward(ctx: Any, u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
        ctx.save_for_backward(u, delta, A, B, C)
        y = torch.empty_like(u)
        for q, r in _pieces(u, A):
            step = _by_steps(delta[q, r])[..., None, :]
            decay = (step * A[q, r].mT).exp_()
            drive = _by_steps(B[q])[..., None] * (step * _by_steps(u[q, r])[..., None, :])
            states = _recur(decay, drive)
            y[q, r] = _along_time(states.mul_(_by_steps(C[q])[..., None]).sum(-2), u.shape[-1])
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, ...]:
        u, delta, A, B, C = ctx.saved_tensors
        length = u.shape[-1]
        grad_u, grad_delta, grad_A = torch.empty_like(u), torch.empty_like(delta), torch.empty_like(A)
        grad_B, grad_C = torch.zeros_like(B), torch.zeros_like(C)
        for q, r in _pieces(u, A):
            step, value, grad_y = (_by_steps(t[q, r])[..., None, :] for t in (delta, u, gradient))
            b, c = _by_steps(B[q])[..., None], _by_steps(C[q])[..., None]
            a = A[q, r].mT
            decay = (step * a).exp_()
            states = _recur(decay.clone(), b * (step * value))
            grad_C[q] += _along_time((states * grad_y).sum(-1), length)
            # h[t] acts on y[t], and on h[t + 1] through that step's decay.
            grad_h = _recur(_later(decay), c * grad_y, backwards=True)
            grad_B[q] += _along_time((grad_h * (step * value)).sum(-1), length)
            by_b = (grad_h * b).sum(-2)
            grad_u[q, r] = _along_time(by_b * step[..., 0, :], length)
            by_decay = grad_h.mul_(decay).mul_(_earlier(states))
            grad_A[q, r] = (by_decay * step).sum((0, 1)).mT
            by_step = by_b * value[..., 0, :] + by_decay.mul_(a).sum(-2)
            grad_delta[q, r] = _along_time(by_step, length)
        return grad_u, grad_delta, grad_A, grad_B, grad_C


def _pieces(u: Tensor, A: Tensor) -> Iterator[tuple[slice, slice]]:
    """Yield slices of groups and channels whose states can be held at once."""
    groups, channels, length = u.shape
    at_once = _AT_ONCE.get(u.device.type, _AT_ONCE_ELSEWHERE)
    of_one = A.shape[-1] * length
    rows = min(channels, max(_FEWEST_ROWS, at_once // of_one))
    together = max(1, at_once // (rows * of_one))
    for group in range(0, groups, together):
        for row in range(0, channels, rows):
            yield slice(group, group + together), slice(row, row + rows)


def _by_steps(sequences: Tensor) -> Tensor:
    """Return sequences [q, x, L] as [c, i, q, x]; filled up by zeros, which change no state."""
    length = sequences.shape[-1]
    chunk = math.isqrt(length - 1) + 1
    padded = functional.pad(sequences, [0, -length % chunk])
    return padded.view(*padded.shape[:2], -1, chunk).permute(3, 2, 0, 1).contiguous()


def _along_time(steps: Tensor, length: int) -> Tensor:
    """Return [c, i, q, x] as sequences [q, x, L]."""
    return steps.permute(2, 3, 1, 0).flatten(2)[..., :length]


def _recur(decay: Tensor, states: Tensor, backwards: bool = False) -> Tensor:
    """Return h of h[t] = decay[t] h[t - 1] + states[t], or of t + 1 backwards; overwrites both arguments."""
    steps, chunks = range(states.shape[0]), range(states.shape[1])
    if backwards:
        steps, chunks = steps[::-1], chunks[::-1]
    for before, now in pairwise(steps):
        states[now].addcmul_(decay[now], states[before])
        decay[now].mul_(decay[before])
    end = steps[-1]
    for before, now in pairwise(chunks):
        states[end, now].addcmul_(decay[end, now], states[end, before])
    if backwards:
        states[1:, :-1].addcmul_(decay[1:, :-1], states[:1, 1:])
    else:
        states[:-1, 1:].addcmul_(decay[:-1, 1:], states[-1:, :-1])
    return states


def _later(steps: Tensor) -> Tensor:
    """Return at every step what the next one has, and 1 at the last."""
    later = torch.ones_like(steps)
    later[:-1] = steps[1:]
    later[-1, :-1] = steps[0, 1:]
    return later


def _earlier(steps: Tensor) -> Tensor:
    """Return at every step what the one before has, and 0 at the first."""
    earlier = torch.zeros_like(steps)
    earlier[1:] = steps[:-1]
    earlier[0, 1:] = steps[-1, :-1]
    return earlier
