"""MISSFormer's enhanced transformer context bridge (Huang et al., arXiv 2109.07162)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from bench_sma.missformer.blocks import (
    HEADS,
    REDUCTIONS,
    EnhancedMixFeedForward,
    Grid,
    attend,
    to_maps,
    to_tokens,
)

_LAYERS = 4


class Scales:
    """The four grids whose tokens the bridge holds in one sequence, cut into pieces of equal width."""

    def __init__(self, grids: Sequence[Grid]) -> None:
        self.grids = tuple(grids)
        self._lengths = [height * width * ratio for (height, width), ratio in zip(grids, HEADS, strict=True)]

    def join(self, tokens: Sequence[Tensor], width: int) -> Tensor:
        """Return tokens [B, h * w, C * ratio] of each scale as one sequence [B, N, width], C = width."""
        return torch.cat([each.reshape(each.shape[0], -1, width) for each in tokens], dim=1)

    def split(self, sequence: Tensor) -> list[Tensor]:
        """Return a sequence's tokens by scale, in the width of that scale's encoder stage."""
        return [
            piece.reshape(piece.shape[0], height * width, -1)
            for piece, (height, width) in zip(
                torch.split(sequence, self._lengths, dim=1), self.grids, strict=True
            )
        ]


class BridgeAttention(nn.Module):
    """Every token of all scales attends to every scale, the finer ones reduced to the coarsest grid."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        width = widths[0]
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.output = nn.Linear(width, width)
        self.reductions = nn.ModuleList(
            nn.Conv2d(scale, scale, ratio, stride=ratio)
            for scale, ratio in zip(widths[:-1], REDUCTIONS[:-1], strict=True)
        )
        self.reduction_norm = nn.LayerNorm(width)

    def forward(self, sequence: Tensor, scales: Scales) -> Tensor:
        """Return a sequence [B, N, C] of the same shape."""
        context = self.reduction_norm(self._reduced(sequence, scales))
        key, value = self.key_value(context).chunk(2, dim=-1)
        output: Tensor = self.output(attend(self.query(sequence), key, value, heads=1))
        return output

    def _reduced(self, sequence: Tensor, scales: Scales) -> Tensor:
        *finer, coarsest = scales.split(sequence)
        batch, width = sequence.shape[0], sequence.shape[-1]
        reduced = [
            # Groups of channels become tokens here, not the pieces of a pixel's channels as in `join`.
            convolution(to_maps(tokens, grid)).reshape(batch, width, -1).transpose(1, 2)
            for convolution, tokens, grid in zip(self.reductions, finer, scales.grids, strict=False)
        ]
        return torch.cat([*reduced, coarsest.reshape(batch, -1, width)], dim=1)


class BridgeLayer(nn.Module):
    """Attention over all scales together, then a feed-forward network for each."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(widths[0])
        self.attention = BridgeAttention(widths)
        self.norm2 = nn.LayerNorm(widths[0])
        self.feed_forwards = nn.ModuleList(EnhancedMixFeedForward(width) for width in widths)

    def forward(self, sequence: Tensor, scales: Scales) -> Tensor:
        """Return a sequence [B, N, C] of the same shape."""
        sequence = sequence + self.attention(self.norm1(sequence), scales)
        by_scale = scales.split(self.norm2(sequence))
        fed = [
            feed_forward(tokens, grid)
            for feed_forward, tokens, grid in zip(self.feed_forwards, by_scale, scales.grids, strict=True)
        ]
        return sequence + scales.join(fed, sequence.shape[-1])


class Bridge(nn.Module):
    """The enhanced transformer context bridge: features of four scales to features of the same shapes."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(BridgeLayer(widths) for _ in range(_LAYERS))

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Return the features, finest first."""
        scales = Scales([(maps.shape[-2], maps.shape[-1]) for maps in features])
        sequence = scales.join([to_tokens(maps) for maps in features], features[0].shape[1])
        for layer in self.layers:
            sequence = layer(sequence, scales)
        return [
            to_maps(tokens, grid) for tokens, grid in zip(scales.split(sequence), scales.grids, strict=True)
        ]
