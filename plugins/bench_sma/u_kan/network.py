"""U-KAN: a U-Net whose deepest stages mix tokens by Kolmogorov-Arnold layers.

Li et al., U-KAN Makes Strong Backbone for Medical Image Segmentation and Generation, AAAI 2025,
arXiv:2406.02918, figure 1: three convolution stages and two tokenized stages down, the same up.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional

from bench_core import BuildRequest
from bench_sma.inner_size import check_sides
from bench_sma.u_kan.kan import KANLinear

WIDTHS: Mapping[str, tuple[int, int, int]] = {
    "l": (256, 320, 512),
    "b": (128, 160, 256),
    "tiny": (64, 80, 128),
}
"""Channels of the last convolution stage and of the two tokenized ones; `tiny` is nobody's but ours."""
_LAYERS = 3


class DoubleConv(nn.Sequential):
    """Twice: 3x3 convolution, batch normalization, ReLU. [B, in, H, W] to [B, out, H, W]."""

    def __init__(self, in_channels: int, between: int, out_channels: int) -> None:
        super().__init__(
            nn.Conv2d(in_channels, between, 3, padding=1),
            nn.BatchNorm2d(between),
            nn.ReLU(inplace=True),
            nn.Conv2d(between, out_channels, 3, padding=1),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        )


class PatchEmbedding(nn.Module):
    """Overlapping patches: maps [B, in, H, W] to normalized maps [B, out, H / 2, W / 2]."""

    def __init__(self, in_channels: int, width: int) -> None:
        super().__init__()
        self.projection = nn.Conv2d(in_channels, width, 3, stride=2, padding=1)
        self.norm = nn.LayerNorm(width)

    def forward(self, maps: Tensor) -> Tensor:
        """Return the patches' embeddings."""
        return normalize(self.norm, self.projection(maps))


class KANLayer(nn.Module):
    """A Kolmogorov-Arnold layer on each token, then a depthwise 3x3 convolution. Keeps [B, C, H, W]."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mix = KANLinear(width, width)
        self.depthwise = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.norm = nn.BatchNorm2d(width)

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps of the same shape."""
        batch, width, *grid = maps.shape
        tokens = self.mix(maps.permute(0, 2, 3, 1).reshape(-1, width))
        mixed = tokens.view(batch, *grid, width).permute(0, 3, 1, 2)
        return functional.relu(self.norm(self.depthwise(mixed)))


class KANBlock(nn.Module):
    """The paper's Tok-KAN block: three layers on normalized maps [B, C, H, W], added to the maps."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.layers = nn.Sequential(*(KANLayer(width) for _ in range(_LAYERS)))
        self.apply(_initialize)

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps of the same shape."""
        mixed: Tensor = self.layers(normalize(self.norm, maps))
        return maps + mixed


class TokenEncoder(nn.Module):
    """One tokenized stage down: [B, in, H, W] to [B, out, H / 2, W / 2]."""

    def __init__(self, in_channels: int, width: int) -> None:
        super().__init__()
        self.embed = PatchEmbedding(in_channels, width)
        self.embed.apply(_initialize)
        self.block = KANBlock(width)
        self.norm = nn.LayerNorm(width)

    def forward(self, maps: Tensor) -> Tensor:
        """Return the stage's features."""
        return normalize(self.norm, self.block(self.embed(maps)))


class TokenDecoder(nn.Module):
    """One tokenized stage up: [B, in, H, W] and a skip [B, out, 2 H, 2 W] to features like the skip."""

    def __init__(self, in_channels: int, width: int) -> None:
        super().__init__()
        self.convolve = DoubleConv(in_channels, in_channels, width)
        self.block = KANBlock(width)
        self.norm = nn.LayerNorm(width)

    def forward(self, maps: Tensor, skip: Tensor) -> Tensor:
        """Return the stage's features."""
        return normalize(self.norm, self.block(enlarge(self.convolve(maps)) + skip))


class UKAN(nn.Module):
    """Images [B, C, H, W] to logits [B, K, H, W], for sides that are multiples of 32."""

    def __init__(self, in_channels: int = 3, num_classes: int = 1, variant: str = "l") -> None:
        super().__init__()
        third, fourth, fifth = WIDTHS[variant]
        first, second = third // 8, third // 4
        self.encoder = nn.ModuleList(
            DoubleConv(before, after, after)
            for before, after in pairwise((in_channels, first, second, third))
        )
        self.pool = nn.MaxPool2d(2)
        self.token_encoder = nn.ModuleList(
            TokenEncoder(before, after) for before, after in pairwise((third, fourth, fifth))
        )
        self.token_decoder = nn.ModuleList(
            TokenDecoder(before, after) for before, after in pairwise((fifth, fourth, third))
        )
        self.decoder = nn.ModuleList(
            DoubleConv(before, before, after) for before, after in pairwise((third, second, first, first))
        )
        self.head = nn.Conv2d(first, num_classes, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits at the images' resolution; raise TrainingError for sides that do not fit."""
        check_sides("u-kan", images, 32)
        features, skips = images, []
        for stage in self.encoder:
            features = self.pool(stage(features))
            skips.append(features)
        for stage in self.token_encoder:
            features = stage(features)
            skips.append(features)
        skips.pop()
        for stage in self.token_decoder:
            features = stage(features, skips.pop())
        for stage in self.decoder:
            features = enlarge(stage(features))
            if skips:
                features = features + skips.pop()
        logits: Tensor = self.head(features)
        return logits


def normalize(norm: nn.Module, maps: Tensor) -> Tensor:
    """Normalize maps [B, C, H, W] over their channels."""
    normalized: Tensor = norm(maps.permute(0, 2, 3, 1))
    return normalized.permute(0, 3, 1, 2)


def enlarge(maps: Tensor) -> Tensor:
    """Double the sides of maps [B, C, H, W] bilinearly."""
    return functional.interpolate(maps, scale_factor=2.0, mode="bilinear", align_corners=False)


def _initialize(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        fan_out = math.prod(module.kernel_size) * module.out_channels // module.groups
        nn.init.normal_(module.weight, std=math.sqrt(2 / fan_out))
        if module.bias is not None:
            nn.init.zeros_(module.bias)


_STAGES: tuple[tuple[str, Callable[[int], str]], ...] = (
    (r"^encoder([1-3])\.conv\.", lambda n: f"encoder.{n - 1}."),
    (r"^patch_embed([34])\.proj\.", lambda n: f"token_encoder.{n - 3}.embed.projection."),
    (r"^patch_embed([34])\.norm\.", lambda n: f"token_encoder.{n - 3}.embed.norm."),
    (r"^block([12])\.0\.", lambda n: f"token_encoder.{n - 1}.block."),
    (r"^norm([34])\.", lambda n: f"token_encoder.{n - 3}.norm."),
    (r"^decoder([12])\.conv\.", lambda n: f"token_decoder.{n - 1}.convolve."),
    (r"^dblock([12])\.0\.", lambda n: f"token_decoder.{n - 1}.block."),
    (r"^dnorm([34])\.", lambda n: f"token_decoder.{n - 3}.norm."),
    (r"^decoder([345])\.conv\.", lambda n: f"decoder.{n - 3}."),
)
"""Modules of the public implementation by their numbers, and what they are called here."""
_INSIDE_BLOCK: tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...] = (
    (r"\.block\.norm2\.", ".block.norm."),
    (r"\.layer\.fc([123])\.", lambda found: f".layers.{int(found[1]) - 1}.mix."),
    (r"\.layer\.dwconv_([123])\.dwconv\.", lambda found: f".layers.{int(found[1]) - 1}.depthwise."),
    (r"\.layer\.dwconv_([123])\.bn\.", lambda found: f".layers.{int(found[1]) - 1}.norm."),
    (r"^final\.", "head."),
)


def from_reference(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename a checkpoint of the public implementation to this module's names; other names stay."""
    return {_renamed(name): tensor for name, tensor in tensors.items()}


def _renamed(name: str) -> str:
    for pattern, place in _STAGES:
        if found := re.match(pattern, name):
            name = place(int(found[1])) + name[found.end() :]
            break
    for pattern, replacement in _INSIDE_BLOCK:
        name = re.sub(pattern, replacement, name)
    return name


def build(request: BuildRequest) -> nn.Module:
    """Build a U-KAN with random weights; nobody published any for ImageNet."""
    return UKAN(request.in_channels, request.num_classes, request.options["variant"])
