"""TransNeXt: a backbone that looks as an eye does (Shi, CVPR 2024, arXiv:2311.17132), with UPerNet's head.

Three stages see their neighborhood sharply and the rest of the image through pooled patches, the fourth sees
everything; gated convolutions take the place of feed-forward networks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from bench_core import BuildRequest
from bench_core.errors import TrainingError
from bench_gpvm.drop_path import DropPath
from bench_gpvm.encoder_decoder import EncoderDecoder, Tensors, convert_parts, load_backbone
from bench_gpvm.transnext.attention import AggregatedAttention, GlobalAttention, Grid
from bench_gpvm.transnext.weights import DROPS, to_backbone
from bench_gpvm.uper_head import UPerHead, to_uper_head

_HEAD_WIDTH = 24
_EXPANSIONS = (8, 8, 4, 4)
"""Channels of the feed-forward parts over the stage's width, if they had no gate."""
_REDUCTIONS = (8, 4, 2)
"""Sides of pooled patches in tokens; the last stage pools nothing."""
_STRIDES = (4, 8, 16, 32)
_PRETRAIN_SIZE = 224
"""Pixels; distances are measured by it at whatever size a network is trained."""
_BLOCK_EPS = 1e-6


@dataclass(frozen=True)
class Size:
    """Four stages, and what goes with them."""

    widths: tuple[int, int, int, int]
    depths: tuple[int, int, int, int]
    drop_path: float
    """Probability of the last block to be skipped."""
    decoder_width: int = 512


SIZES: Mapping[str, Size] = {
    "pico": Size(widths=(24, 48, 96, 192), depths=(1, 1, 2, 1), drop_path=0.1, decoder_width=32),
    "micro": Size(widths=(48, 96, 192, 384), depths=(2, 2, 15, 2), drop_path=0.3),
    "tiny": Size(widths=(72, 144, 288, 576), depths=(2, 2, 15, 2), drop_path=0.4),
    "small": Size(widths=(72, 144, 288, 576), depths=(5, 5, 22, 5), drop_path=0.6),
    "base": Size(widths=(96, 192, 384, 768), depths=(5, 5, 23, 5), drop_path=0.7),
}
"""The paper's sizes, and `pico`, which is not one: for tests and studies on a CPU."""


class GatedConvolution(nn.Module):
    """ConvGLU: a branch mixed over 3x3 neighborhoods gates another. Keeps tokens [B, h * w, C]."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.expand = nn.Linear(width, 2 * hidden)
        self.depthwise = nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden)
        self.contract = nn.Linear(hidden, width)

    def forward(self, tokens: Tensor, grid: Grid) -> Tensor:
        """Return tokens of the same shape."""
        gate, value = self.expand(tokens).chunk(2, dim=-1)
        mixed = self.depthwise(_to_maps(gate, grid)).flatten(2).transpose(1, 2)
        contracted: Tensor = self.contract(functional.gelu(mixed) * value)
        return contracted


class Block(nn.Module):
    """Attention and gated convolution, each on normalized tokens and added to them."""

    def __init__(self, width: int, hidden: int, attention: nn.Module, drop_path: float) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width, eps=_BLOCK_EPS)
        self.attention = attention
        self.feed_forward_norm = nn.LayerNorm(width, eps=_BLOCK_EPS)
        self.feed_forward = GatedConvolution(width, hidden)
        self.drop_path = DropPath(drop_path)

    def forward(self, tokens: Tensor, grid: Grid) -> Tensor:
        """Return tokens of the same shape."""
        tokens = tokens + self.drop_path(self.attention(self.attention_norm(tokens), grid))
        tokens = tokens + self.drop_path(self.feed_forward(self.feed_forward_norm(tokens), grid))
        return tokens


class PatchEmbedding(nn.Module):
    """Maps [B, in, H, W] to tokens [B, h * w, out] of overlapping patches."""

    def __init__(self, in_channels: int, width: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.projection = nn.Conv2d(in_channels, width, kernel, stride, padding=kernel // 2)
        self.norm = nn.LayerNorm(width)

    def forward(self, maps: Tensor) -> tuple[Tensor, Grid]:
        """Return the tokens, and height and width of their grid."""
        maps = self.projection(maps)
        return self.norm(maps.flatten(2).transpose(1, 2)), (maps.shape[-2], maps.shape[-1])


class Stage(nn.Module):
    """Patch embedding, blocks and a normalization: [B, in, H, W] to [B, out, H / stride, W / stride]."""

    def __init__(self, embed: PatchEmbedding, blocks: Sequence[Block], width: int) -> None:
        super().__init__()
        self.embed = embed
        self.blocks = nn.ModuleList(blocks)
        self.norm = nn.LayerNorm(width, eps=_BLOCK_EPS)

    def forward(self, maps: Tensor) -> Tensor:
        """Return the stage's features."""
        tokens, grid = self.embed(maps)
        for block in self.blocks:
            tokens = block(tokens, grid)
        return _to_maps(self.norm(tokens), grid)


class TransNeXtBackbone(nn.Module):
    """Images [B, C, H, W], H and W multiples of 32, to features at strides 4, 8, 16 and 32.

    `drop_path` is the last block's rate, growing linearly from 0 at the first.
    """

    def __init__(self, size: Size, in_channels: int = 3, drop_path: float = 0.0) -> None:
        super().__init__()
        # On the CPU even where the network is built on the meta device: rates are numbers.
        rates = iter(torch.linspace(0, drop_path, sum(size.depths), device="cpu").tolist())
        before = (in_channels, *size.widths[:-1])
        self.stages = nn.ModuleList()
        for index, (width, depth) in enumerate(zip(size.widths, size.depths, strict=True)):
            embed = PatchEmbedding(before[index], width, *((3, 2) if index else (7, 4)))
            hidden = 2 * _EXPANSIONS[index] * width // 3
            blocks = [Block(width, hidden, _attention(index, width), next(rates)) for _ in range(depth)]
            self.stages.append(Stage(embed, blocks, width))
        self.apply(_initialize)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the four stages' features, finest first; raise TrainingError for sizes that do not fit."""
        if any(side % _STRIDES[-1] for side in images.shape[-2:]):
            raise TrainingError(
                f"TransNeXt cannot take images of {images.shape[-2]}x{images.shape[-1]} pixels",
                cause="it pools patches of 32x32 pixels",
                fix="resize them so that height and width are multiples of 32",
            )
        outputs = [images]
        for stage in self.stages:
            outputs.append(stage(outputs[-1]))
        return outputs[1:]


class TransNeXt(EncoderDecoder):
    """Images [B, C, H, W] to logits [B, K, H, W], H and W multiples of 32.

    `decoder_width` is that of every layer of the head. None takes the variant's.
    """

    def __init__(
        self,
        in_channels: int = 3,
        num_classes: int = 1,
        variant: str = "tiny",
        decoder_width: int | None = None,
        drop_path: float | None = None,
    ) -> None:
        size = SIZES[variant]
        super().__init__(
            TransNeXtBackbone(size, in_channels, size.drop_path if drop_path is None else drop_path),
            UPerHead(size.widths, num_classes, decoder_width or size.decoder_width),
        )


def _to_maps(tokens: Tensor, grid: Grid) -> Tensor:
    return tokens.transpose(1, 2).reshape(tokens.shape[0], -1, *grid)


def _attention(stage: int, width: int) -> nn.Module:
    heads, pretrain_side = width // _HEAD_WIDTH, _PRETRAIN_SIZE // _STRIDES[stage]
    if stage < len(_REDUCTIONS):
        return AggregatedAttention(width, heads, _REDUCTIONS[stage], pretrain_side)
    return GlobalAttention(width, heads, pretrain_side)


def _initialize(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Conv2d):
        fan_out = math.prod(module.kernel_size) * module.out_channels // module.groups
        nn.init.normal_(module.weight, std=math.sqrt(2 / fan_out))
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def from_published(tensors: Tensors) -> Tensors:
    """Rename a whole network's tensors from the authors' names to this module's; other names stay."""
    return convert_parts(tensors, {"backbone": to_backbone, "decode_head": to_uper_head})


def build(request: BuildRequest) -> nn.Module:
    """Build a TransNeXt, its backbone filled from a published file unless the request asks for none."""
    network = TransNeXt(request.in_channels, request.num_classes, **request.options)
    if file := request.weights_file:
        network.weights_report = load_backbone(network.backbone, file, request.pretrained, to_backbone, DROPS)
    return network
