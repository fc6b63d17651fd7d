"""Published weights of InternImage's backbone: their file, and what their tensors are called here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench_core.errors import WeightsError
from bench_core.weights_files import PublishedFile, find_weights

if TYPE_CHECKING:
    from torch import Tensor

FILE = "internimage_t_1k_224.pth"
_URL = f"https://huggingface.co/OpenGVLab/InternImage/resolve/main/{FILE}"
CLASSIFIER = ("conv_head", "head")
"""What the file holds beyond the backbone."""

_LEVEL = (
    (r"^norm\.0\.", "norm."),
    (r"\.norm1\.0\.", ".operator_norm."),
    (r"\.dcn\.dw_conv\.0\.", ".operator.depthwise."),
    (r"\.dcn\.dw_conv\.1\.1\.", ".operator.norm."),
    (r"\.dcn\.offset\.", ".operator.offset."),
    (r"\.dcn\.mask\.", ".operator.weight."),
    (r"\.dcn\.input_proj\.", ".operator.value."),
    (r"\.dcn\.output_proj\.", ".operator.output."),
    (r"\.gamma1$", ".operator_scale"),
    (r"\.norm2\.0\.", ".feed_forward_norm."),
    (r"\.mlp\.fc1\.", ".feed_forward.0."),
    (r"\.mlp\.fc2\.", ".feed_forward.2."),
    (r"\.gamma2$", ".feed_forward_scale"),
)
_STEM = (
    (r"^patch_embed\.conv1\.", "stages.0.downsample.0."),
    (r"^patch_embed\.norm1\.1\.", "stages.0.downsample.1."),
    (r"^patch_embed\.conv2\.", "stages.0.downsample.3."),
    (r"^patch_embed\.norm2\.1\.", "stages.0.downsample.4."),
)
_DOWNSAMPLE = ((r"^downsample\.conv\.", "0."), (r"^downsample\.norm\.1\.", "1."))


def weights_file(source: str, given: Path | None, options: Mapping[str, Any]) -> Path | None:
    """Return the backbone's file, None from scratch; raise WeightsError if there is none or it is missing."""
    if source == "none":
        return None
    if options["variant"] != "t":
        raise WeightsError(
            f"there are no pretrained weights for internimage's variant {options['variant']!r}",
            cause="only the published size, variant 't', was trained on ImageNet",
            fix="set `pretrained: none` with its reason, or take variant 't'",
        )
    return find_weights(PublishedFile(name=FILE, url=_URL), given)


def to_backbone(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the authors' tensors of a backbone to this module's names; other names stay."""
    return {_renamed(name): tensor for name, tensor in tensors.items()}


def _renamed(name: str) -> str:
    if found := re.match(r"levels\.([0-3])\.(.+)", name):
        stage, rest = int(found[1]), found[2]
        if rest.startswith("downsample."):
            # Each brings the maps of one stage to the next, which it belongs to here.
            return f"stages.{stage + 1}.downsample.{_replaced(rest, _DOWNSAMPLE)}"
        return f"stages.{stage}.{_replaced(rest, _LEVEL)}"
    return _replaced(name, _STEM)


def _replaced(name: str, table: tuple[tuple[str, str], ...]) -> str:
    for pattern, replacement in table:
        renamed, hits = re.subn(pattern, replacement, name)
        if hits:
            return renamed
    return name
