"""U-Net: convolutional networks for biomedical image segmentation (Ronneberger et al., arXiv 1505.04597).

With batch normalization, padded convolutions and learned upsampling, as nearly every study means it today.
"""

from __future__ import annotations

import re
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from bench_core import BuildRequest
from bench_core.weights.load import WeightsReport, load_strictly, read_checkpoint, sum_over_rgb
from bench_sma.u_net.weights import DROPS, MISSING, PUBLISHED_WIDTH, to_encoder

_STAGES = 5

REFERENCE_NAMES = (
    (r"^inc\.double_conv\.", "encoder.0."),
    (r"^down(\d)\.maxpool_conv\.1\.double_conv\.", r"encoder.\1."),
    (r"^up(\d)\.up\.", r"upsample.\1."),
    (r"^up(\d)\.conv\.double_conv\.", r"decoder.\1."),
    (r"^outc\.conv\.", "head."),
)
"""Tensor names of the widely used public implementation, and what they are called here."""


class DoubleConv(nn.Sequential):
    """Twice: 3x3 convolution, batch normalization, ReLU. [B, in, H, W] to [B, out, H, W]."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(
            nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        )


class UNet(nn.Module):
    """Images [B, C, H, W] to logits [B, K, H, W], for H and W of at least 16, odd ones included.

    `width` is the number of channels at full resolution; it doubles at each of the four halvings.
    """

    weights_report: WeightsReport

    def __init__(self, in_channels: int = 3, num_classes: int = 1, width: int = PUBLISHED_WIDTH) -> None:
        super().__init__()
        widths = [width * 2**stage for stage in range(_STAGES)]
        self.encoder = nn.ModuleList(
            DoubleConv(before, after) for before, after in pairwise([in_channels, *widths])
        )
        self.pool = nn.MaxPool2d(2)
        # Numbered from 1, the deepest first, as published checkpoints number them.
        deep_to_shallow = list(enumerate(pairwise(reversed(widths)), start=1))
        self.upsample = nn.ModuleDict(
            {
                str(level): nn.ConvTranspose2d(deep, skip, 2, stride=2)
                for level, (deep, skip) in deep_to_shallow
            }
        )
        self.decoder = nn.ModuleDict(
            {str(level): DoubleConv(deep, skip) for level, (deep, skip) in deep_to_shallow}
        )
        self.head = nn.Conv2d(width, num_classes, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits at the images' resolution."""
        features = images
        skips: list[Tensor] = []
        for stage, block in enumerate(self.encoder):
            features = block(features if stage == 0 else self.pool(features))
            skips.append(features)
        skips.pop()
        for level, block in self.decoder.items():
            skip = skips.pop()
            features = block(torch.cat([skip, _pad_to(self.upsample[level](features), skip)], dim=1))
        logits: Tensor = self.head(features)
        return logits


def _pad_to(features: Tensor, skip: Tensor) -> Tensor:
    """Pad with zeros where halving an odd side lost a pixel; the right and lower edge get the odd one."""
    height, width = skip.shape[-2] - features.shape[-2], skip.shape[-1] - features.shape[-1]
    if height == 0 and width == 0:
        return features
    return functional.pad(features, [width // 2, width - width // 2, height // 2, height - height // 2])


def from_reference(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename a checkpoint of the public implementation to this module's names; other names stay."""
    return {_renamed(name): tensor for name, tensor in tensors.items()}


def _renamed(name: str) -> str:
    for pattern, replacement in REFERENCE_NAMES:
        name, hits = re.subn(pattern, replacement, name)
        if hits:
            break
    return name


def build(request: BuildRequest) -> nn.Module:
    """Build a U-Net; its four upper encoder stages filled from VGG13-BN if the request asks for that."""
    width = request.options.get("width", PUBLISHED_WIDTH)
    network = UNet(request.in_channels, request.num_classes, width)
    if file := request.weights_file:
        tensors, notes = sum_over_rgb(network.state_dict(), to_encoder(read_checkpoint(file)))
        network.weights_report = load_strictly(
            network,
            tensors,
            allowed_missing=MISSING,
            allowed_unexpected=DROPS,
            source=request.pretrained,
            file=file,
            notes=notes,
        )
    return network
