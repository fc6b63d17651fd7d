"""Mix Transformer, the backbone of SegFormer (Xie et al., arXiv 2105.15203): B0 to B5.

Four stages of overlapping patches, self-attention on spatially reduced keys and values, and a feed-forward
network with a depthwise convolution, which makes positional encodings unnecessary.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from bench_gpvm.drop_path import DropPath

VARIANTS = {
    "b0": ((32, 64, 160, 256), (2, 2, 2, 2)),
    "b1": ((64, 128, 320, 512), (2, 2, 2, 2)),
    "b2": ((64, 128, 320, 512), (3, 4, 6, 3)),
    "b3": ((64, 128, 320, 512), (3, 4, 18, 3)),
    "b4": ((64, 128, 320, 512), (3, 8, 27, 3)),
    "b5": ((64, 128, 320, 512), (3, 6, 40, 3)),
}
"""Widths and numbers of blocks of the four stages (the paper's table 6)."""
_HEADS = (1, 2, 5, 8)
_REDUCTIONS = (8, 4, 2, 1)
_EXPANSION = 4
_BLOCK_EPS = 1e-6


class OverlapPatchEmbedding(nn.Module):
    """Maps [B, in, H, W] to tokens [B, h * w, out], each seeing its neighbors' pixels too."""

    def __init__(self, in_channels: int, width: int, kernel: int, stride: int, eps: float) -> None:
        super().__init__()
        self.projection = nn.Conv2d(in_channels, width, kernel, stride, padding=kernel // 2)
        self.norm = nn.LayerNorm(width, eps=eps)

    def forward(self, maps: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """Return the tokens, and height and width of their grid."""
        maps = self.projection(maps)
        return self.norm(to_tokens(maps)), (maps.shape[-2], maps.shape[-1])


class ReducedAttention(nn.Module):
    """Self-attention of tokens [B, h * w, C], keys and values taken from a grid reduced by a convolution.

    Rows and columns of the grid that do not fill a whole patch of the reduction give no keys.
    """

    def __init__(self, width: int, heads: int, reduction: int, eps: float) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.output = nn.Linear(width, width)
        self.reduces = reduction > 1
        if self.reduces:
            self.reduction = nn.Conv2d(width, width, reduction, stride=reduction)
            self.reduction_norm = nn.LayerNorm(width, eps=eps)

    def forward(self, tokens: Tensor, grid: tuple[int, int]) -> Tensor:
        """Return tokens of the same shape."""
        context = tokens
        if self.reduces:
            context = self.reduction_norm(to_tokens(self.reduction(to_maps(tokens, grid))))
        query = self._split_heads(self.query(tokens))
        key, value = (self._split_heads(part) for part in self.key_value(context).chunk(2, dim=-1))
        attended = functional.scaled_dot_product_attention(query, key, value)
        output: Tensor = self.output(attended.transpose(1, 2).flatten(2))
        return output

    def _split_heads(self, tokens: Tensor) -> Tensor:
        return tokens.reshape(*tokens.shape[:2], self.heads, -1).transpose(1, 2)


class MixFeedForward(nn.Module):
    """Per-token network of one hidden layer, mixed over 3x3 neighborhoods. Keeps [B, h * w, C]."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.expand = nn.Linear(width, hidden)
        self.depthwise = nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden)
        self.contract = nn.Linear(hidden, width)

    def forward(self, tokens: Tensor, grid: tuple[int, int]) -> Tensor:
        """Return tokens of the same shape."""
        hidden = to_tokens(self.depthwise(to_maps(self.expand(tokens), grid)))
        contracted: Tensor = self.contract(functional.gelu(hidden))
        return contracted


class Block(nn.Module):
    """Attention and feed-forward network, each on normalized tokens and added to them."""

    def __init__(self, width: int, heads: int, reduction: int, eps: float, drop_path: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=_BLOCK_EPS)
        self.attention = ReducedAttention(width, heads, reduction, eps)
        self.norm2 = nn.LayerNorm(width, eps=_BLOCK_EPS)
        self.feed_forward = MixFeedForward(width, _EXPANSION * width)
        self.drop_path = DropPath(drop_path)

    def forward(self, tokens: Tensor, grid: tuple[int, int]) -> Tensor:
        """Return tokens of the same shape."""
        tokens = tokens + self.drop_path(self.attention(self.norm1(tokens), grid))
        tokens = tokens + self.drop_path(self.feed_forward(self.norm2(tokens), grid))
        return tokens


class Stage(nn.Module):
    """Patch embedding, blocks and a normalization: [B, in, H, W] to [B, out, H / stride, W / stride]."""

    def __init__(self, embed: OverlapPatchEmbedding, blocks: Sequence[Block], width: int) -> None:
        super().__init__()
        self.embed = embed
        self.blocks = nn.ModuleList(blocks)
        self.norm = nn.LayerNorm(width, eps=_BLOCK_EPS)

    def forward(self, maps: Tensor) -> Tensor:
        """Return the stage's features."""
        tokens, grid = self.embed(maps)
        for block in self.blocks:
            tokens = block(tokens, grid)
        return to_maps(self.norm(tokens), grid)


class MixTransformer(nn.Module):
    """Images [B, C, H, W], from 29 pixels on, to features at strides 4, 8, 16 and 32, sizes rounded up.

    `drop_path` is the last block's rate, growing linearly from 0 at the first. `eps` is that of the
    normalizations after patch embeddings and reductions: 1e-5 in the authors' code, 1e-6 in MMSegmentation.
    `init` draws initial weights as the authors' code does (NVlabs/SegFormer, mix_transformer.py) or as
    MMSegmentation's (mmseg/models/backbones/mit.py), where those of attention and feed-forward networks are
    wider. Below 61 pixels the first stage's attention sees a single key.
    """

    def __init__(
        self,
        variant: str = "b3",
        in_channels: int = 3,
        drop_path: float = 0.1,
        eps: float = 1e-5,
        init: Literal["authors", "mmseg"] = "authors",
    ) -> None:
        super().__init__()
        self.widths, depths = VARIANTS[variant]
        # On the CPU even where the network is built on the meta device: rates are numbers.
        rates = iter(torch.linspace(0, drop_path, sum(depths), device="cpu").tolist())
        stages: list[Stage] = []
        for index, (before, width) in enumerate(pairwise((in_channels, *self.widths))):
            embed = OverlapPatchEmbedding(before, width, *((3, 2) if index else (7, 4)), eps=eps)
            heads, reduction = _HEADS[index], _REDUCTIONS[index]
            blocks = [Block(width, heads, reduction, eps, next(rates)) for _ in range(depths[index])]
            stages.append(Stage(embed, blocks, width))
        self.stages = nn.ModuleList(stages)
        self.apply(_init)
        if init == "mmseg":
            self.apply(_init_as_mmseg)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the four stages' features, finest first."""
        features: list[Tensor] = []
        for stage in self.stages:
            features.append(stage(features[-1] if features else images))
        return features


def to_tokens(maps: Tensor) -> Tensor:
    """Return maps [B, C, h, w] as tokens [B, h * w, C], row by row."""
    return maps.flatten(2).transpose(1, 2)


def to_maps(tokens: Tensor, grid: tuple[int, int]) -> Tensor:
    """Return tokens [B, h * w, C] as maps [B, C, h, w]."""
    return tokens.transpose(1, 2).reshape(tokens.shape[0], -1, *grid)


def _init(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Conv2d):
        fan_out = math.prod(module.kernel_size) * module.out_channels // module.groups
        nn.init.normal_(module.weight, std=math.sqrt(2 / fan_out))
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def _init_as_mmseg(module: nn.Module) -> None:
    """Draw again what MMSegmentation draws otherwise.

    There one matrix projects to queries, keys and values, Xavier-uniform as a whole, and the feed-forward
    network consists of 1x1 convolutions.
    """
    if isinstance(module, ReducedAttention):
        bound = math.sqrt(6 / (4 * module.query.in_features))
        nn.init.uniform_(module.query.weight, -bound, bound)
        nn.init.uniform_(module.key_value.weight, -bound, bound)
    elif isinstance(module, MixFeedForward):
        for layer in (module.expand, module.contract):
            nn.init.normal_(layer.weight, std=math.sqrt(2 / layer.out_features))
