"""UPerNet's decode head: pyramid pooling and a feature pyramid (Xiao et al., ECCV 2018, arXiv:1807.10221).

Only the paper's scene-parsing branch. Pooling is that of PSPNet (Zhao et al., CVPR 2017, arXiv:1612.01105).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from bench_gpvm.encoder_decoder import Tensors, resize

POOL_SIDES = (1, 2, 3, 6)


class ConvNormReLU(nn.Sequential):
    """Convolution that keeps the size, batch normalization, ReLU. [B, in, h, w] to [B, out, h, w]."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int) -> None:
        convolution = nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2, bias=False)
        nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
        super().__init__(convolution, nn.BatchNorm2d(out_channels), nn.ReLU())


class PyramidPooling(nn.Module):
    """Adds to the coarsest features [B, in, h, w] their means over grids of 1, 4, 9 and 36 cells.

    The one cell is normalized over the batch alone, so that training needs batches of two or more images.
    """

    def __init__(self, in_channels: int, width: int) -> None:
        super().__init__()
        self.projections = nn.ModuleList(ConvNormReLU(in_channels, width, 1) for _ in POOL_SIDES)
        self.fuse = ConvNormReLU(in_channels + len(POOL_SIDES) * width, width, 3)

    def forward(self, features: Tensor) -> Tensor:
        """Return [B, width, h, w]."""
        pooled = [
            resize(project(functional.adaptive_avg_pool2d(features, side)), features.shape[-2:])
            for side, project in zip(POOL_SIDES, self.projections, strict=True)
        ]
        fused: Tensor = self.fuse(torch.cat([features, *pooled], dim=1))
        return fused


class UPerHead(nn.Module):
    """Stage features, finest first, to logits [B, K, h, w] of the finest's size.

    `widths` are the stages' channels, `width` that of every layer here.
    """

    def __init__(
        self, widths: Sequence[int], num_classes: int, width: int = 512, dropout: float = 0.1
    ) -> None:
        super().__init__()
        self.pooling = PyramidPooling(widths[-1], width)
        self.lateral = nn.ModuleList(ConvNormReLU(stage_width, width, 1) for stage_width in widths[:-1])
        self.smooth = nn.ModuleList(ConvNormReLU(width, width, 3) for _ in widths[:-1])
        self.fuse = ConvNormReLU(len(widths) * width, width, 3)
        self.dropout = nn.Dropout2d(dropout)
        self.classify = nn.Conv2d(width, num_classes, 1)
        nn.init.normal_(self.classify.weight, std=0.01)
        nn.init.zeros_(self.classify.bias)  # type: ignore[arg-type]

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Return the logits before they are enlarged to the image."""
        coarse = self.pooling(features[-1])
        finest = features[0].shape[-2:]
        fused = [resize(coarse, finest)]
        stages = zip(features[:-1], self.lateral, self.smooth, strict=True)
        for feature, lateral, smooth in reversed(list(stages)):
            coarse = lateral(feature) + resize(coarse, feature.shape[-2:])
            fused.append(resize(smooth(coarse), finest))
        logits: Tensor = self.classify(self.dropout(self.fuse(torch.cat(fused[::-1], dim=1))))
        return logits


_PUBLISHED = (
    (r"^psp_modules\.(\d)\.1\.", r"pooling.projections.\1."),
    (r"^bottleneck\.", "pooling.fuse."),
    (r"^lateral_convs\.", "lateral."),
    (r"^fpn_convs\.", "smooth."),
    (r"^fpn_bottleneck\.", "fuse."),
    (r"^conv_seg\.", "classify."),
    (r"\.conv\.(\w+)$", r".0.\1"),
    (r"\.bn\.(\w+)$", r".1.\1"),
)
"""Names in MMSegmentation's UPerHead, and here; all that match apply, in this order."""


def to_uper_head(tensors: Tensors) -> Tensors:
    """Rename the tensors of MMSegmentation's UPerHead to this module's names; other names stay."""
    return {_renamed(name): tensor for name, tensor in tensors.items()}


def _renamed(name: str) -> str:
    for theirs, ours in _PUBLISHED:
        name = re.sub(theirs, ours, name)
    return name
