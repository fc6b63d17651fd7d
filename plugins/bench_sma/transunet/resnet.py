"""The convolutional half of TransUNet's encoder: a ResNet-50 of three stages with standardized weights.

Big Transfer's network (Kolesnikov et al., arXiv 1912.11370) as TransUNet's authors wrote it: group
normalization, standardized weights, strides on the 3x3 convolutions. It differs in four places from the
network that its ImageNet weights were trained in; `corrected` is the latter.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

_GROUPS = 32
_GROUP_EPS = 1e-6
_EXPANSION = 4


class StandardizedConv(nn.Conv2d):
    """Convolution without bias, whose kernels have mean 0 and variance 1 for each output channel.

    Pads by half the kernel, or with `corrected` so that a stride of 2 begins at the first pixel: less at the
    upper and left edge than at the others.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int, stride: int = 1, corrected: bool = False
    ) -> None:
        uneven = corrected and kernel > stride > 1
        super().__init__(
            in_channels, out_channels, kernel, stride, padding=0 if uneven else kernel // 2, bias=False
        )
        self.eps = 1e-8 if corrected else 1e-5
        # For even sides, which those of images of multiples of 16 are down to the last stage.
        before, after = (kernel - stride) // 2, (kernel - stride + 1) // 2
        self.edges = [before, after, before, after] if uneven else []

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps [B, out, h, w] of maps [B, in, H, W]."""
        variance, mean = torch.var_mean(self.weight, dim=(1, 2, 3), correction=0, keepdim=True)
        kernel = (self.weight - mean) * torch.rsqrt(variance + self.eps)
        if self.edges:
            maps = functional.pad(maps, self.edges)
        return functional.conv2d(maps, kernel, stride=self.stride, padding=self.padding)


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions with a shortcut. [B, in, H, W] to [B, out, H / stride, W / stride].

    The shortcut's normalization has one channel a group as published, and 32 groups if `corrected`.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, corrected: bool) -> None:
        super().__init__()
        middle = out_channels // _EXPANSION
        self.conv1 = StandardizedConv(in_channels, middle, 1, corrected=corrected)
        self.norm1 = nn.GroupNorm(_GROUPS, middle, eps=_GROUP_EPS)
        self.conv2 = StandardizedConv(middle, middle, 3, stride, corrected)
        self.norm2 = nn.GroupNorm(_GROUPS, middle, eps=_GROUP_EPS)
        self.conv3 = StandardizedConv(middle, out_channels, 1, corrected=corrected)
        self.norm3 = nn.GroupNorm(_GROUPS, out_channels, eps=_GROUP_EPS)
        self.projects = stride > 1 or in_channels != out_channels
        if self.projects:
            self.shortcut = StandardizedConv(in_channels, out_channels, 1, stride, corrected)
            self.shortcut_norm = (
                nn.GroupNorm(_GROUPS, out_channels, eps=_GROUP_EPS)
                if corrected
                else nn.GroupNorm(out_channels, out_channels)
            )

    def forward(self, maps: Tensor) -> Tensor:
        """Return the block's features."""
        shortcut = self.shortcut_norm(self.shortcut(maps)) if self.projects else maps
        inner = functional.relu(self.norm1(self.conv1(maps)))
        inner = functional.relu(self.norm2(self.conv2(inner)))
        return functional.relu(shortcut + self.norm3(self.conv3(inner)))


class Root(nn.Module):
    """7x7 convolution of stride 2, normalization, ReLU. [B, C, H, W] to [B, width, H / 2, W / 2]."""

    def __init__(self, in_channels: int, width: int, corrected: bool) -> None:
        super().__init__()
        self.conv = StandardizedConv(in_channels, width, 7, 2, corrected)
        self.norm = nn.GroupNorm(_GROUPS, width, eps=_GROUP_EPS)

    def forward(self, images: Tensor) -> Tensor:
        """Return the features at half resolution."""
        return functional.relu(self.norm(self.conv(images)))


class ResNet(nn.Module):
    """Images [B, C, H, W] to features at strides 2, 4, 8 and 16 of `widths` channels.

    As published the max pooling loses a row and a column, so that the first stage works on H / 4 - 1 times
    W / 4 - 1 pixels; what it returns has zeros there.
    """

    def __init__(self, in_channels: int, width: int, depths: Sequence[int], corrected: bool = False) -> None:
        super().__init__()
        self.corrected = corrected
        self.widths = (width, *(width * _EXPANSION * 2**stage for stage in range(len(depths))))
        self.root = Root(in_channels, width, corrected)
        self.stages = nn.ModuleList()
        for stage, (before, after) in enumerate(pairwise(self.widths)):
            blocks = [Bottleneck(before, after, 2 if stage else 1, corrected)]
            blocks += [Bottleneck(after, after, 1, corrected) for _ in range(depths[stage] - 1)]
            self.stages.append(nn.Sequential(*blocks))

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the root's and the stages' features, finest first."""
        features: list[Tensor] = [self.root(images)]
        maps = functional.max_pool2d(
            _with_one_more(features[0]) if self.corrected else features[0], kernel_size=3, stride=2
        )
        for index, stage in enumerate(self.stages):
            maps = stage(maps)
            features.append(_with_one_more(maps) if index == 0 and not self.corrected else maps)
        return features


def _with_one_more(maps: Tensor) -> Tensor:
    """Return maps with a row of zeros below and a column of zeros at the right; all else is 0 or more."""
    return functional.pad(maps, [0, 1, 0, 1])
