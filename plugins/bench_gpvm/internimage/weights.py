"""Published weights of InternImage's backbone: their file, and what their tensors are called here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bench_core import PublishedFile
from bench_core.weights.files import unpublished

if TYPE_CHECKING:
    from torch import Tensor

INTERNIMAGE_T = PublishedFile(
    name="internimage_t_1k_224.pth",
    url="https://huggingface.co/OpenGVLab/InternImage/resolve/main/internimage_t_1k_224.pth",
    license="MIT",
)
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


def weights(source: str, options: Mapping[str, Any]) -> tuple[PublishedFile, ...]:
    """Return the backbone's file; raise WeightsError for a variant that it does not fit."""
    if options["variant"] != "t":
        raise unpublished("internimage", "variant", options["variant"], ["t"])
    return (INTERNIMAGE_T,)


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
