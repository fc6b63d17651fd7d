"""`monai:<network>`: the 2D segmentation networks of MONAI, from scratch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bench_core import Architecture, ModelSource
from bench_core.errors import UnknownNameError
from bench_sources.names import nearest

PREFIX = "monai"
_WIDTHS = (16, 32, 64, 128, 256)
_HALVINGS = (2, 2, 2, 2)
_BOTTOM = f"model.1{3 * '.submodule.1'}.submodule"
"""Below four halvings, in networks that are nested step by step."""


@dataclass(frozen=True)
class Network:
    """A class of monai.networks.nets with what it must be told, and which images it takes."""

    class_name: str
    paper: str
    size_multiple: int = 1
    arguments: Mapping[str, Any] = field(default_factory=dict)
    takes_size: bool = False
    requires: tuple[str, ...] = ()
    layers: tuple[str, ...] = ()
    """Its deepest maps, and the last ones before its last nonlinear step."""
    dead: tuple[str, ...] = ()
    """Names' beginnings of parameters that the class creates and never uses."""


NETWORKS = {
    "unet": Network(
        "UNet",
        "doi 10.1007/978-3-030-12029-0_40",
        size_multiple=16,
        arguments={"channels": _WIDTHS, "strides": _HALVINGS, "num_res_units": 2},
        layers=("model.1.submodule.1.submodule.1.submodule.1.submodule", "model.1.submodule.2"),
    ),
    "basicunet": Network("BasicUNet", "arXiv 1505.04597", layers=("down_4", "upcat_2")),
    "attentionunet": Network(
        "AttentionUnet",
        "arXiv 1804.03999",
        size_multiple=16,
        arguments={"channels": _WIDTHS, "strides": _HALVINGS},
        layers=("model.1.submodule.1.submodule.1.submodule.1.submodule", "model.1.submodule.1"),
    ),
    "dynunet": Network(
        "DynUNet",
        "arXiv 1809.10486",
        size_multiple=16,
        arguments={"kernel_size": (3,) * 5, "strides": (1, *_HALVINGS), "upsample_kernel_size": _HALVINGS},
        layers=("bottleneck", "upsamples.2"),
    ),
    "segresnet": Network(
        "SegResNet", "arXiv 1810.11654", size_multiple=8, layers=("down_layers.3", "up_layers.1")
    ),
    "highresnet": Network("HighResNet", "arXiv 1707.01992", layers=("blocks.8",)),
    "unetr": Network(
        "UNETR",
        "arXiv 2103.10504",
        size_multiple=16,
        takes_size=True,
        requires=("einops",),
        dead=tuple(f"vit.blocks.{block}.norm_cross_attn" for block in range(12)),
        layers=("vit.norm", "decoder3"),
    ),
    "swinunetr": Network(
        "SwinUNETR",
        "arXiv 2201.01266",
        size_multiple=32,
        requires=("einops",),
        layers=("encoder10", "decoder2"),
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
        cam_layers=network.layers,
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
