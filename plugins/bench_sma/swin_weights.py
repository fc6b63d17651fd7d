"""Published weights of Swin-Tiny: the file, what its tensors are called here, tables for other windows."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from bench_core import PublishedFile

if TYPE_CHECKING:
    from torch import Tensor

SWIN_TINY = PublishedFile(
    name="swin_tiny_patch4_window7_224.pth",
    url="https://github.com/SwinTransformer/storage/releases/download/v1.0.0/swin_tiny_patch4_window7_224.pth",
    license="MIT",
)
_BUFFERS = re.compile(r"(^|\.)(attn_mask|attn\.relative_position_index)$")
_BLOCK = (
    (re.compile(r"\.norm1\."), ".attention_norm."),
    (re.compile(r"\.norm2\."), ".feed_forward_norm."),
    (re.compile(r"\.attn\.relative_position_bias_table$"), ".attention.bias_table"),
    (re.compile(r"\.attn\.qkv\."), ".attention.query_key_value."),
    (re.compile(r"\.attn\.proj\."), ".attention.output."),
    (re.compile(r"\.mlp\.fc1\."), ".feed_forward.0."),
    (re.compile(r"\.mlp\.fc2\."), ".feed_forward.2."),
)
_INSIDE = re.compile(r"blocks\.\d+\.")


def without_index_tables(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Leave out what Swin's files store of the grid that they were trained on: masks and index tables."""
    return {name: tensor for name, tensor in tensors.items() if not _BUFFERS.search(name)}


def block_name(name: str) -> str:
    """Return a tensor's name with Swin's own names inside of a block replaced by those used here."""
    found = _INSIDE.search(name)
    if found is None:
        return name
    # From the dot before the name inside of the block.
    before, inside = name[: found.end() - 1], name[found.end() - 1 :]
    for pattern, replacement in _BLOCK:
        inside = pattern.sub(replacement, inside, count=1)
    return before + inside


def fit_bias_tables(
    own: Mapping[str, Tensor], tensors: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Resize tables of relative positions bicubically to the windows of `own`; return notes on it."""
    from torch.nn import functional

    fitted = dict(tensors)
    sides: set[tuple[int, int]] = set()
    for name, table in tensors.items():
        if not name.endswith(".bias_table") or name not in own or own[name].shape == table.shape:
            continue
        side, wanted = round(table.shape[0] ** 0.5), round(own[name].shape[0] ** 0.5)
        if side**2 != table.shape[0] or table.shape[1:] != own[name].shape[1:]:
            continue  # left to the strict loader, which says what is wrong
        square = table.T.reshape(1, -1, side, side)
        resized = functional.interpolate(square, size=(wanted, wanted), mode="bicubic", align_corners=False)
        fitted[name] = resized.reshape(-1, wanted**2).T.contiguous()
        sides.add(((side + 1) // 2, (wanted + 1) // 2))
    notes = tuple(
        f"tables of relative positions resized from windows of {side} to {wanted}"
        for side, wanted in sorted(sides)
    )
    return fitted, notes
