"""What is known of transformers' semantic-segmentation networks without importing it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_STAGES = ["stage1", "stage2", "stage3", "stage4"]
SHALLOWER = ("scale_1", "scale_2", "scale_3")
"""What the inputs of a head before its last are called in the network (bench_core.taps)."""


@dataclass(frozen=True)
class Kind:
    """A `model_type` of transformers whose class gives one logit per class and pixel."""

    class_name: str
    paper: str
    size_multiple: int = 1
    size_minimum: int = 32
    head: str = "decode_head"
    """The module whose input the encoder's features are, and whose output the logits."""
    encoder_layers: tuple[str, ...] = (*SHALLOWER, "deepest")
    """Where the encoder's maps are: the last inputs of the head if not said otherwise."""
    decoder_layer: str = "network.decode_head.fpn_convs.0"
    """The last maps before the decoder's last nonlinear step."""
    classifier: str = "decode_head.classifier"
    """Where the layer that depends on the classes is; its weights are never taken from a checkpoint."""
    has_auxiliary_head: bool = False
    normalizes_a_mean: bool = False
    """Normalizes the image's mean, one pixel, over the batch."""
    takes_size: bool = False
    """Whether the network takes images of its config's `image_size` only."""
    dead: tuple[str, ...] = ()
    """Names' beginnings of parameters that the class creates and never uses."""
    layers: str = ""
    """The layers' name where the class never uses those behind the last that its head reads."""


KINDS = {
    "segformer": Kind(
        "SegformerForSemanticSegmentation",
        "arXiv 2105.15203",
        decoder_layer="network.decode_head.linear_fuse",
    ),
    "upernet": Kind(
        "UperNetForSemanticSegmentation",
        "arXiv 1807.10221",
        size_multiple=32,
        has_auxiliary_head=True,
        normalizes_a_mean=True,
    ),
    "dpt": Kind(
        "DPTForSemanticSegmentation",
        "arXiv 2103.13413",
        size_multiple=16,
        head="head",
        encoder_layers=tuple(f"network.neck.convs.{index}" for index in range(4)),
        decoder_layer="network.neck.fusion_stage.layers.2",
        classifier="head.head.4",
        has_auxiliary_head=True,
        dead=("dpt.layernorm", "neck.fusion_stage.layers.0.residual_layer1"),
    ),
    "beit": Kind(
        "BeitForSemanticSegmentation",
        "arXiv 2106.08254",
        size_multiple=16,
        normalizes_a_mean=True,
        has_auxiliary_head=True,
        layers="beit.layers",
    ),
    "data2vec-vision": Kind(
        "Data2VecVisionForSemanticSegmentation",
        "arXiv 2202.03555",
        size_multiple=16,
        normalizes_a_mean=True,
        has_auxiliary_head=True,
        takes_size=True,
        layers="data2vec_vision.encoder.layer",
    ),
    "mobilevit": Kind(
        "MobileViTForSemanticSegmentation",
        "arXiv 2110.02178",
        normalizes_a_mean=True,
        head="segmentation_head",
        decoder_layer="network.segmentation_head.aspp.convs.0",
        classifier="segmentation_head.classifier",
    ),
    "mobilevitv2": Kind(
        "MobileViTV2ForSemanticSegmentation",
        "arXiv 2206.02680",
        # At stride 16 less is two pixels a side, and an untrained network's maps are constant.
        size_minimum=64,
        normalizes_a_mean=True,
        head="segmentation_head",
        decoder_layer="network.segmentation_head.aspp.convs.0",
        classifier="segmentation_head.classifier",
    ),
    "mobilenet_v2": Kind(
        "MobileNetV2ForSemanticSegmentation",
        "arXiv 1801.04381",
        normalizes_a_mean=True,
        head="segmentation_head",
        encoder_layers=(*(f"network.mobilenet_v2.layer.{index}" for index in (1, 4, 11)), "deepest"),
        decoder_layer="network.segmentation_head.conv_aspp",
        classifier="segmentation_head.classifier",
        dead=("mobilenet_v2.conv_1x1",),
    ),
}
"""Every `model_type` that a config may have."""

BACKBONES_DEAD = {"swin": ("backbone.swin.layernorm",)}
"""The same of a backbone's type."""

MASK_KINDS = ("detr", "eomt", "eomt_dinov3", "mask2former", "maskformer", "oneformer", "videomt")
"""Types that predict masks and match them to the labels in a loss of their own."""


@dataclass(frozen=True)
class Network:
    """A type with a config of a published size."""

    title: str
    config: Mapping[str, Any]
    paper: str
    parameters: int
    """With three logit channels; tells whether a release of transformers changed a default."""


NETWORKS = {
    "segformer": Network("SegFormer-B0", {"model_type": "segformer"}, "arXiv 2105.15203", 3_714_915),
    "upernet-convnext": Network(
        "UPerNet (ConvNeXt-T)",
        {
            "model_type": "upernet",
            "backbone_config": {
                "model_type": "convnext",
                "depths": [3, 3, 9, 3],
                "hidden_sizes": [96, 192, 384, 768],
                "drop_path_rate": 0.4,
                "out_features": _STAGES,
            },
        },
        "arXiv 2201.03545",
        59_243_427,
    ),
    "upernet-swin": Network(
        "UPerNet (Swin-T)",
        {
            "model_type": "upernet",
            "backbone_config": {
                "model_type": "swin",
                "embed_dim": 96,
                "depths": [2, 2, 6, 2],
                "num_heads": [3, 6, 12, 24],
                "window_size": 7,
                "drop_path_rate": 0.3,
                "out_features": _STAGES,
            },
        },
        "arXiv 2103.14030",
        58_944_189,
    ),
    "dpt": Network(
        "DPT-Base",
        {"model_type": "dpt", "use_batch_norm_in_fusion_residual": True},
        "arXiv 2103.13413",
        111_141_315,
    ),
    "mobilevitv2": Network(
        "DeepLabV3 (MobileViTV2-1.0)",
        {"model_type": "mobilevitv2", "output_stride": 16},
        "arXiv 2206.02680",
        13_309_420,
    ),
    "mobilenet_v2": Network(
        "DeepLabV3 (MobileNetV2-1.0)",
        {"model_type": "mobilenet_v2", "output_stride": 16},
        "arXiv 1801.04381",
        2_521_091,
    ),
}
"""Networks that need no config file; what a config does not say is the type's own default."""
USUAL = "segformer"


def dead_parameters(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Return names' beginnings of the parameters that a network of this config never uses."""
    kind = KINDS[config["model_type"]]
    backbone = config.get("backbone_config") or {}
    dead = kind.dead + BACKBONES_DEAD.get(backbone.get("model_type", ""), ())
    if kind.layers:
        # transformers counts the patches as the first of these indices, from 1, and the layers from 0.
        read = max(config.get("out_indices") or config.get("segmentation_indices") or (3, 5, 7, 11)) - 1
        dead += tuple(f"{kind.layers}.{index}." for index in range(read, config.get("num_hidden_layers", 12)))
    return dead
