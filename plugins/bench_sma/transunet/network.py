"""TransUNet: transformers as encoders for medical image segmentation (Chen et al., arXiv 2102.04306).

A convolutional network, a vision transformer on its features, and a decoder that enlarges the transformer's
output in four steps, with the convolutional network's features as skips (the paper's figure 1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from bench_core import BuildRequest
from bench_core.weights.load import WeightsReport
from bench_sma.inner_size import check_sides
from bench_sma.transunet.resnet import ResNet
from bench_sma.transunet.vit import VisionTransformer
from bench_sma.transunet.weights import PRETRAINED_GRID, load_npz

_STRIDE = 16
_RGB = 3


@dataclass(frozen=True)
class Size:
    """How large a network is."""

    root: int
    """Channels of the convolutional network at half resolution; its stages have 4, 8 and 16 times as many."""
    depths: tuple[int, int, int]
    width: int
    """Channels of the transformer."""
    blocks: int
    heads: int
    decoder: tuple[int, int, int, int, int]
    """Channels after the decoder's first convolution and after each of its four steps."""


SIZES = {
    "r50-vit-b16": Size(64, (3, 4, 9), 768, 12, 12, (512, 256, 128, 64, 16)),
    "tiny": Size(32, (1, 1, 1), 64, 2, 4, (64, 32, 32, 16, 16)),
}
"""`r50-vit-b16` is the published network; `tiny` is for tests and trials."""


class ConvNormReLU(nn.Sequential):
    """3x3 convolution, batch normalization, ReLU. [B, in, H, W] to [B, out, H, W]."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(
            nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        )


class DecoderBlock(nn.Module):
    """Enlarges maps to twice their size and convolves them, beside a skip if there is one."""

    def __init__(self, in_channels: int, skip_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv1 = ConvNormReLU(in_channels + skip_channels, out_channels)
        self.conv2 = ConvNormReLU(out_channels, out_channels)

    def forward(self, maps: Tensor, skip: Tensor | None) -> Tensor:
        """Return maps [B, out, 2h, 2w] of maps [B, in, h, w]."""
        maps = functional.interpolate(maps, scale_factor=2, mode="bilinear", align_corners=True)
        maps = self.conv1(maps if skip is None else torch.cat([maps, skip], dim=1))
        convolved: Tensor = self.conv2(maps)
        return convolved


class Decoder(nn.Module):
    """The cascaded upsampler: maps at stride 16 and skips at 8, 4 and 2 to maps at full resolution."""

    def __init__(self, in_channels: int, skips: Sequence[int], widths: Sequence[int]) -> None:
        super().__init__()
        self.enter = ConvNormReLU(in_channels, widths[0])
        steps = zip(pairwise(widths), (*skips, 0), strict=True)
        self.blocks = nn.ModuleList(DecoderBlock(before, skip, after) for (before, after), skip in steps)

    def forward(self, maps: Tensor, skips: Sequence[Tensor]) -> Tensor:
        """Return the decoded features; skips are given coarsest first."""
        maps = self.enter(maps)
        for block, skip in zip(self.blocks, (*skips, None), strict=True):
            maps = block(maps, skip)
        return maps


class TransUNet(nn.Module):
    """Images [B, C, H, W] to logits [B, K, H, W], H and W multiples of 16 from 32 on.

    One channel is repeated three times: standardized kernels cannot be summed over red, green and blue.
    `grid` is the side of the square of stored positions, `corrected` selects the convolutional network that
    the ImageNet weights were trained in (see `resnet`).
    """

    weights_report: WeightsReport
    network_notes: tuple[str, ...] = ()

    def __init__(
        self,
        in_channels: int = 3,
        num_classes: int = 1,
        variant: str = "r50-vit-b16",
        grid: int = PRETRAINED_GRID,
        corrected: bool = False,
    ) -> None:
        super().__init__()
        size = SIZES[variant]
        self.is_gray = in_channels == 1
        self.resnet = ResNet(_RGB if self.is_gray else in_channels, size.root, size.depths, corrected)
        *skips, deepest = self.resnet.widths
        self.transformer = VisionTransformer(deepest, size.width, size.blocks, size.heads, grid)
        self.decoder = Decoder(size.width, skips[::-1], size.decoder)
        self.segmentation_head = nn.Conv2d(size.decoder[-1], num_classes, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits at the images' resolution; raise TrainingError for sizes that do not fit."""
        check_sides("transunet", images, _STRIDE)
        *skips, deepest = self.resnet(images.expand(-1, _RGB, -1, -1) if self.is_gray else images)
        # Contiguous: PyTorch's batch normalization of one image errs in gradients of transposed tokens.
        decoded = self.decoder(self.transformer(deepest).contiguous(), skips[::-1])
        logits: Tensor = self.segmentation_head(decoded)
        return logits


def build(request: BuildRequest) -> nn.Module:
    """Build a TransUNet, its encoder filled from the published file unless the request asks for none."""
    options = request.options
    variant = options.get("variant", "r50-vit-b16")
    grid = request.image_size // _STRIDE if options.get("positions") == "own" else PRETRAINED_GRID
    corrected = options.get("cnn") == "corrected"
    network = TransUNet(request.in_channels, request.num_classes, variant, grid, corrected)
    if variant != "r50-vit-b16":
        network.network_notes = (f"variant {variant}: narrower than the published network",)
    if file := request.weights_file:
        network.weights_report = load_npz(network, file, request.pretrained)
        if not corrected:
            network.network_notes += (
                "its convolutional network is the published code's, which is not quite the one that the "
                "ImageNet weights were trained in (option `cnn`)",
            )
    return network
