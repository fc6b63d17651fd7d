"""Decode heads on a backbone's stages.

`UPer` is UPerNet's scene-parsing branch (Xiao et al., ECCV 2018, arXiv:1807.10221) with the pyramid pooling
of PSPNet (Zhao et al., CVPR 2017, arXiv:1612.01105). `FPN` is the semantic branch of Panoptic FPN (Kirillov
et al., CVPR 2019, arXiv:1901.02446). Weights begin as in MMSegmentation's UPerHead and Detectron2's FPN.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

UPER_WIDTH = 512
FPN_WIDTH = 256
FPN_BRANCH_WIDTH = 128
_POOLED_SIDES = (1, 2, 3, 6)
_FPN_GROUPS = 32


def resize(maps: Tensor, size: Sequence[int]) -> Tensor:
    """Resize maps [B, C, h, w] bilinearly to size (H, W), aligned at pixels' outer edges."""
    return functional.interpolate(maps, size=tuple(size), mode="bilinear", align_corners=False)


class PixelNorm(nn.LayerNorm):
    """Layer normalization over the channels of every pixel. Keeps [B, C, h, w]."""

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps of the same shape."""
        normalized: Tensor = super().forward(maps.permute(0, 2, 3, 1))
        return normalized.permute(0, 3, 1, 2)


def _batch_normalized(inputs: int, outputs: int, kernel: int) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)
    return nn.Sequential(_for_relu(convolution), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


def _group_normalized(inputs: int, outputs: int) -> nn.Sequential:
    convolution = _for_relu(nn.Conv2d(inputs, outputs, 3, padding=1, bias=False))
    return nn.Sequential(convolution, nn.GroupNorm(_FPN_GROUPS, outputs), nn.ReLU(inplace=True))


def _for_relu(convolution: nn.Conv2d) -> nn.Conv2d:
    nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
    return _without_bias(convolution)


def _for_sums(convolution: nn.Conv2d) -> nn.Conv2d:
    # Detectron2's c2_xavier_fill.
    nn.init.kaiming_uniform_(convolution.weight, a=1)
    return _without_bias(convolution)


def _without_bias(convolution: nn.Conv2d) -> nn.Conv2d:
    if convolution.bias is not None:
        nn.init.zeros_(convolution.bias)
    return convolution


class UPer(nn.Module):
    """Stages of `widths` channels, finest first, to logits [B, K, h, w] of the finest's size.

    Training needs batches of two or more images: one pooled cell is normalized over the batch alone.
    """

    def __init__(self, widths: Sequence[int], classes: int, width: int = UPER_WIDTH) -> None:
        super().__init__()
        self.pooled = nn.ModuleList(_batch_normalized(widths[-1], width, 1) for _ in _POOLED_SIDES)
        self.context = _batch_normalized(widths[-1] + len(_POOLED_SIDES) * width, width, 3)
        self.laterals = nn.ModuleList(_batch_normalized(each, width, 1) for each in widths[:-1])
        self.smoothings = nn.ModuleList(_batch_normalized(width, width, 3) for _ in widths[:-1])
        self.fusion = _batch_normalized(len(widths) * width, width, 3)
        self.dropout = nn.Dropout2d(0.1)
        self.classifier = nn.Conv2d(width, classes, 1)
        nn.init.normal_(self.classifier.weight, std=0.01)
        _without_bias(self.classifier)

    def forward(self, stages: Sequence[Tensor]) -> Tensor:
        """Return the logits before they are enlarged to the image."""
        deepest, finest = stages[-1], stages[0].shape[-2:]
        grids = [
            resize(project(functional.adaptive_avg_pool2d(deepest, side)), deepest.shape[-2:])
            for side, project in zip(_POOLED_SIDES, self.pooled, strict=True)
        ]
        path = self.context(torch.cat([deepest, *grids], dim=1))
        levels = [resize(path, finest)]
        for index in reversed(range(len(self.laterals))):
            path = self.laterals[index](stages[index]) + resize(path, stages[index].shape[-2:])
            levels.append(resize(self.smoothings[index](path), finest))
        logits: Tensor = self.classifier(self.dropout(self.fusion(torch.cat(levels[::-1], dim=1))))
        return logits


class FPN(nn.Module):
    """Stages of `widths` channels, finest first, to logits [B, K, h, w] of the finest's size.

    Every level of the pyramid is doubled in size, after a convolution, as often as its depth asks, and the
    levels are summed.
    """

    def __init__(self, widths: Sequence[int], classes: int) -> None:
        super().__init__()
        self.laterals = nn.ModuleList(_for_sums(nn.Conv2d(each, FPN_WIDTH, 1)) for each in widths)
        self.smoothings = nn.ModuleList(
            _for_sums(nn.Conv2d(FPN_WIDTH, FPN_WIDTH, 3, padding=1)) for _ in widths
        )
        self.branches = nn.ModuleList(
            nn.ModuleList(
                _group_normalized(FPN_BRANCH_WIDTH if step else FPN_WIDTH, FPN_BRANCH_WIDTH)
                for step in range(max(1, level))
            )
            for level in range(len(widths))
        )
        self.classifier = _for_relu(nn.Conv2d(FPN_BRANCH_WIDTH, classes, 1))

    def forward(self, stages: Sequence[Tensor]) -> Tensor:
        """Return the logits before they are enlarged to the image."""
        sizes = [stage.shape[-2:] for stage in stages]
        path = self.laterals[-1](stages[-1])
        pyramid = [path]
        for index in reversed(range(len(stages) - 1)):
            path = self.laterals[index](stages[index]) + resize(path, sizes[index])
            pyramid.insert(0, path)
        levels = []
        for level, branch in enumerate(self.branches):
            maps = self.smoothings[level](pyramid[level])
            for step, convolve in enumerate(cast(nn.ModuleList, branch)):
                maps = convolve(maps)
                maps = resize(maps, sizes[level - step - 1]) if level else maps
            levels.append(maps)
        logits: Tensor = self.classifier(torch.stack(levels).sum(dim=0))
        return logits
