"""HiFormer's Double-Level Fusion of fine and coarse tokens (the paper's figure 2, middle).

As published it changes nothing but the two class tokens: the code computes what transformer blocks make of
the tokens, and continues with the tokens from before. The decoder then drops the class tokens. So the mode
`reference` computes no more than what reaches the decoder: positions and normalizations. `paper` goes on with
the blocks' output; the exchange of class tokens, being last, still reaches nothing and is left out too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from bench_sma.swin_blocks import to_grid, to_maps


class SelfAttention(nn.Module):
    """Self-attention of tokens [B, N, C]."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query_key_value = nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return tokens of the same shape."""
        split = self.query_key_value(tokens).unflatten(-1, (3, self.heads, -1))
        query, key, value = split.permute(2, 0, 3, 1, 4)
        attended = functional.scaled_dot_product_attention(query, key, value)
        output: Tensor = self.output(attended.transpose(1, 2).flatten(2))
        return output


class Block(nn.Module):
    """A vision transformer's block. Keeps [B, N, C]."""

    def __init__(self, width: int, heads: int, expansion: int) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention = SelfAttention(width, heads)
        self.feed_forward_norm = nn.LayerNorm(width)
        self.feed_forward = nn.Sequential(
            nn.Linear(width, expansion * width), nn.GELU(), nn.Linear(expansion * width, width)
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """Return tokens of the same shape."""
        tokens = tokens + self.attention(self.attention_norm(tokens))
        tokens = tokens + self.feed_forward(self.feed_forward_norm(tokens))
        return tokens


class ClassAttention(nn.Module):
    """What a class token takes from all tokens of a branch, added to it: [B, N, C] to [B, 1, C]."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.output = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the class token, the first of the tokens, with what it attended to."""
        normalized = self.norm(tokens)
        query, key, value = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in (self.query(normalized[:, :1]), self.key(normalized), self.value(normalized))
        )
        attended = functional.scaled_dot_product_attention(query, key, value)
        output: Tensor = self.output(attended.transpose(1, 2).flatten(2))
        return tokens[:, :1] + output


class DoubleLevelFusion(nn.Module):
    """Fine and coarse maps to maps of the same shapes.

    `grids` are the sides of the squares of positions that are stored for each branch; they are resized
    bicubically to the maps' sizes. `depths` are the numbers of the branches' transformer blocks.
    """

    def __init__(
        self,
        widths: Sequence[int],
        heads: Sequence[int],
        depths: Sequence[int],
        grids: Sequence[int],
        expansion: int,
        uses_blocks: bool,
    ) -> None:
        super().__init__()
        self.uses_blocks = uses_blocks
        self.class_norms = nn.ModuleList(nn.LayerNorm(width) for width in widths)
        self.positions = nn.ParameterList(
            torch.empty(1, 1 + grid**2, width) for grid, width in zip(grids, widths, strict=True)
        )
        for positions in self.positions:
            nn.init.trunc_normal_(positions, std=0.02)
        self.blocks = nn.ModuleList(
            nn.Sequential(*(Block(width, head, expansion) for _ in range(depth)))
            for width, head, depth in zip(widths, heads, depths, strict=True)
        )
        # A class token goes through the other branch, at whose width it attends.
        others = list(zip(widths, widths[::-1], heads[::-1], strict=True))
        self.leave = nn.ModuleList(_adapter(own, other) for own, other, _ in others)
        self.attend = nn.ModuleList(ClassAttention(other, head) for _, other, head in others)
        self.come_back = nn.ModuleList(_adapter(other, own) for own, other, _ in others)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for width in widths)

    def forward(self, *levels: Tensor) -> list[Tensor]:
        """Return the maps that reach the decoder."""
        fused = []
        for branch, maps in enumerate(levels):
            if self.uses_blocks:
                patches = self.blocks[branch](self._tokens(branch, maps))[:, 1:]
            else:
                patches = maps.flatten(2).transpose(1, 2) + self._positions(branch, maps)[:, 1:]
            fused.append(to_maps(self.norms[branch](patches).unflatten(1, maps.shape[-2:])))
        return fused

    def with_class_tokens(self, *levels: Tensor) -> list[Tensor]:
        """Return all tokens [B, 1 + h w, C], class token first, exchanged and normalized as published."""
        branches = [self._tokens(branch, maps) for branch, maps in enumerate(levels)]
        if self.uses_blocks:
            branches = [blocks(tokens) for blocks, tokens in zip(self.blocks, branches, strict=True)]
        exchanged = []
        for branch, (tokens, other) in enumerate(zip(branches, branches[::-1], strict=True)):
            guest = torch.cat([self.leave[branch](tokens[:, :1]), other[:, 1:]], dim=1)
            returned = self.come_back[branch](self.attend[branch](guest))
            exchanged.append(self.norms[branch](torch.cat([returned, tokens[:, 1:]], dim=1)))
        return exchanged

    def _tokens(self, branch: int, maps: Tensor) -> Tensor:
        grid = to_grid(maps)
        class_token = self.class_norms[branch](grid).mean(dim=(1, 2))[:, None]
        tokens = torch.cat([class_token, grid.flatten(1, 2)], dim=1)
        return tokens + self._positions(branch, maps)

    def _positions(self, branch: int, maps: Tensor) -> Tensor:
        stored: Tensor = self.positions[branch]
        side = math.isqrt(int(stored.shape[1]) - 1)
        size = maps.shape[-2:]
        if size == (side, side):
            return stored
        square = to_maps(stored[:, 1:].reshape(1, side, side, -1))
        resized = functional.interpolate(square, size=size, mode="bicubic", align_corners=False)
        return torch.cat([stored[:, :1], to_grid(resized).flatten(1, 2)], dim=1)


def _adapter(width: int, out: int) -> nn.Sequential:
    return nn.Sequential(nn.LayerNorm(width), nn.GELU(), nn.Linear(width, out))
