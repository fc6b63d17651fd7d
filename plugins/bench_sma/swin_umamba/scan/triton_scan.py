"""The selective scan on a GPU by Triton's kernels: float32, states kept for every tile's beginning only.

L is cut into tiles though a program for each row would do to fill a GPU: Swin-UMamba at 512 pixels has 768
rows (4 directions of 192 channels) of 16,384 steps in its first stage, and more in the others. But such
programs read B and C once a row, 1.6 GB in that stage, and their gradients, sums over 192 rows, would have to
be added atomically or be kept for each row, another 1.6 GB. Programs for tiles take 32 rows in turn instead:
50 MB each. The price is that decays are computed twice, once for what a tile leaves behind; the stage's 201
million take a GPU of 132 multiprocessors, with 16 exponentials a clock each, some 60 microseconds.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import triton
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from bench_sma.swin_umamba.scan import triton_kernels as kernels

STEPS = 2
"""Steps that a lane takes one after another: more do not fit into its registers."""
LANES = 32
WARPS = 1
"""One warp holds a tile: its lanes lie along the steps, and no state is handed from warp to warp. On an H200
the first stage at 512 pixels takes 0.8 ms forwards and 2.3 ms with its gradients; with four warps and 8 steps
a lane it takes 4.0 and 30 ms.
"""
TILES_AT_ONCE = 64
"""Tiles whose states are carried at once."""
LARGEST_BLOCK, SMALLEST_BLOCK = 32, 8
"""Channels of a program: of many, B and C are read once, and few parts of their gradients are summed."""
ENOUGH_PROGRAMS = 1024
"""Programs that fill a GPU: some for each of its 100 or so multiprocessors."""


@torch.compiler.disable  # type: ignore[untyped-decorator]  # the kernels are compiled already
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
    """Scan as bench_sma.swin_umamba.scan.dispatcher says; the sums of gradients do not depend on the GPU."""
    y: Tensor = _Scan.apply(u, delta, A, B, C, D, delta_bias, delta_softplus)
    return y


class _Cut(NamedTuple):
    """How the work is cut: a tile is `steps` * `lanes` steps, states are filled up to a power of two."""

    groups: int
    channels: int
    length: int
    states: int
    steps: int
    lanes: int
    tiles: int
    padded: int
    block: int

    @property
    def grid(self) -> tuple[int, int, int]:
        """Programs: tiles, blocks of channels, groups."""
        return self.tiles, triton.cdiv(self.channels, self.block), self.groups

    @property
    def constants(self) -> dict[str, int]:
        return {"STEPS": self.steps, "PADDED": self.padded, "LANES": self.lanes}


def cut(groups: int, channels: int, length: int, states: int) -> _Cut:
    """Return how to cut Q groups of channels, by their sizes alone."""
    tiles, block = triton.cdiv(length, STEPS * LANES), LARGEST_BLOCK
    while block > SMALLEST_BLOCK and tiles * triton.cdiv(channels, block) * groups < ENOUGH_PROGRAMS:
        block //= 2
    padded = triton.next_power_of_2(states)
    return _Cut(groups, channels, length, states, STEPS, LANES, tiles, padded, block)


class _Scan(torch.autograd.Function):
    """The arguments of `scan` to y [b, G * d, L]."""

    @staticmethod
    def forward(
        ctx: Any,
        u: Tensor,
        delta: Tensor,
        A: Tensor,
        B: Tensor,
        C: Tensor,
        D: Tensor,
        bias: Tensor,
        softplus: bool,
    ) -> Tensor:
        batch, groups, states, length = B.shape
        sizes = cut(batch * groups, u.shape[1] // groups, length, states)
        B, C = to_tiles(B, sizes), to_tiles(C, sizes)
        y = torch.empty_like(u)
        totals = u.new_empty(sizes.groups, sizes.channels, sizes.tiles)
        with torch.cuda.device_of(u):  # type: ignore[no-untyped-call]
            entered = _entered(sizes, (u, delta, A, B, bias), totals, softplus, back=False)
            kernels.forward[sizes.grid](
                u, delta, A, B, C, D, bias, entered, y,
                length, sizes.channels, A.shape[0], states, sizes.block,
                SOFTPLUS=softplus, num_warps=WARPS, **sizes.constants,
            )  # fmt: skip
        ctx.save_for_backward(u, delta, A, B, C, D, bias, entered, totals)
        ctx.sizes, ctx.softplus, ctx.shape = sizes, softplus, (batch, groups, states, length)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        u, delta, A, B, C, D, bias, entered, totals = ctx.saved_tensors
        sizes: _Cut = ctx.sizes
        gradient = gradient.contiguous()
        grad_u, grad_delta, grad_A = torch.empty_like(u), torch.empty_like(delta), torch.empty_like(entered)
        grad_B, grad_C = (u.new_empty(sizes.grid[1], *B.shape) for _ in range(2))
        grad_D, grad_bias = torch.empty_like(totals), torch.empty_like(totals)
        with torch.cuda.device_of(u):  # type: ignore[no-untyped-call]
            handed = _entered(sizes, (gradient, delta, A, C, bias), totals, ctx.softplus, back=True)
            kernels.backward[sizes.grid](
                u, delta, A, B, C, D, bias, entered, gradient, handed,
                grad_u, grad_delta, grad_A, grad_B, grad_C, grad_D, grad_bias,
                sizes.length, sizes.channels, A.shape[0], sizes.states, sizes.block,
                SOFTPLUS=ctx.softplus, num_warps=WARPS, **sizes.constants,
            )  # fmt: skip
        rows = A.shape[0]
        # The batch's images share A, D and the bias.
        grad_A = grad_A.view(-1, rows, sizes.tiles, sizes.padded).sum((0, 2))[:, : sizes.states]
        grad_D, grad_bias = (part.view(-1, rows, sizes.tiles).sum((0, 2)) for part in (grad_D, grad_bias))
        grad_B, grad_C = (from_tiles(part.sum(0), sizes).view(ctx.shape) for part in (grad_B, grad_C))
        return grad_u, grad_delta, grad_A, grad_B, grad_C, grad_D, grad_bias, None


def _entered(sizes: _Cut, tensors: tuple[Tensor, ...], totals: Tensor, softplus: bool, back: bool) -> Tensor:
    """Return the states [Q, d, K, N] that enter the tiles, with `back` the gradients from behind."""
    A = tensors[2]
    entered = A.new_zeros(*totals.shape, sizes.padded)
    if sizes.tiles == 1:
        return entered
    ends = torch.empty_like(entered)
    kernels.tile_ends[sizes.grid](
        *tensors, ends, totals, sizes.length, sizes.channels, A.shape[0], sizes.states, sizes.block,
        SOFTPLUS=softplus, BACK=back, num_warps=WARPS, **sizes.constants,
    )  # fmt: skip
    kernels.carry[(sizes.groups * sizes.channels,)](
        ends, totals, A, entered, sizes.tiles, A.shape[0], sizes.states,
        BACK=back, PADDED=sizes.padded, AT_ONCE=min(TILES_AT_ONCE, triton.next_power_of_2(sizes.tiles)),
        num_warps=WARPS,
    )  # fmt: skip
    return entered


def to_tiles(shared: Tensor, sizes: _Cut) -> Tensor:
    """Return [b, G, N, L] as [Q, K, c, N, J], filled up by zeros; a tile has step j * c + i at [i, :, j]."""
    shared = shared.flatten(0, 1)
    beyond = (sizes.tiles * sizes.steps * sizes.lanes - sizes.length, sizes.padded - sizes.states)
    if any(beyond):
        shared = functional.pad(shared, [0, beyond[0], 0, beyond[1]])
    cut_up = shared.view(sizes.groups, sizes.padded, sizes.tiles, sizes.lanes, sizes.steps)
    return cut_up.permute(0, 2, 4, 1, 3).contiguous()


def from_tiles(tiles: Tensor, sizes: _Cut) -> Tensor:
    """Return [Q, K, c, N, J] as [Q, N, L], without what was filled up."""
    sequences = tiles.permute(0, 3, 1, 4, 2).reshape(sizes.groups, sizes.padded, -1)
    return sequences[:, : sizes.states, : sizes.length]
