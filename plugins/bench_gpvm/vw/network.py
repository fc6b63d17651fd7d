"""VWFormer on two backbones: VW-MiT and VW-Conv (Yan et al., ICLR 2024, arXiv:2404.16573)."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from bench_core import BuildRequest
from bench_core.errors import TrainingError
from bench_gpvm import mit_weights
from bench_gpvm.encoder_decoder import EncoderDecoder, Tensors, convert_parts, load_backbone
from bench_gpvm.mit import MixTransformer
from bench_gpvm.vw import convnext_weights
from bench_gpvm.vw.convnext import ConvNeXt
from bench_gpvm.vw.head import WINDOWS, VWHead, to_vw_head

_WIDTH = 512
_SMALLEST_WIDTHS = {"b0": 64, "atto": 64}
_SIDE_STEP = 8 * WINDOWS
_SMALLEST_SIDE = 2 * _SIDE_STEP


class VWFormer(EncoderDecoder):
    """Images [B, C, H, W] to logits [B, K, H, W]; H and W are multiples of 64, from 128 on.

    Training needs two or more images a batch. Raises TrainingError for other sizes, and for a
    number of heads that does not divide the decoder's width.
    """

    def __init__(
        self,
        backbone: MixTransformer | ConvNeXt,
        num_classes: int = 1,
        decoder_width: int = _WIDTH,
        nheads: int = 1,
        short_cut: bool = True,
    ) -> None:
        _check_heads(decoder_width, nheads)
        super().__init__(
            backbone, VWHead(backbone.widths, num_classes, decoder_width, heads=nheads, shortcut=short_cut)
        )

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits at the images' resolution."""
        if any(side % _SIDE_STEP or side < _SMALLEST_SIDE for side in images.shape[-2:]):
            raise TrainingError(
                f"VWFormer cannot take images of {images.shape[-2]}x{images.shape[-1]} pixels",
                cause=f"{WINDOWS}x{WINDOWS} windows of two pixels or more must fill its map at stride 8",
                fix=f"resize them so that height and width are multiples of {_SIDE_STEP}, "
                f"at least {_SMALLEST_SIDE}",
            )
        return super().forward(images)


def _check_heads(width: int, heads: int) -> None:
    if width % heads:
        raise TrainingError(
            f"VWFormer's decoder width {width} cannot be split among {heads} attention heads",
            cause="every head takes an equal share of the channels",
            fix="set `nheads` to a number that divides `decoder_width`",
        )


def vw_mit_from_published(tensors: Tensors) -> Tensors:
    """Rename a whole VW-MiT's tensors, as the authors' code names them, to this module's names."""
    return convert_parts(tensors, {"backbone": mit_weights.to_backbone, "decode_head": to_vw_head})


def vw_conv_from_published(tensors: Tensors) -> Tensors:
    """Rename a whole VW-Conv's tensors, as the authors' code names them, to this module's names."""
    return convert_parts(tensors, {"backbone": convnext_weights.to_backbone, "decode_head": to_vw_head})


def build_vw_mit(request: BuildRequest) -> nn.Module:
    """Build VW-MiT, its backbone filled from a published file unless the request asks for none."""
    variant, drop_path, head = _split(request)
    backbone = MixTransformer(variant, request.in_channels, drop_path)
    network = VWFormer(backbone, request.num_classes, **head)
    if file := request.weights_file:
        network.weights_report = load_backbone(
            backbone, file, request.pretrained, mit_weights.to_backbone, mit_weights.CLASSIFIER
        )
    return network


def build_vw_conv(request: BuildRequest) -> nn.Module:
    """Build VW-Conv, its backbone filled from a published file unless the request asks for none."""
    variant, drop_path, head = _split(request)
    backbone = ConvNeXt(variant, request.in_channels, drop_path)
    network = VWFormer(backbone, request.num_classes, **head)
    if file := request.weights_file:
        network.weights_report = load_backbone(
            backbone,
            file,
            request.pretrained,
            convnext_weights.to_backbone,
            convnext_weights.CLASSIFIER,
            missing=convnext_weights.NOT_PUBLISHED,
        )
    return network


def _split(request: BuildRequest) -> tuple[str, float, dict[str, Any]]:
    """Return the backbone's variant and stochastic depth, and the head's arguments."""
    head = dict(request.options)
    variant, drop_path = head.pop("variant"), head.pop("drop_path")
    if head["decoder_width"] is None:
        head["decoder_width"] = _SMALLEST_WIDTHS.get(variant, _WIDTH)
    return variant, drop_path, head
