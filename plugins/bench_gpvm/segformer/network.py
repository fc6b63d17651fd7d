"""SegFormer: a Mix Transformer with an all-MLP decoder (Xie et al., NeurIPS 2021, arXiv 2105.15203).

Two decoders go by this name. The authors' projects each stage by a linear layer alone; MMSegmentation's
normalizes and rectifies the projections, and concatenates the stages in the opposite order.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from bench_core import BuildRequest
from bench_gpvm.encoder_decoder import EncoderDecoder, Tensors, convert_parts, load_backbone, resize
from bench_gpvm.mit import MixTransformer
from bench_gpvm.mit_weights import CLASSIFIER, to_backbone

_UNUSED_WIDTH = 128
_DECODER_WIDTHS = {"b0": 256, "b1": 256}
_USUAL_DECODER_WIDTH = 768


class ConvNormReLU(nn.Sequential):
    """1x1 convolution, batch normalization, ReLU. [B, in, h, w] to [B, out, h, w]."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        convolution = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
        super().__init__(convolution, nn.BatchNorm2d(out_channels), nn.ReLU(inplace=True))


class MmsegHead(nn.Module):
    """MMSegmentation's: four feature maps, finest first, to logits [B, K, h, w] of the finest's size."""

    def __init__(self, widths: tuple[int, ...], num_classes: int, width: int) -> None:
        super().__init__()
        self.projections = nn.ModuleList(self._projection(stage_width, width) for stage_width in widths)
        self.fuse = ConvNormReLU(len(widths) * width, width)
        self.dropout = nn.Dropout2d(0.1)
        self.classify = nn.Conv2d(width, num_classes, 1)
        self._init_classifier()

    def _projection(self, stage_width: int, width: int) -> nn.Module:
        return ConvNormReLU(stage_width, width)

    def _init_classifier(self) -> None:
        nn.init.normal_(self.classify.weight, std=0.01)
        nn.init.zeros_(self.classify.bias)  # type: ignore[arg-type]

    def _in_order(self, projected: list[Tensor]) -> list[Tensor]:
        return projected

    def forward(self, features: list[Tensor]) -> Tensor:
        """Return the logits before they are enlarged to the image."""
        finest = features[0].shape[-2:]
        projected = [
            resize(project(feature), finest)
            for project, feature in zip(self.projections, features, strict=True)
        ]
        logits: Tensor = self.classify(self.dropout(self.fuse(torch.cat(self._in_order(projected), dim=1))))
        return logits


class AuthorsHead(MmsegHead):
    """The authors' decoder: linear projections, the coarsest stage first.

    `conv_seg` is never used; the authors' has it too, and published counts and checkpoints include it.
    """

    def __init__(self, widths: tuple[int, ...], num_classes: int, width: int) -> None:
        super().__init__(widths, num_classes, width)
        self.conv_seg = nn.Conv2d(_UNUSED_WIDTH, num_classes, 1)

    def _projection(self, stage_width: int, width: int) -> nn.Module:
        return nn.Conv2d(stage_width, width, 1)

    def _init_classifier(self) -> None:
        """Keep torch's own initialization."""

    def _in_order(self, projected: list[Tensor]) -> list[Tensor]:
        return projected[::-1]


_HEADS: Mapping[str, tuple[type[MmsegHead], float, Literal["authors", "mmseg"]]] = {
    "mmseg": (MmsegHead, 1e-6, "mmseg"),
    "nvlabs": (AuthorsHead, 1e-5, "authors"),
}
"""Decoders, and of the backbone in the same code base the normalizations' epsilon and the initial weights."""


class SegFormer(EncoderDecoder):
    """Images [B, C, H, W] to logits [B, K, H, W], from 29 pixels on, odd sizes included."""

    def __init__(
        self,
        in_channels: int = 3,
        num_classes: int = 1,
        variant: str = "b3",
        head: str = "mmseg",
        decoder_width: int | None = None,
        drop_path: float = 0.1,
    ) -> None:
        head_class, eps, init = _HEADS[head]
        width = decoder_width or _DECODER_WIDTHS.get(variant, _USUAL_DECODER_WIDTH)
        backbone = MixTransformer(variant, in_channels, drop_path, eps, init)
        super().__init__(backbone, head_class(backbone.widths, num_classes, width))


_AUTHORS_HEAD = re.compile(r"linear_c(?P<stage>[1-4])\.proj\.(?P<leaf>.+)")
_MMSEG_HEAD = re.compile(r"convs\.(?P<stage>[0-3])\.(?P<rest>.+)")
_FUSE = re.compile(r"(linear_fuse|fusion_conv)\.")
_CONV_NORM = {"conv": "0", "bn": "1"}


def from_published(tensors: Tensors) -> Tensors:
    """Rename a whole SegFormer's tensors, the authors' or MMSegmentation's, to this module's names.

    Other names stay as they are.
    """
    # In MMSegmentation `conv_seg` is the classifier, in the authors' code an unused layer beside it.
    is_authors = any(name.startswith("decode_head.linear_") for name in tensors)
    classifier = "linear_pred." if is_authors else "conv_seg."

    def head(inside: Tensors) -> Tensors:
        return dict(_head_tensor(name, tensor, classifier) for name, tensor in inside.items())

    return convert_parts(tensors, {"backbone": to_backbone, "decode_head": head})


def _head_tensor(name: str, tensor: Tensor, classifier: str) -> tuple[str, Tensor]:
    if match := _AUTHORS_HEAD.fullmatch(name):
        as_convolution = tensor[..., None, None] if match["leaf"] == "weight" else tensor
        return f"projections.{int(match['stage']) - 1}.{match['leaf']}", as_convolution
    if match := _MMSEG_HEAD.fullmatch(name):
        return f"projections.{match['stage']}.{_conv_norm(match['rest'])}", tensor
    if match := _FUSE.match(name):
        return f"fuse.{_conv_norm(name[match.end() :])}", tensor
    if name.startswith(classifier):
        return f"classify.{name.removeprefix(classifier)}", tensor
    return name, tensor


def _conv_norm(name: str) -> str:
    layer, _, leaf = name.partition(".")
    return f"{_CONV_NORM.get(layer, layer)}.{leaf}"


def build(request: BuildRequest) -> nn.Module:
    """Build a SegFormer, its backbone filled from a published file unless the request asks for none."""
    network = SegFormer(request.in_channels, request.num_classes, **request.options)
    if file := request.weights_file:
        network.weights_report = load_backbone(
            network.backbone, file, request.pretrained, to_backbone, CLASSIFIER
        )
    return network
