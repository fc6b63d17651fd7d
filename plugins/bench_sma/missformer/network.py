"""MISSFormer: an effective transformer for 2D medical image segmentation (Huang et al., arXiv 2109.07162).

A hierarchical encoder like MiT-B1, a bridge in which the tokens of all four scales attend to each other, and
a decoder that mirrors the encoder (the paper's overview figure). Kept from the authors' code: two of three
normalizations of each feed-forward network and all but the expansion of the deepest decoder level are never
used, and the bridge takes channel groups of its reduced maps for tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from bench_core import BuildRequest
from bench_core.weights.load import WeightsReport, load_strictly, read_checkpoint, sum_over_rgb
from bench_sma.inner_size import at_inner_size, check_sides
from bench_sma.missformer.blocks import HEADS, REDUCTIONS, Block, Grid, to_maps, to_tokens
from bench_sma.missformer.bridge import Bridge
from bench_sma.missformer.weights import CLASSIFIER, encoder_from_mit

_SIZE_MULTIPLE = 32


@dataclass(frozen=True)
class Size:
    """Channels of the four stages, multiples of the first by the numbers of heads, and blocks of each."""

    width: int
    depths: tuple[int, int, int, int]

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of the four stages."""
        return tuple(self.width * heads for heads in HEADS)


SIZES = {"b1": Size(64, (2, 2, 2, 2)), "tiny": Size(8, (1, 1, 1, 1))}
"""`b1` is the published network; `tiny` is for tests and trials."""


class OverlapPatchEmbedding(nn.Module):
    """Maps [B, in, H, W] to tokens [B, h * w, out], each seeing its neighbors' pixels too."""

    def __init__(self, in_channels: int, width: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.projection = nn.Conv2d(in_channels, width, kernel, stride, padding=kernel // 2)
        self.norm = nn.LayerNorm(width)

    def forward(self, maps: Tensor) -> tuple[Tensor, Grid]:
        """Return the tokens, and height and width of their grid."""
        maps = self.projection(maps)
        return self.norm(to_tokens(maps)), (maps.shape[-2], maps.shape[-1])


class Stage(nn.Module):
    """Patch embedding, blocks and a normalization: [B, in, H, W] to [B, out, H / stride, W / stride]."""

    def __init__(self, embed: OverlapPatchEmbedding, blocks: Sequence[Block], width: int) -> None:
        super().__init__()
        self.embed = embed
        self.blocks = nn.ModuleList(blocks)
        self.norm = nn.LayerNorm(width)

    def forward(self, maps: Tensor) -> Tensor:
        """Return the stage's features."""
        tokens, grid = self.embed(maps)
        for block in self.blocks:
            tokens = block(tokens, grid)
        return to_maps(self.norm(tokens), grid)


class Encoder(nn.Module):
    """Images [B, C, H, W] to features at strides 4, 8, 16 and 32."""

    def __init__(self, in_channels: int, size: Size) -> None:
        super().__init__()
        stages: list[Stage] = []
        for index, (before, width) in enumerate(pairwise((in_channels, *size.widths))):
            embed = OverlapPatchEmbedding(before, width, *((3, 2) if index else (7, 4)))
            blocks = [Block(width, HEADS[index], REDUCTIONS[index]) for _ in range(size.depths[index])]
            stages.append(Stage(embed, blocks, width))
        self.stages = nn.ModuleList(stages)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the four stages' features, finest first."""
        features: list[Tensor] = []
        for stage in self.stages:
            features.append(stage(features[-1] if features else images))
        return features


class PatchExpand(nn.Module):
    """Maps [B, in, h, w] to [B, out, h * factor, w * factor]: each token becomes factor x factor of them."""

    def __init__(self, in_channels: int, width: int, factor: int) -> None:
        super().__init__()
        self.factor = factor
        self.expand = nn.Linear(in_channels, factor * factor * width, bias=False)
        self.norm = nn.LayerNorm(width)

    def forward(self, maps: Tensor) -> Tensor:
        """Return the enlarged maps."""
        batch, _, height, width = maps.shape
        pieces = self.expand(maps.permute(0, 2, 3, 1)).unflatten(-1, (self.factor, self.factor, -1))
        enlarged = pieces.transpose(2, 3).reshape(batch, height * self.factor, width * self.factor, -1)
        normalized: Tensor = self.norm(enlarged)
        return normalized.permute(0, 3, 1, 2)


class DecoderLevel(nn.Module):
    """Fuses what comes from below with the skip, two blocks, and an expansion.

    The deepest level has nothing below it: it only expands, its other layers are never used.
    """

    def __init__(self, below: int, level: int, size: Size) -> None:
        super().__init__()
        width = size.widths[level]
        self.fuse = nn.Linear(below + width, width)
        self.blocks = nn.ModuleList(Block(width, HEADS[level], REDUCTIONS[level]) for _ in range(2))
        # Halving the width exactly: at level 2 it does not become that of level 1, 160 instead of 128.
        self.expand = PatchExpand(width, width // 2, 2) if level else PatchExpand(width, width, 4)

    def forward(self, skip: Tensor, below: Tensor | None) -> Tensor:
        """Return maps of twice the skip's size, at level 0 of four times its size."""
        maps = skip
        if below is not None:
            grid = (skip.shape[-2], skip.shape[-1])
            tokens = self.fuse(to_tokens(torch.cat([below, skip], dim=1)))
            for block in self.blocks:
                tokens = block(tokens, grid)
            maps = to_maps(tokens, grid)
        enlarged: Tensor = self.expand(maps)
        return enlarged


class MISSFormer(nn.Module):
    """Images [B, C, H, W] to logits [B, K, H, W], H and W multiples of 32.

    With `inner_size` images are resized to that square first, and the logits back. No learned tensor depends
    on the size.
    """

    weights_report: WeightsReport
    network_notes: tuple[str, ...] = ()

    def __init__(
        self, in_channels: int = 3, num_classes: int = 1, variant: str = "b1", inner_size: int | None = None
    ) -> None:
        super().__init__()
        size = SIZES[variant]
        self.inner_size = inner_size
        self.encoder = Encoder(in_channels, size)
        self.bridge = Bridge(size.widths)
        # Below the deepest level, concatenation would bring its own width once more.
        below = (*(width // 2 for width in size.widths[1:]), size.widths[-1])
        self.decoder = nn.ModuleList(DecoderLevel(below[level], level, size) for level in range(len(below)))
        self.head = nn.Conv2d(size.width, num_classes, 1)
        for part in (self.decoder, self.head):
            part.apply(_init_decoder)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits at the images' resolution; raise TrainingError for sizes that do not fit."""
        return at_inner_size(self._segment, images, self.inner_size)

    def _segment(self, images: Tensor) -> Tensor:
        check_sides("missformer", images, _SIZE_MULTIPLE)
        maps: Tensor | None = None
        skips = self.bridge(self.encoder(images))
        for level, skip in reversed(list(zip(self.decoder, skips, strict=True))):
            maps = level(skip, maps)
        logits: Tensor = self.head(maps)
        return logits


def _init_decoder(module: nn.Module) -> None:
    # As the authors: the encoder and the bridge keep torch's own initialization.
    if isinstance(module, nn.Linear | nn.Conv2d):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def build(request: BuildRequest) -> nn.Module:
    """Build a MISSFormer, its encoder filled from MiT-B1's file unless the request asks for none."""
    variant = request.options.get("variant", "b1")
    network = MISSFormer(request.in_channels, request.num_classes, variant, request.options.get("inner_size"))
    if variant != "b1":
        network.network_notes = (f"variant {variant}: narrower than the published network",)
    if file := request.weights_file:
        tensors = encoder_from_mit(read_checkpoint(file))
        encoder = network.encoder.state_dict()
        tensors, notes = sum_over_rgb(encoder, tensors)
        new = {name.rpartition(".")[0] for name in encoder if ".feed_forward." in name and "norm" in name}
        network.weights_report = load_strictly(
            network.encoder,
            tensors,
            allowed_missing=sorted(new),
            allowed_unexpected=CLASSIFIER,
            source=request.pretrained,
            file=file,
            notes=notes,
        )
    return network
