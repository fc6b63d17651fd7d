"""InternImage with UPerNet (Wang et al., CVPR 2023, arXiv:2211.05778).

The backbone is built like a vision transformer whose attention is replaced by a deformable convolution: stem,
four stages of blocks, and a downsampling layer before each stage but the first (the paper's figure 3).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bench_core import BuildRequest
from bench_gpvm.drop_path import DropPath
from bench_gpvm.encoder_decoder import EncoderDecoder, Tensors, convert_parts, load_backbone
from bench_gpvm.internimage.dcnv3 import DCNv3
from bench_gpvm.internimage.weights import CLASSIFIER, to_backbone
from bench_gpvm.uper_head import UPerHead, to_uper_head

_CHANNELS_PER_GROUP = 16
_EXPANSION = 4
_EPS = 1e-6


@dataclass(frozen=True)
class Size:
    """Channels of the first stage, doubled at each that follows; blocks of the stages; decoder's channels."""

    width: int
    depths: tuple[int, int, int, int]
    decoder_width: int

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of the four stages."""
        return tuple(self.width << stage for stage in range(len(self.depths)))


SIZES: Mapping[str, Size] = {
    "t": Size(width=64, depths=(4, 4, 18, 4), decoder_width=512),
    "micro": Size(width=16, depths=(1, 1, 2, 1), decoder_width=32),
}
"""InternImage-T (the paper's table 1), and one for tests and quick studies, which is not published."""
_PUBLISHED = "t"


class ChannelNorm(nn.LayerNorm):
    """Layer normalization over the channels of every pixel of maps [B, C, H, W]."""

    def __init__(self, width: int) -> None:
        super().__init__(width, eps=_EPS)

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps of the same shape."""
        return super().forward(maps.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Block(nn.Module):
    """Deformable convolution and feed-forward network, each normalized before, scaled, and added.

    Keeps [B, H, W, C].
    """

    def __init__(self, width: int, drop_path: float) -> None:
        super().__init__()
        self.operator_norm = nn.LayerNorm(width, eps=_EPS)
        self.operator = DCNv3(width, groups=width // _CHANNELS_PER_GROUP)
        self.operator_scale = nn.Parameter(torch.ones(width))
        self.feed_forward_norm = nn.LayerNorm(width, eps=_EPS)
        self.feed_forward = nn.Sequential(
            _linear(width, _EXPANSION * width), nn.GELU(), _linear(_EXPANSION * width, width)
        )
        self.feed_forward_scale = nn.Parameter(torch.ones(width))
        self.drop_path = DropPath(drop_path)

    def forward(self, features: Tensor) -> Tensor:
        """Return features of the same shape."""
        moved = self.operator(self.operator_norm(features))
        features = features + self.drop_path(self.operator_scale * moved)
        fed = self.feed_forward(self.feed_forward_norm(features))
        added: Tensor = self.drop_path(self.feed_forward_scale * fed)
        return features + added


class Stage(nn.Module):
    """Downsampling (the stem in the first), blocks and normalization: [B, in, H, W] to [B, C, h, w]."""

    def __init__(self, downsample: nn.Module, blocks: Iterator[nn.Module], width: int) -> None:
        super().__init__()
        self.downsample = downsample
        self.blocks = nn.Sequential(*blocks)
        self.norm = nn.LayerNorm(width, eps=_EPS)

    def forward(self, maps: Tensor) -> Tensor:
        """Return the stage's output, which the next stage gets as well."""
        features: Tensor = self.norm(self.blocks(self.downsample(maps).permute(0, 2, 3, 1)))
        return features.permute(0, 3, 1, 2).contiguous()


class InternImageBackbone(nn.Module):
    """Images [B, C, H, W] to features at strides 4, 8, 16 and 32, sizes rounded up, finest first.

    `drop_path` is the last block's rate, growing linearly from 0 at the first.
    """

    def __init__(self, size: Size, in_channels: int = 3, drop_path: float = 0.2) -> None:
        super().__init__()
        # On the CPU even where the network is built on the meta device: rates are numbers.
        rates = iter(torch.linspace(0, drop_path, sum(size.depths), device="cpu").tolist())
        self.widths = size.widths
        self.stages = nn.ModuleList()
        for index, (width, depth) in enumerate(zip(size.widths, size.depths, strict=True)):
            downsample = _downsampling(size.widths[index - 1], width) if index else _stem(in_channels, width)
            blocks = (Block(width, next(rates)) for _ in range(depth))
            self.stages.append(Stage(downsample, blocks, width))

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the outputs of the four stages."""
        outputs = [images]
        for stage in self.stages:
            outputs.append(stage(outputs[-1]))
        return outputs[1:]


class InternImage(EncoderDecoder):
    """Images [B, C, H, W] of any size to logits [B, K, H, W]; training needs batches of two or more.

    `decoder_width` and `drop_path` are the variant's or the published ones if not given.
    """

    def __init__(
        self,
        in_channels: int = 3,
        num_classes: int = 1,
        variant: str = _PUBLISHED,
        decoder_width: int | None = None,
        drop_path: float = 0.2,
    ) -> None:
        size = SIZES[variant]
        backbone = InternImageBackbone(size, in_channels, drop_path)
        super().__init__(
            backbone, UPerHead(backbone.widths, num_classes, decoder_width or size.decoder_width)
        )
        self.network_notes: tuple[str, ...] = (
            () if variant == _PUBLISHED else (f"variant {variant!r}, which is not published",)
        )


def _stem(in_channels: int, width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, width // 2, 3, stride=2, padding=1),
        ChannelNorm(width // 2),
        nn.GELU(),
        nn.Conv2d(width // 2, width, 3, stride=2, padding=1),
        ChannelNorm(width),
    )


def _downsampling(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False), ChannelNorm(after))


def _linear(before: int, after: int) -> nn.Linear:
    layer = nn.Linear(before, after)
    nn.init.trunc_normal_(layer.weight, std=0.02)
    nn.init.zeros_(layer.bias)
    return layer


def from_published(tensors: Tensors) -> Tensors:
    """Rename a whole InternImage's tensors, with UPerNet, to this module's names; other names stay."""
    return convert_parts(tensors, {"backbone": to_backbone, "decode_head": to_uper_head})


def build(request: BuildRequest) -> nn.Module:
    """Build an InternImage, its backbone filled from a published file unless the request asks for none."""
    network = InternImage(request.in_channels, request.num_classes, **request.options)
    if file := request.weights_file:
        # Classifiers were trained without these factors, which start from 1 here as in the authors' code.
        scales = [name for name in network.backbone.state_dict() if name.endswith("_scale")]
        network.weights_report = load_backbone(
            network.backbone, file, request.pretrained, to_backbone, CLASSIFIER, missing=scales
        )
    return network
