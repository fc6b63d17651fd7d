"""The transformer half of TransUNet's encoder: ViT-B/16 (Dosovitskiy et al., arXiv 2010.11929)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

_EPS = 1e-6
_DROPOUT = 0.1
_MLP_EXPANSION = 4


class Attention(nn.Module):
    """Self-attention of tokens [B, N, C]."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.output = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return tokens of the same shape."""
        query, key, value = (
            layer(tokens).reshape(*tokens.shape[:2], self.heads, -1).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        attended = functional.scaled_dot_product_attention(query, key, value)
        output: Tensor = self.output(attended.transpose(1, 2).flatten(2))
        return output


class FeedForward(nn.Module):
    """Per-token network of one hidden layer. Keeps [B, N, C]."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.expand = nn.Linear(width, _MLP_EXPANSION * width)
        self.contract = nn.Linear(_MLP_EXPANSION * width, width)
        self.dropout = nn.Dropout(_DROPOUT)
        for layer in (self.expand, self.contract):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.normal_(layer.bias, std=1e-6)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return tokens of the same shape."""
        hidden = self.dropout(functional.gelu(self.expand(tokens)))
        contracted: Tensor = self.dropout(self.contract(hidden))
        return contracted


class Block(nn.Module):
    """Attention and feed-forward network, each on normalized tokens and added to them."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=_EPS)
        self.attention = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=_EPS)
        self.feed_forward = FeedForward(width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return tokens of the same shape."""
        tokens = tokens + self.attention(self.norm1(tokens))
        tokens = tokens + self.feed_forward(self.norm2(tokens))
        return tokens


class VisionTransformer(nn.Module):
    """Maps [B, in, h, w] to maps [B, width, h, w], each pixel a token; there is no class token.

    `grid` is the side of the square for which positions are stored; for another one they are resized.
    """

    def __init__(self, in_channels: int, width: int, blocks: int, heads: int, grid: int) -> None:
        super().__init__()
        self.embed = nn.Conv2d(in_channels, width, 1)
        self.positions = nn.Parameter(torch.zeros(1, grid * grid, width))
        self.dropout = nn.Dropout(_DROPOUT)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(blocks))
        self.norm = nn.LayerNorm(width, eps=_EPS)

    def forward(self, maps: Tensor) -> Tensor:
        """Return the transformed maps."""
        grid = (maps.shape[-2], maps.shape[-1])
        tokens = self.embed(maps).flatten(2).transpose(1, 2) + resize_positions(self.positions, grid)
        tokens = self.dropout(tokens)
        for block in self.blocks:
            tokens = block(tokens)
        normalized: Tensor = self.norm(tokens)
        return normalized.transpose(1, 2).reshape(normalized.shape[0], -1, *grid)


def resize_positions(positions: Tensor, grid: tuple[int, int]) -> Tensor:
    """Return positions [1, g * g, C] for a grid (h, w) as [1, h * w, C], bilinear between corner pixels."""
    side = math.isqrt(positions.shape[1])
    if grid == (side, side):
        return positions
    maps = positions.transpose(1, 2).reshape(1, -1, side, side)
    resized = functional.interpolate(maps, size=grid, mode="bilinear", align_corners=True)
    return resized.flatten(2).transpose(1, 2)
