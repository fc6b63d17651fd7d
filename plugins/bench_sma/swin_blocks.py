"""Shifted-window self-attention on a grid of tokens (Swin Transformer, Liu et al., arXiv 2103.14030).

Blocks take grids [B, h, w, C] of any size: rows and columns that do not fill a window are padded with zeros
after the normalization and cut off after the attention, as Swin does for dense prediction. Where the grid is
a multiple of the window nothing is padded, and the block is the published one.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.ops import StochasticDepth

_EXPANSION = 4
_APART = -100.0
"""Added to the logits of tokens that only a cyclic shift has brought into one window."""


class WindowAttention(nn.Module):
    """Self-attention within windows, biased by the tokens' relative positions."""

    index: Tensor

    def __init__(self, width: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads = heads
        self.query_key_value = nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, width)
        self.bias_table = nn.Parameter(torch.zeros((2 * window - 1) ** 2, heads))
        nn.init.trunc_normal_(self.bias_table, std=0.02)
        self.register_buffer("index", _relative_positions(window), persistent=False)

    def forward(self, windows: Tensor, mask: Tensor | None) -> Tensor:
        """Return windows [B, n, N, C] of the same shape; `mask` [n, N, N] is added to their logits."""
        bias = self.bias_table[self.index].permute(2, 0, 1)
        query_key_value = self.query_key_value(windows).unflatten(-1, (3, self.heads, -1))
        # Windows are images of a batch, or further heads where each has a mask of its own: a mask that is
        # shared by the batch is then never copied for its images.
        if mask is None:
            query, key, value = query_key_value.flatten(0, 1).permute(2, 0, 3, 1, 4)
        else:
            query, key, value = query_key_value.permute(3, 0, 1, 4, 2, 5).flatten(2, 3)
            bias = (mask[:, None] + bias).flatten(0, 1)
        bias = bias[None].to(query.dtype)
        attended = functional.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        attended = attended.reshape(*windows.shape[:2], self.heads, windows.shape[2], -1)
        output: Tensor = self.output(attended.transpose(2, 3).flatten(3))
        return output


class SwinBlock(nn.Module):
    """Attention within windows and a feed-forward network, each on normalized tokens and added to them.

    `shift` moves the windows, which lets them exchange; a grid of one window is not shifted.
    """

    def __init__(self, width: int, heads: int, window: int, shift: int, drop_path: float) -> None:
        super().__init__()
        self.window, self.shift = window, shift
        self.attention_norm = nn.LayerNorm(width)
        self.attention = WindowAttention(width, heads, window)
        self.feed_forward_norm = nn.LayerNorm(width)
        self.feed_forward = nn.Sequential(
            nn.Linear(width, _EXPANSION * width), nn.GELU(), nn.Linear(_EXPANSION * width, width)
        )
        self.drop_path = StochasticDepth(drop_path, mode="row")

    def forward(self, grid: Tensor) -> Tensor:
        """Return a grid [B, h, w, C] of the same shape."""
        grid = grid + self.drop_path(self._attend(self.attention_norm(grid)))
        grid = grid + self.drop_path(self.feed_forward(self.feed_forward_norm(grid)))
        return grid

    def _attend(self, grid: Tensor) -> Tensor:
        height, width = grid.shape[1:3]
        shift = self.shift if min(height, width) > self.window else 0
        padding = (0, 0, 0, -width % self.window, 0, -height % self.window)
        padded = functional.pad(grid, padding) if any(padding) else grid
        mask = None
        if shift:
            padded = padded.roll((-shift, -shift), dims=(1, 2))
            mask = _shift_mask(padded, self.window, shift)
        windows = self.attention(_to_windows(padded, self.window), mask)
        padded = _to_grid(windows, self.window, padded.shape)
        if shift:
            padded = padded.roll((shift, shift), dims=(1, 2))
        return padded[:, :height, :width]


class PatchMerging(nn.Module):
    """Four neighbors become one token of twice the width: [B, h, w, C] to [B, h / 2, w / 2, 2 C]."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * width)
        self.reduction = nn.Linear(4 * width, 2 * width, bias=False)

    def forward(self, grid: Tensor) -> Tensor:
        """Return the merged grid; height and width must be even."""
        neighbors = [grid[:, row::2, column::2] for column in (0, 1) for row in (0, 1)]
        merged: Tensor = self.reduction(self.norm(torch.cat(neighbors, dim=-1)))
        return merged


def swin_blocks(width: int, heads: int, window: int, drop_paths: list[float]) -> nn.Sequential:
    """Return one block for each rate, every second one with its windows shifted by half."""
    return nn.Sequential(
        *(
            SwinBlock(width, heads, window, window // 2 if number % 2 else 0, rate)
            for number, rate in enumerate(drop_paths)
        )
    )


def linear_rates(last: float, count: int) -> list[float]:
    """Return `count` rates of stochastic depth, growing linearly from 0 to `last`."""
    # On the CPU even where a network is built on the meta device: rates are numbers.
    return [float(rate) for rate in torch.linspace(0, last, count, device="cpu")]


def to_grid(maps: Tensor) -> Tensor:
    """Return maps [B, C, h, w] as a grid of tokens [B, h, w, C], without copying."""
    return maps.permute(0, 2, 3, 1)


def to_maps(grid: Tensor) -> Tensor:
    """Return a grid of tokens [B, h, w, C] as maps [B, C, h, w], without copying."""
    return grid.permute(0, 3, 1, 2)


def init_tokens(module: nn.Module) -> None:
    """Initialize as Swin Transformers do: linear layers small and normal, normalizations as the identity."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.LayerNorm):
        nn.init.ones_(module.weight)
        nn.init.zeros_(module.bias)


def _to_windows(grid: Tensor, window: int) -> Tensor:
    """[B, h, w, C] to [B, n, N, C], windows and the tokens in them row by row."""
    batch, height, width, channels = grid.shape
    split = grid.view(batch, height // window, window, width // window, window, channels)
    return split.transpose(2, 3).reshape(batch, -1, window * window, channels)


def _to_grid(windows: Tensor, window: int, shape: torch.Size) -> Tensor:
    batch, height, width, channels = shape
    split = windows.view(batch, height // window, width // window, window, window, channels)
    return split.transpose(2, 3).reshape(shape)


def _relative_positions(window: int) -> Tensor:
    """Return the table's row for each pair of tokens of a window, [N, N]."""
    axis = torch.arange(window)
    row, column = (steps.flatten() for steps in torch.meshgrid(axis, axis, indexing="ij"))
    down, right = row[:, None] - row[None], column[:, None] - column[None]
    return (down + window - 1) * (2 * window - 1) + right + window - 1


def _shift_mask(grid: Tensor, window: int, shift: int) -> Tensor:
    """Return [n, N, N]: 0 for tokens that were neighbors before the shift, else a number that parts them."""
    rows, columns = (_regions(length, window, shift, grid.device) for length in grid.shape[1:3])
    regions = _to_windows((3 * rows[:, None] + columns[None])[None, ..., None], window)[0, ..., 0]
    apart = regions[:, :, None] != regions[:, None]
    return apart.to(grid.dtype) * _APART


def _regions(length: int, window: int, shift: int, device: torch.device) -> Tensor:
    """Number the parts of a shifted axis: whole windows, the last window's rest, what came from the front."""
    place = torch.arange(length, device=device)
    return (place >= length - window).long() + (place >= length - shift).long()
