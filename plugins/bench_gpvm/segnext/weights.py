"""Published weights of SegNeXt's backbone: their files, and what their tensors are called here.

The authors' files and MMSegmentation's copies hold the same tensors; they name one module differently.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bench_core import PublishedFile

if TYPE_CHECKING:
    from torch import Tensor

_LICENSE = "Apache-2.0"
_MMSEG_FOLDER = "https://mmassets.onedl.ai/mmsegmentation/v0.5/pretrain/segnext"
MMSEG_COPIES = {
    "t": "mscan_t_20230227-119e8c9f.pth",
    "s": "mscan_s_20230227-f33ccdf2.pth",
    "b": "mscan_b_20230227-3ab7d230.pth",
    "l": "mscan_l_20230227-cef260d4.pth",
}
CLASSIFIER = ("head",)
"""What the files hold beyond the backbone."""

_STAGE = re.compile(r"^(patch_embed|block|norm)([1-4])\.(.+)$")
_DOWNSAMPLE = ((r"^proj\.(?=\d)", ""), (r"^proj\.", "0."), (r"^norm\.", "1."))
_BLOCK = (
    (r"^norm1\.", "attention_norm."),
    (r"^attn\.proj_1\.", "attention.enter."),
    (r"^attn\.spatial_gating_unit\.conv0\.", "attention.gate.local."),
    (r"^attn\.spatial_gating_unit\.conv([0-2])_1\.", r"attention.gate.strips.\1.0."),
    (r"^attn\.spatial_gating_unit\.conv([0-2])_2\.", r"attention.gate.strips.\1.1."),
    (r"^attn\.spatial_gating_unit\.conv3\.", "attention.gate.mix."),
    (r"^attn\.proj_2\.", "attention.leave."),
    (r"^layer_scale_1$", "attention_scale"),
    (r"^norm2\.", "feed_forward_norm."),
    (r"^mlp\.fc1\.", "feed_forward.0."),
    # Twice in the authors' files, once in MMSegmentation's copies.
    (r"^mlp\.dwconv\.(?:dwconv\.)?", "feed_forward.1."),
    (r"^mlp\.fc2\.", "feed_forward.3."),
    (r"^layer_scale_2$", "feed_forward_scale"),
)


def weights(source: str, options: Mapping[str, Any]) -> tuple[PublishedFile, ...]:
    """Return the backbone's file for the option `variant`."""
    copy = MMSEG_COPIES[options["variant"]]
    by_mmseg = PublishedFile(
        name=copy, url=f"{_MMSEG_FOLDER}/{copy}", license=_LICENSE, page="MMSegmentation's model zoo"
    )
    authors = PublishedFile(
        name=f"mscan_{options['variant']}.pth",
        license=_LICENSE,
        page="the page of Visual-Attention-Network/SegNeXt",
        copies=(by_mmseg,),
    )
    return (authors,)


def to_backbone(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename a backbone's tensors, the authors' or MMSegmentation's, to MSCAN's names; other names stay."""
    return {_renamed(name): tensor for name, tensor in tensors.items()}


def _renamed(name: str) -> str:
    found = _STAGE.match(name)
    if found is None:
        return name
    kind, rest = found[1], found[3]
    stage = f"stages.{int(found[2]) - 1}"
    if kind == "norm":
        return f"{stage}.norm.{rest}"
    if kind == "patch_embed":
        return f"{stage}.downsample.{_replaced(rest, _DOWNSAMPLE)}"
    number, _, rest = rest.partition(".")
    return f"{stage}.blocks.{number}.{_replaced(rest, _BLOCK)}"


def _replaced(name: str, table: tuple[tuple[str, str], ...]) -> str:
    for pattern, replacement in table:
        renamed, hits = re.subn(pattern, replacement, name)
        if hits:
            return renamed
    return name
