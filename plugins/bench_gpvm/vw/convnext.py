"""ConvNeXt as a backbone (Liu et al., A ConvNet for the 2020s, CVPR 2022, arXiv:2201.03545).

Four stages of blocks with a 7x7 depthwise convolution and a pointwise network of one hidden layer. For dense
prediction every stage's output is normalized once more, as in the authors' code for segmentation.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from bench_gpvm.drop_path import DropPath

SIZES: Mapping[str, tuple[tuple[int, int, int, int], tuple[int, int, int, int]]] = {
    "atto": ((40, 80, 160, 320), (2, 2, 6, 2)),
    "t": ((96, 192, 384, 768), (3, 3, 9, 3)),
    "s": ((96, 192, 384, 768), (3, 3, 27, 3)),
    "b": ((128, 256, 512, 1024), (3, 3, 27, 3)),
    "l": ((192, 384, 768, 1536), (3, 3, 27, 3)),
}
"""Widths and numbers of blocks of the four stages.

Section 3 of the paper; `atto` is the smallest of its successor (Woo et al., CVPR 2023, arXiv:2301.00808).
"""
_EXPANSION = 4
_EPS = 1e-6
_SCALE = 1e-6


class PixelNorm(nn.LayerNorm):
    """Layer normalization over the channels of every pixel. Keeps [B, C, h, w]."""

    def __init__(self, width: int) -> None:
        super().__init__(width, eps=_EPS)

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps of the same shape."""
        normalized: Tensor = super().forward(maps.permute(0, 2, 3, 1))
        return normalized.permute(0, 3, 1, 2)


class Block(nn.Module):
    """Mixes over 7x7 neighborhoods, then over channels, and adds the scaled result. Keeps [B, C, h, w]."""

    def __init__(self, width: int, drop_path: float) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width, eps=_EPS)
        self.expand = nn.Linear(width, _EXPANSION * width)
        self.contract = nn.Linear(_EXPANSION * width, width)
        self.scale = nn.Parameter(torch.full((width,), _SCALE))
        self.drop_path = DropPath(drop_path)

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps of the same shape."""
        # Channels last, where a pointwise convolution is a linear layer.
        pixels = self.norm(self.depthwise(maps).permute(0, 2, 3, 1))
        pixels = self.scale * self.contract(functional.gelu(self.expand(pixels)))
        mixed: Tensor = self.drop_path(pixels.permute(0, 3, 1, 2))
        return maps + mixed


class Stage(nn.Module):
    """Downsampling, blocks, and the normalization of what leaves the backbone."""

    def __init__(self, downsample: nn.Sequential, width: int, rates: list[float]) -> None:
        super().__init__()
        self.downsample = downsample
        self.blocks = nn.Sequential(*(Block(width, rate) for rate in rates))
        self.output_norm = PixelNorm(width)

    def forward(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the next stage gets, and the same normalized, both [B, width, h, w]."""
        maps = self.blocks(self.downsample(maps))
        return maps, self.output_norm(maps)


class ConvNeXt(nn.Module):
    """Images [B, C, H, W] to features at strides 4, 8, 16 and 32, sizes rounded down.

    `drop_path` is the last block's rate, growing linearly from 0 at the first. Layer scales start at 1e-6, as
    where the authors train from scratch (table 5 of the paper); pretrained files hold their own. In the
    authors' code for segmentation they start at 1, which no run sees, since it always loads such a file.
    """

    def __init__(self, variant: str = "s", in_channels: int = 3, drop_path: float = 0.4) -> None:
        super().__init__()
        self.widths, depths = SIZES[variant]
        # On the CPU even where the network is built on the meta device: rates are numbers.
        rates = torch.linspace(0, drop_path, sum(depths), device="cpu").tolist()
        first = self.widths[0]
        downsamples = [nn.Sequential(nn.Conv2d(in_channels, first, 4, stride=4), PixelNorm(first))]
        downsamples += [
            nn.Sequential(PixelNorm(before), nn.Conv2d(before, width, 2, stride=2))
            for before, width in pairwise(self.widths)
        ]
        self.stages = nn.ModuleList()
        for downsample, width, depth in zip(downsamples, self.widths, depths, strict=True):
            self.stages.append(Stage(downsample, width, rates[:depth]))
            rates = rates[depth:]
        self.apply(_init)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the four stages' normalized features, finest first."""
        maps, features = images, []
        for stage in self.stages:
            maps, normalized = stage(maps)
            features.append(normalized)
        return features


def _init(module: nn.Module) -> None:
    if isinstance(module, nn.Linear | nn.Conv2d):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
