"""VMamba-Tiny, the encoder of Swin-UMamba (Liu et al., VMamba, arXiv 2401.10166): its first version.

Four stages of blocks in which a selective scan runs over the image in four directions, in place of attention.
Within a stage, features are grids [B, h, w, C], which are views of the maps [B, C, h, w] between stages.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.ops import StochasticDepth

from bench_sma.swin_umamba.scan import selective_scan

STATES = 16
_DIRECTIONS = 4
_EXPANSION = 2
_STEP_RANGE = (1e-3, 1e-1)
_SMALLEST_STEP = 1e-4


class FourWayScan(nn.Module):
    """SS2D: a gated selective scan along rows and columns, forth and back. Keeps [B, h, w, C].

    Steps, B and C of the scan depend on the input, A and D are learned. The scan is computed in float32 (or
    float64) under autocast too.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        inner, self.rank = _EXPANSION * width, math.ceil(width / 16)
        self.enter = nn.Linear(width, 2 * inner, bias=False)
        self.depthwise = nn.Conv2d(inner, inner, 3, padding=1, groups=inner)
        # One matrix per direction, for sequences [B, 4, C, L].
        self.select = nn.Parameter(torch.empty(_DIRECTIONS, self.rank + 2 * STATES, inner))
        self.step_weight = nn.Parameter(torch.empty(_DIRECTIONS, inner, self.rank))
        self.step_bias = nn.Parameter(torch.empty(_DIRECTIONS, inner))
        self.log_decay = nn.Parameter(torch.empty(_DIRECTIONS * inner, STATES))
        self.through = nn.Parameter(torch.ones(_DIRECTIONS * inner))
        self.norm = nn.LayerNorm(inner)
        self.leave = nn.Linear(inner, width, bias=False)
        self._init()

    def _init(self) -> None:
        bound = 1 / math.sqrt(self.select.shape[-1])
        nn.init.uniform_(self.select, -bound, bound)
        nn.init.uniform_(self.step_weight, -(self.rank**-0.5), self.rank**-0.5)
        # Steps are log-uniform at first; their bias goes through softplus.
        low, high = (math.log(step) for step in _STEP_RANGE)
        steps = (torch.rand_like(self.step_bias) * (high - low) + low).exp().clamp(min=_SMALLEST_STEP)
        with torch.no_grad():
            self.step_bias.copy_(steps + (-torch.expm1(-steps)).log())
            self.log_decay.copy_(torch.arange(1, STATES + 1).log().expand_as(self.log_decay))
        for linear in (self.enter, self.leave):
            nn.init.trunc_normal_(linear.weight, std=0.02)

    def forward(self, grid: Tensor) -> Tensor:
        """Return a grid of the same shape."""
        entered, gate = self.enter(grid).chunk(2, dim=-1)
        maps = functional.silu(self.depthwise(to_maps(entered)))
        scanned = self.norm(to_grid(self._scan(maps)))
        left: Tensor = self.leave(scanned * functional.silu(gate))
        return left

    def _scan(self, maps: Tensor) -> Tensor:
        """Return the sum of the scans along rows, columns, and both backwards, [B, C, h, w] like the maps."""
        batch, inner, height, width = maps.shape
        forth = torch.stack([maps.flatten(2), maps.mT.flatten(2)], dim=1)
        sequences = torch.cat([forth, forth.flip(-1)], dim=1)
        selected = self.select @ sequences
        rank, b, c = torch.split(selected, [self.rank, STATES, STATES], dim=2)
        steps = self.step_weight @ rank
        scanned = selective_scan(
            sequences.flatten(1, 2),
            steps.flatten(1, 2),
            -self.log_decay.exp(),
            b,
            c,
            self.through,
            self.step_bias.flatten(),
        ).view(sequences.shape)
        rows, columns = (scanned[:, :2] + scanned[:, 2:].flip(-1)).unbind(1)
        return rows.view(maps.shape) + columns.view(batch, inner, width, height).mT


class Block(nn.Module):
    """A four-way scan of the normalized grid, added to the grid."""

    def __init__(self, width: int, drop_path: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.scan = FourWayScan(width)
        self.drop_path = StochasticDepth(drop_path, mode="row")

    def forward(self, grid: Tensor) -> Tensor:
        """Return a grid of the same shape."""
        added: Tensor = grid + self.drop_path(self.scan(self.norm(grid)))
        return added


class Stage(nn.ModuleList):
    """Blocks, one after another. Keeps [B, C, h, w]."""

    def forward(self, maps: Tensor) -> Tensor:
        """Return the stage's features."""
        grid = to_grid(maps)
        for block in self:
            grid = block(grid)
        return to_maps(grid)


class PatchEmbedding(nn.Module):
    """Maps [B, in, H, W] to [B, out, H / 2, W / 2]: patches of 2x2."""

    def __init__(self, in_channels: int, width: int) -> None:
        super().__init__()
        self.projection = nn.Conv2d(in_channels, width, 2, stride=2)
        self.norm = nn.LayerNorm(width)

    def forward(self, maps: Tensor) -> Tensor:
        """Return the patches."""
        return to_maps(self.norm(to_grid(self.projection(maps))))


class PatchMerging(nn.Module):
    """Maps [B, C, h, w] to [B, 2 C, h / 2, w / 2], four neighbors to one, column by column."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * width)
        self.reduction = nn.Linear(4 * width, 2 * width, bias=False)
        nn.init.trunc_normal_(self.reduction.weight, std=0.02)

    def forward(self, maps: Tensor) -> Tensor:
        """Return the merged patches."""
        grid = to_grid(maps)
        offsets = ((0, 0), (1, 0), (0, 1), (1, 1))
        four = torch.cat([grid[:, row::2, column::2] for row, column in offsets], dim=-1)
        return to_maps(self.reduction(self.norm(four)))


class VMamba(nn.Module):
    """Maps [B, in, H, W] to features [B, C, h, w] of four stages at strides 2, 4, 8 and 16, unnormalized.

    H and W are multiples of 16. `drop_path` is the last block's rate, growing linearly from 0 at the first.
    """

    def __init__(
        self, in_channels: int, widths: Sequence[int], depths: Sequence[int], drop_path: float
    ) -> None:
        super().__init__()
        # On the CPU even where the network is built on the meta device: rates are numbers.
        rates = iter(torch.linspace(0, drop_path, sum(depths), device="cpu").tolist())
        self.patch_embed = PatchEmbedding(in_channels, widths[0])
        self.stages = nn.ModuleList(
            Stage(Block(width, next(rates)) for _ in range(depth))
            for width, depth in zip(widths, depths, strict=True)
        )
        self.merges = nn.ModuleList(PatchMerging(width) for width in widths[:-1])

    def forward(self, maps: Tensor) -> list[Tensor]:
        """Return the four stages' features, finest first."""
        features: list[Tensor] = []
        for enter, stage in zip((self.patch_embed, *self.merges), self.stages, strict=True):
            maps = stage(enter(maps))
            features.append(maps)
        return features


def to_grid(maps: Tensor) -> Tensor:
    """Return maps [B, C, h, w] as a grid [B, h, w, C], without copying."""
    return maps.permute(0, 2, 3, 1)


def to_maps(grid: Tensor) -> Tensor:
    """Return a grid [B, h, w, C] as maps [B, C, h, w], without copying."""
    return grid.permute(0, 3, 1, 2)
