"""Where Swin-Unet's weights come from: an ImageNet Swin-Tiny, on both sides of the U."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bench_core import PublishedFile
from bench_core.weights.files import unpublished
from bench_sma.swin_weights import SWIN_TINY

if TYPE_CHECKING:
    from torch import Tensor

VARIANTS: dict[str, tuple[int, tuple[int, ...]]] = {"t": (96, (3, 6, 12, 24)), "nano": (24, (1, 2, 4, 8))}
"""Width of the first stage, and heads of each; `t` is the published one, `nano` for tests."""
FROM_SCRATCH = (
    "expand",
    *(f"decoder.{stage}.{part}" for stage in range(3) for part in ("fuse", "expand")),
    "decoder_norm",
    "enlarge",
    "head",
)
"""What an image classifier has no weights for."""
NOT_USED = tuple(f"encoder.2.blocks.{block}" for block in range(2, 6))
"""What a classifier has beyond, besides its head: four of the six blocks of its third stage."""

_STAGE = re.compile(r"^layers\.([012])\.blocks\.([01])\.")


def weights(source: str, options: Mapping[str, Any]) -> tuple[PublishedFile, ...]:
    """Return Swin-Tiny's file; raise WeightsError for a variant that it does not fit."""
    if options["variant"] != "t":
        raise unpublished("swin-unet", "variant", options["variant"], ["t"])
    return (SWIN_TINY,)


def mirrored(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a classifier's tensors without its head, those of blocks a second time for the decoder."""
    taken = {name: tensor for name, tensor in tensors.items() if not name.startswith("head.")}
    copies = {}
    for name, tensor in taken.items():
        if found := _STAGE.match(name):
            copies[f"layers_up.{3 - int(found[1])}.blocks.{found[2]}.{name[found.end() :]}"] = tensor
    return taken | copies
