"""Swin-UMamba: a U-shaped network on a pretrained VMamba (Liu et al., MICCAI 2024, arXiv 2402.03302).

The paper's figure 1: a convolutional stem halves the image, VMamba encodes it, residual blocks process the
image itself and every stage on their way into a decoder of transposed convolutions and residual blocks.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from bench_core import BuildRequest
from bench_core.weights.load import WeightsReport
from bench_sma.inner_size import check_sides
from bench_sma.swin_umamba.scan.dispatcher import is_installed
from bench_sma.swin_umamba.vmamba import VMamba
from bench_sma.swin_umamba.weights import load_encoder

VARIANTS = {"vmamba-tiny": (96, (2, 2, 9, 2)), "pico": (16, (1, 1, 1, 1))}
"""Width of the first stage, which doubles at each following one, and numbers of blocks."""
_SLOPE = 0.01

_SIZE_MULTIPLE = 32


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with instance normalization, and a shortcut. [B, in, H, W] to [B, out, H, W]."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.shortcut = (
            nn.Conv2d(in_channels, out_channels, 1, bias=False) if in_channels != out_channels else None
        )

    def forward(self, maps: Tensor) -> Tensor:
        """Return the block's features."""
        inside = functional.leaky_relu(functional.instance_norm(self.conv1(maps)), _SLOPE)
        inside = functional.instance_norm(self.conv2(inside))
        if self.shortcut is not None:
            maps = functional.instance_norm(self.shortcut(maps))
        return functional.leaky_relu(inside + maps, _SLOPE)


class DecoderBlock(nn.Module):
    """Features [B, in, h, w] and a skip [B, out, 2 h, 2 w] to features of the skip's shape."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.upsample = nn.ConvTranspose2d(in_channels, out_channels, 2, stride=2, bias=False)
        self.fuse = ResidualBlock(2 * out_channels, out_channels)

    def forward(self, features: Tensor, skip: Tensor) -> Tensor:
        """Return the fused features."""
        fused: Tensor = self.fuse(torch.cat([self.upsample(features), skip], dim=1))
        return fused


class SwinUMamba(nn.Module):
    """Images [B, C, H, W] to logits [B, K, H, W]; H and W are multiples of 32, at least 64 in training.

    Of the heads, the first one is used; the others belong to deep supervision, and published counts and
    checkpoints include them.
    """

    weights_report: WeightsReport
    network_notes: tuple[str, ...]

    def __init__(
        self,
        in_channels: int = 3,
        num_classes: int = 1,
        variant: str = "vmamba-tiny",
        drop_path: float = 0.2,
    ) -> None:
        super().__init__()
        width, depths = VARIANTS[variant]
        stages = [width * 2**stage for stage in range(len(depths))]
        self.stem = nn.Sequential(
            nn.Conv2d(in_channels, width // 2, 7, stride=2, padding=3),
            nn.InstanceNorm2d(width // 2, affine=True),
        )
        self.encoder = VMamba(width // 2, stages, depths, drop_path)
        # Of the image, the stem and all stages but the last, each to the next one's width; finest first.
        widths = [width // 2, *stages]
        self.skips = nn.ModuleList(
            ResidualBlock(before, after) for before, after in pairwise([in_channels, *widths])
        )
        # Coarsest first. The coarsest keeps the last stage's width.
        self.decoder = nn.ModuleList(
            DecoderBlock(deep, skip) for deep, skip in pairwise([stages[-1], *reversed(widths)])
        )
        self.finish = ResidualBlock(width // 2, width // 2)
        self.heads = nn.ModuleList(nn.Conv2d(channels, num_classes, 1) for channels in widths[:-1])

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits at the images' resolution; raise TrainingError for sizes that do not fit."""
        check_sides("swin-umamba", images, _SIZE_MULTIPLE)
        stem = self.stem(images)
        *stages, features = self.encoder(stem)
        inputs = [images, stem, *stages]
        skips = [block(maps) for block, maps in zip(self.skips, inputs, strict=True)]
        for block, skip in zip(self.decoder, reversed(skips), strict=True):
            features = block(features, skip)
        logits: Tensor = self.heads[0](self.finish(features))
        return logits


def build(request: BuildRequest) -> nn.Module:
    """Build a Swin-UMamba for a job, its encoder from published weights or random."""
    variant = request.options.get("variant", "vmamba-tiny")
    network = SwinUMamba(
        request.in_channels, request.num_classes, variant, request.options.get("drop_path", 0.2)
    )
    if file := request.weights_file:
        network.weights_report = load_encoder(network.encoder, file, request.pretrained)
    network.network_notes = tuple(_notes(variant))
    return network


def _notes(variant: str) -> list[str]:
    notes = []
    if variant != "vmamba-tiny":
        notes.append(f"variant {variant}: narrower and shallower than the published network")
    if not is_installed("numba"):
        notes.append("numba is not installed: on a CPU, the selective scan takes a form several times slower")
    return notes
