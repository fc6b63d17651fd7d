"""`monai:<network>`: the 2D segmentation networks of MONAI, from scratch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bench_core import Architecture, Layers, ModelSource
from bench_core.errors import UnknownNameError
from bench_sources.names import nearest

PREFIX = "monai"
_WIDTHS = (16, 32, 64, 128, 256)
_HALVINGS = (2, 2, 2, 2)
_NESTED = tuple(f"model{level * '.1.submodule'}" for level in range(5))
"""Networks that are nested step by step: what lies below so many halvings."""


@dataclass(frozen=True)
class Network:
    """A class of monai.networks.nets with what it must be told, and which images it takes."""

    class_name: str
    paper: str
    size_multiple: int = 1
    arguments: Mapping[str, Any] = field(default_factory=dict)
    takes_size: bool = False
    requires: tuple[str, ...] = ()
    explained: Layers = field(default_factory=Layers)
    dead: tuple[str, ...] = ()
    """Names' beginnings of parameters that the class creates and never uses."""


NETWORKS = {
    "unet": Network(
        "UNet",
        "doi 10.1007/978-3-030-12029-0_40",
        size_multiple=16,
        arguments={"channels": _WIDTHS, "strides": _HALVINGS, "num_res_units": 2},
        explained=Layers(
            encoder=(*(f"{part}.0" for part in _NESTED[:4]), _NESTED[4]), decoder="model.1.submodule.2"
        ),
    ),
    "basicunet": Network(
        "BasicUNet",
        "arXiv 1505.04597",
        explained=Layers(encoder=("conv_0", "down_1", "down_2", "down_3", "down_4"), decoder="upcat_2"),
    ),
    "attentionunet": Network(
        "AttentionUnet",
        "arXiv 1804.03999",
        size_multiple=16,
        arguments={"channels": _WIDTHS, "strides": _HALVINGS},
        explained=Layers(
            encoder=("model.0", *(f"{part}.0" for part in _NESTED[1:4]), _NESTED[4]),
            decoder="model.1.submodule.1",
        ),
    ),
    "dynunet": Network(
        "DynUNet",
        "arXiv 1809.10486",
        size_multiple=16,
        arguments={"kernel_size": (3,) * 5, "strides": (1, *_HALVINGS), "upsample_kernel_size": _HALVINGS},
        explained=Layers(
            encoder=("input_block", "downsamples.0", "downsamples.1", "downsamples.2", "bottleneck"),
            decoder="upsamples.2",
        ),
    ),
    "segresnet": Network(
        "SegResNet",
        "arXiv 1810.11654",
        size_multiple=8,
        explained=Layers(encoder=tuple(f"down_layers.{index}" for index in range(4)), decoder="up_layers.1"),
    ),
    "highresnet": Network("HighResNet", "arXiv 1707.01992", explained=Layers(encoder=("blocks.8",))),
    "unetr": Network(
        "UNETR",
        "arXiv 2103.10504",
        size_multiple=16,
        takes_size=True,
        requires=("einops",),
        dead=tuple(f"vit.blocks.{block}.norm_cross_attn" for block in range(12)),
        explained=Layers(
            encoder=("vit.blocks.2", "vit.blocks.5", "vit.blocks.8", "vit.norm"),
            decoder="decoder3",
            forms=dict.fromkeys(("vit.blocks.2", "vit.blocks.5", "vit.blocks.8", "vit.norm"), "tokens"),
        ),
    ),
    "swinunetr": Network(
        "SwinUNETR",
        "arXiv 2201.01266",
        size_multiple=32,
        requires=("einops",),
        explained=Layers(
            encoder=("encoder1", "encoder2", "encoder3", "encoder4", "encoder10"), decoder="decoder2"
        ),
    ),
}
"""Widths and depths are the class's own defaults, else those of MONAI's tutorials."""
USUAL = "unet"


def resolve(name: str) -> Architecture:
    """Return the architecture of monai:<network>; raise UnknownNameError with the nearest name."""
    text = name.removeprefix(f"{PREFIX}:")
    if text not in NETWORKS:
        raise UnknownNameError(
            f"unknown model {name!r}",
            cause=f"{text!r} is none of the networks {', '.join(NETWORKS)}",
            fix=f"did you mean '{PREFIX}:{nearest(text.lower(), NETWORKS, USUAL)}'?",
        )
    network = NETWORKS[text]
    return Architecture(
        name=name,
        title=f"{network.class_name} (monai)",
        family="generic",
        runner="torch",
        version=1,
        build="bench_sources.monai_build:build",
        paper=network.paper,
        size_multiple=network.size_multiple,
        size_minimum=32,
        dead_parameters=network.dead,
        explained=network.explained,
        requires=("monai", *network.requires),
        install="monai",
    )


SOURCE = ModelSource(
    prefix=PREFIX,
    runner="torch",
    help=f"MONAI's 2D networks: {PREFIX}:<network>, for example {PREFIX}:{USUAL}; {', '.join(NETWORKS)}",
    resolve=resolve,
    names=lambda: tuple(f"{PREFIX}:{network}" for network in NETWORKS),
)
