"""Which images timm's backbones take inside of segmentation_models_pytorch, by timm's own files.

Tried for two or three backbones of each of timm's modules, on a grid of sizes (timm 1.0.30, smp 0.5).
"""

from __future__ import annotations

from typing import Any

from bench_sources.timm_metadata import backbones, pretrained

FLAT = frozenset(
    (
        *(
            "beit",
            "cait",
            "convit",
            "convmixer",
            "crossvit",
            "csatv2",
            "deepseek_vit",
            "deit",
            "efficientvim",
        ),
        *("efficientvit_msra", "eva", "gemma4_vit", "levit", "mlp_mixer", "naflexvit", "nest", "pit"),
        *("qwen3_vit", "sequencer", "shvit", "tnt", "visformer", "vision_transformer"),
        *("vision_transformer_hybrid", "vision_transformer_relpos", "vision_transformer_sam", "vitamin"),
        *("volo", "xcit"),
    )
)
"""Modules whose backbones do not halve the resolution stage by stage, which smp's decoders rely on."""
VISION_TRANSFORMERS = frozenset(
    (
        *(
            "beit",
            "cait",
            "convit",
            "deepseek_vit",
            "deit",
            "eva",
            "gemma4_vit",
            "naflexvit",
            "qwen3_vit",
            "tnt",
        ),
        *("vision_transformer", "vision_transformer_hybrid", "vision_transformer_relpos"),
        *("vision_transformer_sam", "vitamin", "volo", "xcit"),
    )
)
"""Modules whose backbones are transformers of one scale."""
_STRIDE = 32
_LEAST_OF_FIXED = 64


def is_flat(backbone: str) -> bool:
    """Return whether a backbone has no stages at halved resolutions; False where timm does not know it."""
    file = backbones().get(backbone.partition(".")[0])
    return file is not None and file.stem in FLAT


def is_vision_transformer(backbone: str) -> bool:
    """Return whether a backbone is a transformer of one scale; False where timm does not know it."""
    file = backbones().get(backbone.partition(".")[0])
    return file is not None and file.stem in VISION_TRANSFORMERS


def is_of_fixed_size(backbone: str) -> bool:
    """Return whether a backbone takes one size of images only, that for which it is built."""
    found = pretrained(backbone)
    return found is not None and found.is_fixed


def limits(backbone: str) -> tuple[int, int]:
    """Return of which number image sizes must be multiples, and the smallest size, both in pixels."""
    if "halo" in backbone:
        # Its windows of 8 cells, 7 in one network, must fill the map at stride 32.
        side = 7 * _STRIDE if "regnetz" in backbone else 8 * _STRIDE
        return side, side
    if backbone.startswith("efficientformer_l"):
        # Its biases are for 7x7 cells, whatever it is built for.
        return 7 * _STRIDE, 7 * _STRIDE
    if backbone.startswith("inception"):
        return 1, 96
    return (_STRIDE, _LEAST_OF_FIXED) if is_of_fixed_size(backbone) else (1, 1)


def for_any_size(size: int) -> tuple[dict[str, Any], ...]:
    """Return how `create_model` is told to take images of this size, in the order in which to try it.

    By positions and windows for images of any size, where a backbone has a word for that, else by the size.
    """
    return ({"dynamic_img_size": True}, {"strict_img_size": False}, {"img_size": size}, {})
