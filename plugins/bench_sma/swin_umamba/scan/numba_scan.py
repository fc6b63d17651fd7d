"""The selective scan on a CPU, compiled by numba: float32, states kept for every 64th step only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from bench_sma.swin_umamba.scan.numba_kernels import CHUNK, ROWS, backward, forward

_PARTS = 2
"""Into how many parts a group's channels are cut for threads; fixed, so that sums do not depend on these."""


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
    """Scan as bench_sma.swin_umamba.scan.dispatcher says, on as many threads as PyTorch is set to take."""
    delta = delta + delta_bias[:, None]
    if delta_softplus:
        delta = functional.softplus(delta)
    batch, groups, _, length = B.shape
    inputs, steps = (tensor.view(batch * groups, -1, length) for tensor in (u, delta))
    rates, through = A.view(groups, -1, A.shape[1]), D.view(groups, -1)
    in_time = (tensor.flatten(0, 1).mT.contiguous() for tensor in (B, C))
    y: Tensor = _Scan.apply(inputs, steps, rates, *in_time, through)
    return y.view_as(u)


class _Scan(torch.autograd.Function):
    """u, delta [Q, d, L], A [G, d, N], B, C [Q, L, N], D [G, d] to y [Q, d, L], where Q = b * G."""

    @staticmethod
    def forward(ctx: Any, u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor) -> Tensor:
        groups, channels, length = u.shape
        y = torch.empty_like(u)
        kept = u.new_empty(groups, -(-length // CHUNK), channels, A.shape[-1])
        arrays = [tensor.numpy() for tensor in (u, delta, A, B, C, D, y, kept)]
        _run([(group, *cut) for group in range(groups) for cut in _cuts(channels)], forward, arrays)
        ctx.save_for_backward(u, delta, A, B, C, D, kept)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, ...]:
        u, delta, A, B, C, D, kept = ctx.saved_tensors
        groups, channels, length = u.shape
        cuts = _cuts(channels)
        grad_u, grad_delta = torch.empty_like(u), torch.empty_like(delta)
        grad_A, grad_D = u.new_empty(groups, channels, A.shape[-1]), u.new_empty(groups, channels)
        grad_B, grad_C = (u.new_zeros(groups, len(cuts), length, A.shape[-1]) for _ in range(2))
        grads = (grad_u, grad_delta, grad_A, grad_B, grad_C, grad_D)
        arrays = [t.numpy() for t in (u, delta, A, B, C, D, kept, gradient.contiguous(), *grads)]
        tasks = [(group, part, *cut) for group in range(groups) for part, cut in enumerate(cuts)]
        _run(tasks, backward, arrays)
        # The batch's images share A and D.
        grad_A, grad_D = (grad.view(-1, A.shape[0], *grad.shape[1:]).sum(0) for grad in (grad_A, grad_D))
        return grad_u, grad_delta, grad_A, grad_B.sum(1), grad_C.sum(1), grad_D


def _cuts(channels: int) -> list[tuple[int, int]]:
    """Return first and last channel (exclusive) of each part: whole vectors, and at least one."""
    blocks = -(-channels // ROWS)
    edges = [min(channels, ROWS * (blocks * part // _PARTS)) for part in range(_PARTS + 1)]
    return [(first, last) for first, last in pairwise(edges) if first < last]


def _run(tasks: Sequence[tuple[int, ...]], kernel: Callable[..., None], arrays: list[Any]) -> None:
    threads = min(torch.get_num_threads(), len(tasks))
    if threads == 1:
        for task in tasks:
            kernel(*task, *arrays)
        return
    # Threads of Python: numba's own end the process when two of them, or a fork, meet.
    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(kernel, *task, *arrays) for task in tasks]:
            done.result()
