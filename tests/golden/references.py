"""Which registered architecture answers for which file of golden numbers, and how to reach what was stored.

One entry per reference implementation; a file without an entry is skipped, saying so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from tests.golden.layouts import mscan_over_tokens
from tests.helpers.golden import Golden

Outputs = tuple[Tensor, Sequence[Tensor]]
"""Logits at the resolution that the reference stored, and the backbone's stage outputs (none without one)."""


def whole(model: nn.Module, image: Tensor) -> Outputs:
    """Return the network's own output."""
    return model(image), ()


def backbone_and_head(model: nn.Module, image: Tensor) -> Outputs:
    """Return the decode head's logits before upsampling, and what the backbone gave it."""
    features = model.get_submodule("backbone")(image)
    return model.get_submodule("decode_head")(features), features


def window_of(golden: Golden) -> Mapping[str, Any]:
    """Return the option `window`: the reference takes one that divides the image's grids."""
    rows = {
        entry["shape"][0]
        for name, entry in golden.facts["tensors"].items()
        if name.endswith(".relative_position_bias_table")
    }
    return {"window": (math.isqrt(max(rows)) + 1) // 2}


@dataclass(frozen=True)
class Reference:
    """How a registered architecture takes the place of a reference implementation."""

    model: str
    """The registered name."""
    convert: str
    """module:attribute of the converter of published checkpoints."""
    options: Mapping[str, Any] = field(default_factory=dict)
    options_of: Callable[[Golden], Mapping[str, Any]] = lambda golden: {}
    """Further options, for what the reference chooses by image size."""
    run: Callable[[nn.Module, Tensor], Outputs] = whole
    layout: Callable[[nn.Module, Tensor], Outputs] | None = None
    """The same in the reference's memory layout, where its stored input gradient owes something to that."""
    drops: tuple[str, ...] = ()
    """Prefixes of converted names for which the architecture has no place."""


REFERENCES: Mapping[str, Reference] = {
    "hiformer": Reference(
        model="hiformer",
        options={"positions": "own"},
        options_of=window_of,
        convert="bench_sma.hiformer.weights:from_reference",
    ),
    "internimage": Reference(
        model="internimage",
        convert="bench_gpvm.internimage.network:from_published",
        run=backbone_and_head,
        drops=("auxiliary_head",),
    ),
    "missformer": Reference(model="missformer", convert="bench_sma.missformer.weights:from_reference"),
    "segformer": Reference(
        model="segformer",
        options={"head": "nvlabs"},
        convert="bench_gpvm.segformer.network:from_published",
        run=backbone_and_head,
    ),
    "segnext": Reference(
        model="segnext",
        convert="bench_gpvm.segnext.network:from_published",
        run=backbone_and_head,
        layout=mscan_over_tokens,
    ),
    "transunet": Reference(
        model="transunet",
        options={"positions": "own"},
        convert="bench_sma.transunet.weights:from_reference",
    ),
    "swin_umamba": Reference(model="swin-umamba", convert="bench_sma.swin_umamba.weights:from_reference"),
    "swin_unet": Reference(
        model="swin-unet", options_of=window_of, convert="bench_sma.swin_unet.network:from_published"
    ),
    "ukan": Reference(model="u-kan", convert="bench_sma.u_kan.network:from_reference"),
    "transnext": Reference(
        model="transnext",
        convert="bench_gpvm.transnext.network:from_published",
        run=backbone_and_head,
        drops=("auxiliary_head",),
    ),
    "vw_conv": Reference(
        model="vw-conv", convert="bench_gpvm.vw.network:vw_conv_from_published", run=backbone_and_head
    ),
    "vw_mit": Reference(
        model="vw-mit", convert="bench_gpvm.vw.network:vw_mit_from_published", run=backbone_and_head
    ),
    "unet": Reference(model="u-net", convert="bench_sma.u_net.network:from_reference"),
}
"""By the name that the reference's JSON gives as `model`."""
