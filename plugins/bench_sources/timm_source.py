"""`timm:<backbone>/<head>`: any backbone of timm that yields features, under a UPerNet or FPN head."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import Any

from bench_core import Architecture, Departure, Layers, ModelSource, Option, PublishedFile
from bench_core.errors import UnknownNameError
from bench_sources.names import nearest
from bench_sources.timm_limits import is_vision_transformer
from bench_sources.timm_metadata import backbones, published
from bench_sources.timm_published import drop_path

PREFIX = "timm"
EXAMPLE = "convnext_tiny"
HEADS = {"uper": ("UPerNet", "arXiv 1807.10221"), "fpn": ("FPN", "arXiv 1901.02446")}
"""Head to its title and paper; the first is the usual one."""
STRIDE = 32
_WELL_FORMED = re.compile(r"[a-z][a-z0-9_]*(\.[A-Za-z0-9_]+)?")
_PATCH = re.compile(r"patch(\d+)")


def resolve(name: str) -> Architecture:
    """Return the architecture of timm:<backbone>[/<head>]; raise UnknownNameError with the nearest name.

    Where timm is not installed any name is taken, and a run is refused by the packages that it requires.
    """
    backbone, head = parts_of(name)
    known = backbones()
    plain = backbone.partition(".")[0]
    well_formed = _WELL_FORMED.fullmatch(backbone) is not None
    if head not in HEADS or not well_formed or (known and plain not in known):
        is_known = well_formed and (plain in known or not known)
        near = backbone if is_known else nearest(plain.lower(), known, EXAMPLE)
        raise UnknownNameError(
            f"unknown model {name!r}",
            cause=f"{head!r} is none of the heads {', '.join(HEADS)}"
            if head not in HEADS
            else f"{backbone!r} is not a backbone of timm",
            fix=f"did you mean '{PREFIX}:{near}/{nearest(head, HEADS, next(iter(HEADS)))}'?",
        )
    title, paper = HEADS[head]
    multiple = _size_multiple(plain)
    return Architecture(
        name=name,
        title=f"{title} ({backbone})",
        family="generic",
        runner="torch",
        version=2,
        build="bench_sources.timm_build:build",
        paper=paper,
        pretrained=("imagenet", "none"),
        size_multiple=multiple,
        size_minimum=max(multiple, STRIDE),
        batch_minimum=2 if head == "uper" else 1,
        encoder=("backbone",),
        options={"drop_path": _drop_path(backbone, head)},
        departures=_departures(backbone, head),
        explained=Layers(
            encoder=("shallower.0", "shallower.1", "shallower.2", "deepest"),
            decoder="decode_head.smoothings.0",
        ),
        requires=("timm",),
        install="timm",
        weights=partial(_weights, backbone),
    )


def parts_of(name: str) -> tuple[str, str]:
    """Return the backbone and the head that a name means."""
    backbone, slash, head = name.removeprefix(f"{PREFIX}:").partition("/")
    return backbone, head if slash else next(iter(HEADS))


def _drop_path(backbone: str, head: str) -> Option:
    published = drop_path(backbone) if head == "uper" else None
    return Option(
        type=float,
        default=published,
        minimum=0,
        maximum=0.9,
        help="probability that the last block's branches are left out in training"
        + ("" if published is not None else "; timm's own for this backbone if not given"),
    )


def _departures(backbone: str, head: str) -> tuple[Departure, ...]:
    if head != "uper":
        return ()
    auxiliary = Departure(
        what="auxiliary head",
        published="a second head on the third stage takes part in training, with weight 0.4",
        here="none",
        because="the protocol has one loss",
    )
    pyramid = Departure(
        what="feature pyramid of a vision transformer",
        published="learned: transposed convolutions, or convolutions around a resizing",
        here="the maps at the quarters of its depth, resized bilinearly",
        because="the head is the same for all backbones",
    )
    return (auxiliary, pyramid) if is_vision_transformer(backbone) else (auxiliary,)


def _weights(backbone: str, source: str, options: Mapping[str, Any]) -> tuple[PublishedFile, ...]:
    return (published(backbone, [f"{backbone}.safetensors", f"{backbone}.pth"]),)


def _size_multiple(backbone: str) -> int:
    """Return the side of a vision transformer's patches, else the deepest stage's stride."""
    patch = _PATCH.search(backbone)
    side = int(patch[1]) if patch else STRIDE
    return side if side > 4 else STRIDE


SOURCE = ModelSource(
    prefix=PREFIX,
    runner="torch",
    help=f"timm: {PREFIX}:<backbone>/<head>, for example {PREFIX}:{EXAMPLE}/uper; "
    f"heads {', '.join(HEADS)} (uper where none is named); backbones by timm.list_models()",
    resolve=resolve,
    names=lambda: tuple(f"{PREFIX}:{backbone}" for backbone in backbones()),
)
