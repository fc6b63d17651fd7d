"""HiFormer: hierarchical multi-scale representations using transformers (Heidari et al., arXiv 2207.08518).

A pyramid of convolutions and Swin Transformer blocks, a fusion of its finest and its coarsest level, and a
decoder of convolutions that adds the two (the paper's figure 2).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate, pairwise

from torch import Tensor, nn

from bench_core import BuildRequest
from bench_core.weights.load import WeightsReport
from bench_sma.hiformer.fusion import DoubleLevelFusion
from bench_sma.hiformer.pyramid import ConvolutionalPyramid, Level
from bench_sma.hiformer.weights import PRETRAINED_SIZE, load_pyramid
from bench_sma.inner_size import at_inner_size, check_sides
from bench_sma.swin_blocks import PatchMerging, init_tokens, linear_rates, swin_blocks

_STRIDES = (4, 16)
_GROUPS = 32


@dataclass(frozen=True)
class Size:
    """How large a network is."""

    block: str
    """Kind of the ResNet's blocks, and how many of them its stages have."""
    resnet_depths: tuple[int, int, int]
    width: int
    """Channels of the finest level; the next two have 2 and 4 times as many."""
    swin_depths: tuple[int, int, int]
    swin_heads: tuple[int, int, int]
    fusion_depths: tuple[int, int]
    fusion_heads: tuple[int, int]
    fusion_expansion: int
    decoder: int
    """Channels of the decoder, and before the head."""
    last: int = 16


_SWIN = (96, (2, 2, 6), (3, 6, 12))
SIZES = {
    "b": Size("bottleneck", (3, 4, 6), *_SWIN, (1, 2), (6, 12), 2, 128),
    "s": Size("basic", (3, 4, 6), *_SWIN, (1, 1), (3, 3), 1, 128),
    "l": Size("basic", (3, 4, 6), *_SWIN, (1, 4), (6, 6), 4, 128),
    "tiny": Size("basic", (1, 1, 1), 24, (2, 2, 2), (1, 2, 4), (1, 1), (2, 4), 1, 32),
}
"""HiFormer-B, -S and -L (the last two on a ResNet-34); `tiny` is for tests and trials."""


class Upsampling(nn.Sequential):
    """3x3 convolutions, each normalized in groups, rectified and enlarged twice if `enlarge` is set.

    [B, in, h, w] to [B, out, h, w], or to [B, out, 2^n h, 2^n w] for n convolutions.
    """

    def __init__(self, in_channels: int, out_channels: int, convolutions: int, enlarge: bool) -> None:
        layers: list[nn.Module] = []
        for before, after in pairwise([in_channels, *[out_channels] * convolutions]):
            layers += [
                nn.Conv2d(before, after, 3, padding=1, bias=False),
                nn.GroupNorm(_GROUPS, after),
                nn.ReLU(inplace=True),
            ]
            layers += [_enlarge(2)] if enlarge else []
        super().__init__(*layers)


class HiFormer(nn.Module):
    """Images [B, C, H, W] to logits [B, K, H, W], H and W multiples of 16 from 32 on.

    `uses_blocks` lets the fusion's transformer blocks have a say (see `fusion`); `position_size` is the size
    of images in pixels for which positions are stored; `inner_size` is a size to compute at.
    """

    weights_report: WeightsReport
    network_notes: tuple[str, ...] = ()

    def __init__(
        self,
        in_channels: int = 3,
        num_classes: int = 1,
        variant: str = "b",
        window: int = 7,
        uses_blocks: bool = False,
        position_size: int = PRETRAINED_SIZE,
        inner_size: int | None = None,
        drop_path: float = 0.1,
    ) -> None:
        super().__init__()
        size = SIZES[variant]
        self.inner_size = inner_size
        widths = [size.width * 2**level for level in range(len(size.swin_depths))]
        rates = linear_rates(drop_path, sum(size.swin_depths))
        ends = [0, *accumulate(size.swin_depths)]
        self.resnet = ConvolutionalPyramid(in_channels, size.block, size.resnet_depths)
        self.levels = nn.ModuleList(
            Level(
                convolutional_width,
                widths[level],
                swin_blocks(widths[level], heads, window, rates[ends[level] : ends[level + 1]]),
                PatchMerging(widths[level - 1]) if level else None,
            )
            for level, (convolutional_width, heads) in enumerate(
                zip(self.resnet.widths, size.swin_heads, strict=True)
            )
        )
        ends_of_pyramid = (widths[0], widths[-1])
        self.fusion = DoubleLevelFusion(
            ends_of_pyramid,
            size.fusion_heads,
            size.fusion_depths,
            [position_size // stride for stride in _STRIDES],
            size.fusion_expansion,
            uses_blocks,
        )
        self.decode_fine = Upsampling(ends_of_pyramid[0], size.decoder, convolutions=1, enlarge=False)
        self.decode_coarse = Upsampling(ends_of_pyramid[1], size.decoder, convolutions=2, enlarge=True)
        self.reduce = nn.Conv2d(size.decoder, size.last, 1)
        self.finish = nn.Sequential(nn.ReLU(), _enlarge(_STRIDES[0]))
        self.head = nn.Conv2d(size.last, num_classes, 3, padding=1)
        self.apply(init_tokens)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits at the images' resolution; raise TrainingError for sizes that do not fit."""
        return at_inner_size(self._segment, images, self.inner_size)

    def _segment(self, images: Tensor) -> Tensor:
        check_sides("hiformer", images, _STRIDES[1])
        maps: list[Tensor] = []
        for level, convolved in zip(self.levels, self.resnet(images), strict=True):
            maps.append(level(convolved, maps[-1] if maps else None))
        fine, coarse = self.fusion(maps[0], maps[-1])
        decoded = self.decode_fine(fine) + self.decode_coarse(coarse)
        logits: Tensor = self.head(self.finish(self.reduce(decoded)))
        return logits


def _enlarge(factor: int) -> nn.Module:
    return nn.Upsample(scale_factor=factor, mode="bilinear", align_corners=False)


def build(request: BuildRequest) -> nn.Module:
    """Build a HiFormer, its pyramid filled from two published files unless the request asks for none."""
    options = request.options
    variant = options.get("variant", "b")
    own_positions = options.get("positions") == "own"
    network = HiFormer(
        request.in_channels,
        request.num_classes,
        variant,
        options.get("window", 7),
        uses_blocks=options.get("dlf") == "paper",
        position_size=(options.get("inner_size") or request.image_size) if own_positions else PRETRAINED_SIZE,
        inner_size=options.get("inner_size"),
        drop_path=options.get("drop_path", 0.1),
    )
    if variant == "tiny":
        network.network_notes = ("variant tiny: narrower than the published network",)
    if request.weights_files:
        network.weights_report = load_pyramid(
            network,
            request.weights_files,
            request.pretrained,
            keeps_swin=options.get("swin_weights") != "reference",
        )
    return network
