"""MSCAN, the backbone of SegNeXt: attention from multi-scale strip convolutions.

Guo et al., SegNeXt: Rethinking Convolutional Attention Design for Semantic Segmentation, NeurIPS 2022,
arXiv:2209.08575, sections 3.1 and 3.2 and table 2.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from bench_gpvm.drop_path import DropPath

_STRIPS = (7, 11, 21)
"""Lengths of the strip pairs that stand for large square kernels."""
_LAYER_SCALE = 1e-2


@dataclass(frozen=True)
class Size:
    """One column of the paper's table: four stages, and what goes with them."""

    widths: tuple[int, int, int, int]
    depths: tuple[int, int, int, int]
    drop_path: float
    """Probability of the last block to be skipped, in the published segmentation recipes."""
    expansions: tuple[int, int, int, int] = (8, 8, 4, 4)
    """Hidden channels of the feed-forward parts over the stage's width."""


SIZES: Mapping[str, Size] = {
    "t": Size(widths=(32, 64, 160, 256), depths=(3, 3, 5, 2), drop_path=0.1),
    "s": Size(widths=(64, 128, 320, 512), depths=(2, 2, 4, 2), drop_path=0.1),
    "b": Size(widths=(64, 128, 320, 512), depths=(3, 3, 12, 3), drop_path=0.1),
    "l": Size(widths=(64, 128, 320, 512), depths=(3, 5, 27, 3), drop_path=0.3),
}


class MSCAN(nn.Module):
    """Images [B, C, H, W] to four feature maps of 1/4, 1/8, 1/16 and 1/32 of the side, rounded up.

    `drop_path` is the probability of the last block; it grows linearly from 0 at the first.
    """

    def __init__(self, size: Size, in_channels: int = 3, drop_path: float = 0.0) -> None:
        super().__init__()
        # On the CPU even where the network is built on the meta device: rates are numbers.
        rates = iter(torch.linspace(0, drop_path, sum(size.depths), device="cpu").tolist())
        inputs = (in_channels, *size.widths[:-1])
        self.stages = nn.ModuleList()
        for index, (before, width, depth) in enumerate(zip(inputs, size.widths, size.depths, strict=True)):
            downsample = _stem(before, width) if index == 0 else nn.Sequential(*_halving(before, width))
            hidden = size.expansions[index] * width
            blocks = (Block(width, hidden, next(rates)) for _ in range(depth))
            self.stages.append(Stage(downsample, blocks, width))
        self.apply(_initialize)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the outputs of the four stages, the finest first."""
        outputs = [images]
        for stage in self.stages:
            outputs.append(stage(outputs[-1]))
        return outputs[1:]


class Stage(nn.Module):
    """Downsampling, blocks, and layer normalization over the channels of each pixel."""

    def __init__(self, downsample: nn.Module, blocks: Iterator[nn.Module], width: int) -> None:
        super().__init__()
        self.downsample = downsample
        self.blocks = nn.Sequential(*blocks)
        self.norm = nn.LayerNorm(width)

    def forward(self, features: Tensor) -> Tensor:
        """Return the stage's output, which the next stage gets as well."""
        features = self.blocks(self.downsample(features))
        normalized: Tensor = self.norm(features.permute(0, 2, 3, 1))
        return normalized.permute(0, 3, 1, 2).contiguous()


class Block(nn.Module):
    """Attention and feed-forward part, each normalized before, scaled, and added to its input."""

    def __init__(self, width: int, hidden: int, drop_path: float) -> None:
        super().__init__()
        self.attention_norm = nn.BatchNorm2d(width)
        self.attention = Attention(width)
        self.attention_scale = nn.Parameter(torch.full((width,), _LAYER_SCALE))
        self.feed_forward_norm = nn.BatchNorm2d(width)
        self.feed_forward = nn.Sequential(
            nn.Conv2d(width, hidden, 1), _depthwise(hidden, 3), nn.GELU(), nn.Conv2d(hidden, width, 1)
        )
        self.feed_forward_scale = nn.Parameter(torch.full((width,), _LAYER_SCALE))
        self.drop_path = DropPath(drop_path)

    def forward(self, features: Tensor) -> Tensor:
        """Return the sum, [B, C, H, W] like the input."""
        attended = self.attention(self.attention_norm(features))
        features = features + self.drop_path(self.attention_scale[:, None, None] * attended)
        fed = self.feed_forward(self.feed_forward_norm(features))
        added: Tensor = self.drop_path(self.feed_forward_scale[:, None, None] * fed)
        return features + added


class Attention(nn.Module):
    """A gate of convolutions between two 1x1 convolutions, added to its input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.enter = nn.Conv2d(width, width, 1)
        self.gate = MultiScaleGate(width)
        self.leave = nn.Conv2d(width, width, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Return [B, C, H, W] like the input."""
        gated: Tensor = self.leave(self.gate(functional.gelu(self.enter(features))))
        return gated + features


class MultiScaleGate(nn.Module):
    """Multiply features by weights from a 5x5 neighborhood and strips of three lengths around it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.local = _depthwise(width, 5)
        self.strips = nn.ModuleList(
            nn.Sequential(_depthwise(width, (1, length)), _depthwise(width, (length, 1)))
            for length in _STRIPS
        )
        self.mix = nn.Conv2d(width, width, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Return [B, C, H, W] like the input."""
        local = self.local(features)
        total = local
        for strip in self.strips:
            total = total + strip(local)
        gated: Tensor = self.mix(total) * features
        return gated


def _stem(in_channels: int, width: int) -> nn.Sequential:
    return nn.Sequential(*_halving(in_channels, width // 2), nn.GELU(), *_halving(width // 2, width))


def _halving(before: int, after: int) -> tuple[nn.Module, nn.Module]:
    return nn.Conv2d(before, after, 3, stride=2, padding=1), nn.BatchNorm2d(after)


def _depthwise(channels: int, kernel: int | tuple[int, int]) -> nn.Conv2d:
    return nn.Conv2d(channels, channels, kernel, padding="same", groups=channels)


def _initialize(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        fan_out = math.prod(module.kernel_size) * module.out_channels // module.groups
        nn.init.normal_(module.weight, std=math.sqrt(2 / fan_out))
        if module.bias is not None:
            nn.init.zeros_(module.bias)
