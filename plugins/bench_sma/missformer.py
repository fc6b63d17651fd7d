"""MISSFormer: an effective transformer for 2D medical image segmentation (Huang et al., arXiv 2109.07162).

A hierarchical encoder like MiT-B1, a bridge in which the tokens of all four scales attend to each other, and
a decoder that mirrors the encoder (the paper's figure 1). Kept from the authors' code: two of the three
normalizations of each feed-forward network and all but the expansion of the deepest decoder level are never
used, and the bridge takes channel groups of its reduced maps for tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from bench_core import BuildRequest
from bench_core.protocol.weights import WeightsReport, load_strictly, read_checkpoint, sum_over_rgb
from bench_sma.inner_size import at_inner_size, checked_inner_size
from bench_sma.missformer_weights import CLASSIFIER, encoder_from_mit, weights_file

Grid = tuple[int, int]
"""Height and width of a grid of tokens."""

_HEADS = (1, 2, 5, 8)
_REDUCTIONS = (8, 4, 2, 1)
_EXPANSION = 4
_BRIDGE_LAYERS = 4
_SIZE_MULTIPLE = 32
_UNUSED_NORMS = 2


@dataclass(frozen=True)
class Size:
    """Channels of the four stages, multiples of the first by the numbers of heads, and blocks of each."""

    width: int
    depths: tuple[int, int, int, int]

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of the four stages."""
        return tuple(self.width * heads for heads in _HEADS)


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


class EfficientAttention(nn.Module):
    """Self-attention of tokens [B, h * w, C], keys and values taken from a grid reduced by a convolution."""

    def __init__(self, width: int, heads: int, reduction: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.output = nn.Linear(width, width)
        self.reduces = reduction > 1
        if self.reduces:
            self.reduction = nn.Conv2d(width, width, reduction, stride=reduction)
            self.reduction_norm = nn.LayerNorm(width)

    def forward(self, tokens: Tensor, grid: Grid) -> Tensor:
        """Return tokens of the same shape."""
        context = tokens
        if self.reduces:
            context = self.reduction_norm(to_tokens(self.reduction(to_maps(tokens, grid))))
        key, value = self.key_value(context).chunk(2, dim=-1)
        output: Tensor = self.output(attend(self.query(tokens), key, value, self.heads))
        return output


class EnhancedMixFeedForward(nn.Module):
    """Per-token network, its hidden layer mixed over 3x3 neighborhoods, added to itself and normalized.

    Keeps tokens [B, h * w, C]. The paper's simplified form: the recursive steps are left out.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        hidden = _EXPANSION * width
        self.expand = nn.Linear(width, hidden)
        self.depthwise = nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden)
        self.norm = nn.LayerNorm(hidden)
        self.contract = nn.Linear(hidden, width)
        # Published counts and checkpoints include the normalizations of the recursive steps.
        self.unused_norms = nn.ModuleList(nn.LayerNorm(hidden) for _ in range(_UNUSED_NORMS))

    def forward(self, tokens: Tensor, grid: Grid) -> Tensor:
        """Return tokens of the same shape."""
        hidden = self.expand(tokens)
        mixed = to_tokens(self.depthwise(to_maps(hidden, grid)))
        contracted: Tensor = self.contract(functional.gelu(self.norm(mixed + hidden)))
        return contracted


class Block(nn.Module):
    """Attention and feed-forward network, each on normalized tokens and added to them."""

    def __init__(self, width: int, heads: int, reduction: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = EfficientAttention(width, heads, reduction)
        self.norm2 = nn.LayerNorm(width)
        self.feed_forward = EnhancedMixFeedForward(width)

    def forward(self, tokens: Tensor, grid: Grid) -> Tensor:
        """Return tokens of the same shape."""
        tokens = tokens + self.attention(self.norm1(tokens), grid)
        tokens = tokens + self.feed_forward(self.norm2(tokens), grid)
        return tokens


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
            blocks = [Block(width, _HEADS[index], _REDUCTIONS[index]) for _ in range(size.depths[index])]
            stages.append(Stage(embed, blocks, width))
        self.stages = nn.ModuleList(stages)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the four stages' features, finest first."""
        features: list[Tensor] = []
        for stage in self.stages:
            features.append(stage(features[-1] if features else images))
        return features


class Scales:
    """The four grids whose tokens the bridge holds in one sequence, cut into pieces of equal width."""

    def __init__(self, grids: Sequence[Grid]) -> None:
        self.grids = tuple(grids)
        self._lengths = [height * width * ratio for (height, width), ratio in zip(grids, _HEADS, strict=True)]

    def join(self, tokens: Sequence[Tensor], width: int) -> Tensor:
        """Return tokens [B, h * w, C * ratio] of each scale as one sequence [B, N, width], C = width."""
        return torch.cat([each.reshape(each.shape[0], -1, width) for each in tokens], dim=1)

    def split(self, sequence: Tensor) -> list[Tensor]:
        """Return a sequence's tokens by scale, in the width of that scale's encoder stage."""
        return [
            piece.reshape(piece.shape[0], height * width, -1)
            for piece, (height, width) in zip(
                torch.split(sequence, self._lengths, dim=1), self.grids, strict=True
            )
        ]


class BridgeAttention(nn.Module):
    """Every token of all scales attends to every scale, the finer ones reduced to the coarsest grid."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        width = widths[0]
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.output = nn.Linear(width, width)
        self.reductions = nn.ModuleList(
            nn.Conv2d(scale, scale, ratio, stride=ratio)
            for scale, ratio in zip(widths[:-1], _REDUCTIONS[:-1], strict=True)
        )
        self.reduction_norm = nn.LayerNorm(width)

    def forward(self, sequence: Tensor, scales: Scales) -> Tensor:
        """Return a sequence [B, N, C] of the same shape."""
        context = self.reduction_norm(self._reduced(sequence, scales))
        key, value = self.key_value(context).chunk(2, dim=-1)
        output: Tensor = self.output(attend(self.query(sequence), key, value, heads=1))
        return output

    def _reduced(self, sequence: Tensor, scales: Scales) -> Tensor:
        *finer, coarsest = scales.split(sequence)
        batch, width = sequence.shape[0], sequence.shape[-1]
        reduced = [
            # Groups of channels become tokens here, not the pieces of a pixel's channels as in `join`.
            convolution(to_maps(tokens, grid)).reshape(batch, width, -1).transpose(1, 2)
            for convolution, tokens, grid in zip(self.reductions, finer, scales.grids, strict=False)
        ]
        return torch.cat([*reduced, coarsest.reshape(batch, -1, width)], dim=1)


class BridgeLayer(nn.Module):
    """Attention over all scales together, then a feed-forward network for each."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(widths[0])
        self.attention = BridgeAttention(widths)
        self.norm2 = nn.LayerNorm(widths[0])
        self.feed_forwards = nn.ModuleList(EnhancedMixFeedForward(width) for width in widths)

    def forward(self, sequence: Tensor, scales: Scales) -> Tensor:
        """Return a sequence [B, N, C] of the same shape."""
        sequence = sequence + self.attention(self.norm1(sequence), scales)
        by_scale = scales.split(self.norm2(sequence))
        fed = [
            feed_forward(tokens, grid)
            for feed_forward, tokens, grid in zip(self.feed_forwards, by_scale, scales.grids, strict=True)
        ]
        return sequence + scales.join(fed, sequence.shape[-1])


class Bridge(nn.Module):
    """The enhanced transformer context bridge: features of four scales to features of the same shapes."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(BridgeLayer(widths) for _ in range(_BRIDGE_LAYERS))

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Return the features, finest first."""
        scales = Scales([(maps.shape[-2], maps.shape[-1]) for maps in features])
        sequence = scales.join([to_tokens(maps) for maps in features], features[0].shape[1])
        for layer in self.layers:
            sequence = layer(sequence, scales)
        return [
            to_maps(tokens, grid) for tokens, grid in zip(scales.split(sequence), scales.grids, strict=True)
        ]


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
        self.blocks = nn.ModuleList(Block(width, _HEADS[level], _REDUCTIONS[level]) for _ in range(2))
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
        """Return the logits at the images' resolution."""
        return at_inner_size(self._segment, images, self.inner_size)

    def _segment(self, images: Tensor) -> Tensor:
        maps: Tensor | None = None
        skips = self.bridge(self.encoder(images))
        for level, skip in reversed(list(zip(self.decoder, skips, strict=True))):
            maps = level(skip, maps)
        logits: Tensor = self.head(maps)
        return logits


def attend(query: Tensor, key: Tensor, value: Tensor, heads: int) -> Tensor:
    """Return the attention of tokens [B, N, C] to tokens [B, M, C], in `heads` groups of channels."""
    query, key, value = (
        part.reshape(*part.shape[:2], heads, -1).transpose(1, 2) for part in (query, key, value)
    )
    return functional.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)


def to_tokens(maps: Tensor) -> Tensor:
    """Return maps [B, C, h, w] as tokens [B, h * w, C], row by row."""
    return maps.flatten(2).transpose(1, 2)


def to_maps(tokens: Tensor, grid: Grid) -> Tensor:
    """Return tokens [B, h * w, C] as maps [B, C, h, w]."""
    return tokens.transpose(1, 2).reshape(tokens.shape[0], -1, *grid)


def _init_decoder(module: nn.Module) -> None:
    # As the authors: the encoder and the bridge keep torch's own initialization.
    if isinstance(module, nn.Linear | nn.Conv2d):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def build(request: BuildRequest) -> nn.Module:
    """Build a MISSFormer, its encoder filled from MiT-B1's file unless the request asks for none."""
    variant = request.options.get("variant", "b1")
    inner_size = checked_inner_size("missformer", request.options.get("inner_size"), _SIZE_MULTIPLE)
    network = MISSFormer(request.in_channels, request.num_classes, variant, inner_size)
    if variant != "b1":
        network.network_notes = (f"variant {variant}: narrower than the published network",)
    file = weights_file(request.pretrained, request.weights_file, request.options)
    if file is not None:
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
