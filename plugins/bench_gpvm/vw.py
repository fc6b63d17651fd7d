"""VWFormer on two backbones: VW-MiT and VW-Conv (Yan et al., ICLR 2024, arXiv:2404.16573)."""

from __future__ import annotations

from torch import nn

from bench_core import BuildRequest
from bench_core.weights_files import no_weights
from bench_gpvm import convnext_weights, mit_weights
from bench_gpvm.convnext import ConvNeXt
from bench_gpvm.mit import MixTransformer
from bench_gpvm.network import EncoderDecoder, Tensors, convert_parts, load_backbone
from bench_gpvm.vw_head import VWHead, to_vw_head


class VWMiT(EncoderDecoder):
    """Images [B, C, H, W] to logits [B, K, H, W], through a Mix Transformer. Sides: multiples of 64 from 128."""

    def __init__(
        self,
        in_channels: int = 3,
        num_classes: int = 1,
        variant: str = "b3",
        drop_path: float = 0.1,
        decoder_width: int = 512,
        nheads: int = 1,
        short_cut: bool = True,
    ) -> None:
        backbone = MixTransformer(variant, in_channels, drop_path)
        super().__init__(backbone, VWHead(backbone.widths, num_classes, decoder_width, nheads, short_cut))


class VWConv(EncoderDecoder):
    """Images [B, C, H, W] to logits [B, K, H, W], through a ConvNeXt. Sides: multiples of 64 from 128."""

    def __init__(
        self,
        in_channels: int = 3,
        num_classes: int = 1,
        variant: str = "s",
        drop_path: float = 0.4,
        decoder_width: int = 512,
        nheads: int = 1,
        short_cut: bool = True,
    ) -> None:
        backbone = ConvNeXt(variant, in_channels, drop_path)
        super().__init__(backbone, VWHead(backbone.widths, num_classes, decoder_width, nheads, short_cut))


def mit_from_published(tensors: Tensors) -> Tensors:
    """Rename a whole VW-MiT's tensors, as the authors' code names them, to this module's names."""
    return convert_parts(tensors, {"backbone": mit_weights.to_backbone, "decode_head": to_vw_head})


def conv_from_published(tensors: Tensors) -> Tensors:
    """Rename a whole VW-Conv's tensors, as the authors' code names them, to this module's names."""
    return convert_parts(tensors, {"backbone": convnext_weights.to_backbone, "decode_head": to_vw_head})


def build_mit(request: BuildRequest) -> nn.Module:
    """Build VW-MiT, its backbone filled from a published file unless the request asks for none."""
    network = VWMiT(request.in_channels, request.num_classes, **request.options)
    file = mit_weights.weights_file(request.pretrained, request.weights_file, request.options)
    if file is None:
        no_weights("vw-mit from scratch", request)
    else:
        network.weights_report = load_backbone(
            network.backbone, file, request.pretrained, mit_weights.to_backbone, mit_weights.CLASSIFIER
        )
    return network


def build_conv(request: BuildRequest) -> nn.Module:
    """Build VW-Conv, its backbone filled from a published file unless the request asks for none."""
    network = VWConv(request.in_channels, request.num_classes, **request.options)
    file = convnext_weights.weights_file(request.pretrained, request.weights_file, request.options)
    if file is None:
        no_weights("vw-conv from scratch", request)
    else:
        network.weights_report = load_backbone(
            network.backbone,
            file,
            request.pretrained,
            convnext_weights.to_backbone,
            convnext_weights.CLASSIFIER,
            missing=convnext_weights.NOT_PUBLISHED,
        )
    return network
