"""Networks of well-kept libraries that are the same as one here, or as a part of one."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from bench_core.network import build_network
from bench_core.options import complete_options
from bench_core.plugins.wiring import load_registry

CHANNELS, CLASSES = 3, 1


@dataclass(frozen=True, kw_only=True)
class Rival:
    """A library's network beside one of ours under these options, or beside one part of ours."""

    name: str
    package: str
    build: Callable[[int], nn.Module]
    """Gets the side of the images."""
    options: Mapping[str, Any] = field(default_factory=dict)
    part: str = ""

    @property
    def is_there(self) -> bool:
        return importlib.util.find_spec(self.package) is not None


def build(name: str, size: int, options: Mapping[str, Any] | None = None, part: str = "") -> nn.Module:
    """Return a network that the registry knows, or a part of it, from scratch."""
    declared = load_registry().model(name)
    network = build_network(
        declared,
        in_channels=CHANNELS,
        num_classes=CLASSES,
        image_size=size,
        options=complete_options(declared.options, options or {}),
    )
    return network.get_submodule(part)


def _zoo(config: str) -> Callable[[int], nn.Module]:
    return lambda size: build(f"mmseg:{config}", size)


def _transformers_segformer(_: int) -> Any:
    from transformers import SegformerForSemanticSegmentation

    return SegformerForSemanticSegmentation(_mit_b3())


def _transformers_mit(_: int) -> Any:
    from transformers import SegformerModel

    return SegformerModel(_mit_b3())


def _mit_b3() -> Any:
    from transformers import SegformerConfig

    return SegformerConfig(
        num_channels=CHANNELS,
        depths=[3, 4, 18, 3],
        hidden_sizes=[64, 128, 320, 512],
        decoder_hidden_size=768,
        num_labels=CLASSES,
        output_hidden_states=True,
    )


def _smp_segformer(_: int) -> Any:
    import segmentation_models_pytorch as smp

    return smp.Segformer(
        "mit_b3",
        encoder_weights=None,
        decoder_segmentation_channels=768,
        in_channels=CHANNELS,
        classes=CLASSES,
    )


def _monai_unet(_: int) -> Any:
    from monai.networks.nets import BasicUNet

    return BasicUNet(
        spatial_dims=2,
        in_channels=CHANNELS,
        out_channels=CLASSES,
        features=(64, 128, 256, 512, 1024, 64),
        act="relu",
        norm="batch",
        bias=False,
    )


def _timm_convnext(_: int) -> Any:
    import timm

    return timm.create_model("convnext_small", features_only=True)


SEGFORMER_ZOO = "segformer_mit-b3_8xb2-160k_ade20k-512x512"
SEGNEXT_ZOO = "segnext_mscan-l_1xb16-adamw-160k_ade20k-512x512"
MIT = Rival(name="transformers", package="transformers", build=_transformers_mit, part="backbone")
RIVALS: dict[str, tuple[Rival, ...]] = {
    "segformer": (
        # The zoo's decoder is narrower.
        Rival(name="mmseg", package="mmseg", build=_zoo(SEGFORMER_ZOO), options={"decoder_width": 256}),
        Rival(name="smp", package="segmentation_models_pytorch", build=_smp_segformer),
        # Its logits stay at a quarter of the image's size.
        Rival(name="transformers", package="transformers", build=_transformers_segformer),
    ),
    # The zoo's rank is 16.
    "segnext": (Rival(name="mmseg", package="mmseg", build=_zoo(SEGNEXT_ZOO), options={"md_r": 16}),),
    "vw-mit": (MIT,),
    "vw-conv": (Rival(name="timm", package="timm", build=_timm_convnext, part="backbone"),),
    # Its last upsampling keeps 128 channels.
    "u-net": (Rival(name="monai", package="monai", build=_monai_unet),),
}
"""By our names; architectures that are missing here are in no library that is kept up."""
