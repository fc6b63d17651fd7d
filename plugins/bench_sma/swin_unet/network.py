"""Swin-Unet: a U-shaped network of Swin Transformer blocks (Cao et al., arXiv 2105.05537).

The encoder merges 2x2 tokens three times, the decoder expands them again; skips join at equal resolutions.
Depths are 2, 2, 2, 2 and mirrored, as the public code runs it, whatever its configuration says.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn

from bench_core import BuildRequest
from bench_core.weights.load import WeightsReport, load_strictly, read_checkpoint, sum_over_rgb
from bench_sma.inner_size import check_sides
from bench_sma.swin_blocks import PatchMerging, init_tokens, linear_rates, swin_blocks, to_grid, to_maps
from bench_sma.swin_unet.weights import FROM_SCRATCH, NOT_USED, VARIANTS, mirrored
from bench_sma.swin_weights import block_name, fit_bias_tables, without_index_tables

_DEPTH = 2
"""Blocks of every stage."""
_PATCH = 4
_STRIDE = 32


class PatchExpanding(nn.Module):
    """Each token becomes factor x factor ones: [B, h, w, C] to [B, f h, f w, out]."""

    def __init__(self, width: int, factor: int, out: int) -> None:
        super().__init__()
        self.factor = factor
        self.expand = nn.Linear(width, factor**2 * out, bias=False)
        self.norm = nn.LayerNorm(out)

    def forward(self, grid: Tensor) -> Tensor:
        """Return the expanded grid."""
        batch, height, width, _ = grid.shape
        factor = self.factor
        cells = self.expand(grid).view(batch, height, width, factor, factor, -1)
        expanded = cells.transpose(2, 3).reshape(batch, factor * height, factor * width, -1)
        normalized: Tensor = self.norm(expanded)
        return normalized


class EncoderStage(nn.Module):
    """Blocks, then patch merging but in the deepest stage. Maps to maps, for class activations."""

    def __init__(self, blocks: nn.Sequential, merge: PatchMerging | None) -> None:
        super().__init__()
        self.blocks = blocks
        self.merge = merge

    def forward(self, maps: Tensor) -> Tensor:
        """Return [B, 2 C, h / 2, w / 2] of [B, C, h, w], or its own shape in the deepest stage."""
        grid = self.blocks(to_grid(maps))
        return to_maps(grid if self.merge is None else self.merge(grid))


class DecoderStage(nn.Module):
    """A skip joined to what comes from below, blocks, then patch expanding but in the last stage."""

    def __init__(self, width: int, blocks: nn.Sequential, expand: PatchExpanding | None) -> None:
        super().__init__()
        self.fuse = nn.Linear(2 * width, width)
        self.blocks = blocks
        self.expand = expand

    def forward(self, below: Tensor, skip: Tensor) -> Tensor:
        """Return [B, C / 2, 2 h, 2 w] of two [B, C, h, w], or their own shape in the last stage."""
        grid = self.blocks(self.fuse(torch.cat([to_grid(below), to_grid(skip)], dim=-1)))
        return to_maps(grid if self.expand is None else self.expand(grid))


class SwinUnet(nn.Module):
    """Images [B, C, H, W] to logits [B, K, H, W], for H and W that are multiples of 32.

    `drop_path` is the encoder's last rate of stochastic depth; decoder stages have their mirror's rates.
    """

    weights_report: WeightsReport
    network_notes: tuple[str, ...] = ()

    def __init__(
        self,
        in_channels: int = 3,
        num_classes: int = 1,
        variant: str = "t",
        window: int = 7,
        drop_path: float = 0.2,
    ) -> None:
        super().__init__()
        width, heads = VARIANTS[variant]
        widths = [width * 2**stage for stage in range(len(heads))]
        rates = linear_rates(drop_path, _DEPTH * len(heads))
        deepest = len(heads) - 1

        def blocks(stage: int) -> nn.Sequential:
            own = rates[_DEPTH * stage : _DEPTH * (stage + 1)]
            return swin_blocks(widths[stage], heads[stage], window, own)

        self.embed = nn.Conv2d(in_channels, width, _PATCH, stride=_PATCH)
        self.embed_norm = nn.LayerNorm(width)
        self.encoder = nn.ModuleList(
            EncoderStage(blocks(stage), PatchMerging(widths[stage]) if stage < deepest else None)
            for stage in range(len(heads))
        )
        self.encoder_norm = nn.LayerNorm(widths[-1])
        self.expand = PatchExpanding(widths[-1], 2, widths[-2])
        self.decoder = nn.ModuleList(
            DecoderStage(widths[stage], blocks(stage), PatchExpanding(widths[stage], 2, widths[above]))
            for stage, above in pairwise(range(deepest - 1, -1, -1))
        )
        self.decoder.append(DecoderStage(width, blocks(0), None))
        self.decoder_norm = nn.LayerNorm(width)
        self.enlarge = PatchExpanding(width, _PATCH, width)
        self.head = nn.Conv2d(width, num_classes, 1, bias=False)
        self.apply(init_tokens)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits at the images' resolution; raise TrainingError for sizes that do not fit."""
        check_sides("swin-unet", images, _STRIDE)
        maps = to_maps(self.embed_norm(to_grid(self.embed(images))))
        skips: list[Tensor] = []
        for stage in self.encoder:
            skips.append(maps)
            maps = stage(maps)
        skips.pop()
        maps = to_maps(self.expand(self.encoder_norm(to_grid(maps))))
        for stage in self.decoder:
            maps = stage(maps, skips.pop())
        enlarged = self.enlarge(self.decoder_norm(to_grid(maps)))
        logits: Tensor = self.head(to_maps(enlarged))
        return logits


_REFERENCE = (
    (re.compile(r"^patch_embed\.proj\."), "embed."),
    (re.compile(r"^patch_embed\.norm\."), "embed_norm."),
    (re.compile(r"^layers\.(\d)\.blocks\."), r"encoder.\1.blocks."),
    (re.compile(r"^layers\.(\d)\.downsample\."), r"encoder.\1.merge."),
    (re.compile(r"^norm\."), "encoder_norm."),
    (re.compile(r"^layers_up\.0\."), "expand."),
    (re.compile(r"^norm_up\."), "decoder_norm."),
    (re.compile(r"^up\."), "enlarge."),
    (re.compile(r"^output\."), "head."),
)
_DECODER = re.compile(r"^(?:layers_up\.([123])\.(blocks|upsample)|concat_back_dim\.([123]))\.")
_DECODER_PARTS = {"blocks": "blocks", "upsample": "expand", None: "fuse"}


def from_published(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename a whole network's tensors from the authors' names, masks and index tables left out.

    Names of an ImageNet Swin Transformer are among them; other names stay as they are.
    """
    return {_renamed(name): tensor for name, tensor in without_index_tables(tensors).items()}


def _renamed(name: str) -> str:
    own = block_name(name.removeprefix("swin_unet."))
    if found := _DECODER.match(own):
        stage = int(found[1] or found[3]) - 1
        return f"decoder.{stage}.{_DECODER_PARTS[found[2]]}.{own[found.end() :]}"
    for pattern, replacement in _REFERENCE:
        own, hits = pattern.subn(replacement, own)
        if hits:
            break
    return own


def build(request: BuildRequest) -> nn.Module:
    """Build a Swin-Unet, filled from a published Swin-Tiny unless the request asks for none."""
    network = SwinUnet(request.in_channels, request.num_classes, **request.options)
    if (variant := request.options.get("variant", "t")) != "t":
        network.network_notes = (f"variant {variant}: narrower than the published network",)
    if file := request.weights_file:
        _fill(network, file, request.pretrained)
    return network


def _fill(network: SwinUnet, file: Path, source: str) -> None:
    tensors = from_published(mirrored(read_checkpoint(file)))
    own = network.state_dict()
    tensors, summed = sum_over_rgb(own, tensors)
    tensors, resized = fit_bias_tables(own, tensors)
    network.weights_report = load_strictly(
        network,
        tensors,
        allowed_missing=FROM_SCRATCH,
        allowed_unexpected=NOT_USED,
        source=source,
        file=file,
        notes=summed + resized,
    )
