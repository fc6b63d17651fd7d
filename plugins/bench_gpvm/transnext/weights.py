"""Published weights of TransNeXt's backbone: their files, and what their tensors are called here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bench_core import PublishedFile
from bench_core.weights.files import unpublished

if TYPE_CHECKING:
    from torch import Tensor

PUBLISHED = ("micro", "tiny", "small", "base")
"""Variants that the authors trained on ImageNet-1k."""
DROPS = (
    "head",
    *(f"{kind}{stage}" for kind in ("relative_pos_index", "relative_coords_table") for stage in range(1, 5)),
)
"""What the files hold beyond the backbone: the classifier, and tables that follow from the image's size."""

_PAGE = "https://huggingface.co/DaiShiResearch"
_PARTS = (
    (r"^patch_embed([1-4])\.proj\.", r"stages.\1.embed.projection."),
    (r"^patch_embed([1-4])\.", r"stages.\1.embed."),
    (r"^block([1-4])\.", r"stages.\1.blocks."),
    (r"^norm([1-4])\.", r"stages.\1.norm."),
)
_BLOCK = (
    ("norm1.", "attention_norm."),
    ("attn.temperature", "attention.scale_query.temperature"),
    ("attn.query_embedding", "attention.scale_query.embedding"),
    ("attn.relative_pos_bias_local", "attention.local_bias"),
    ("attn.learnable_tokens", "attention.local_tokens"),
    ("attn.learnable_bias", "attention.local_tokens_bias"),
    ("attn.qkv.", "attention.query_key_value."),
    ("attn.q.", "attention.query."),
    ("attn.kv.", "attention.key_value."),
    ("attn.sr.", "attention.reduce."),
    ("attn.norm.", "attention.reduce_norm."),
    ("attn.cpb_fc1.", "attention.position_bias.expand."),
    ("attn.cpb_fc2.", "attention.position_bias.contract."),
    ("attn.proj.", "attention.output."),
    ("norm2.", "feed_forward_norm."),
    ("mlp.fc1.", "feed_forward.expand."),
    ("mlp.dwconv.dwconv.", "feed_forward.depthwise."),
    ("mlp.fc2.", "feed_forward.contract."),
)
"""Within a block: the beginning of a published name, and of the name here."""
_INSIDE_BLOCK = re.compile(r"(stages\.[0-3]\.blocks\.\d+\.)(.+)")


def weights(source: str, options: Mapping[str, Any]) -> tuple[PublishedFile, ...]:
    """Return the file for the option `variant`; raise WeightsError for one that was never trained."""
    variant = options["variant"]
    if variant not in PUBLISHED:
        raise unpublished("transnext", "variant", variant, PUBLISHED)
    name = f"transnext_{variant}_224_1k.pth"
    url = f"{_PAGE}/transnext-{variant}-224-1k/resolve/main/{name}"
    return (PublishedFile(name=name, url=url, license="Apache-2.0"),)


def to_backbone(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename a backbone's tensors from the authors' names to this module's; other names stay."""
    return {_renamed(name): tensor for name, tensor in tensors.items()}


def _renamed(name: str) -> str:
    for theirs, ours in _PARTS:
        match = re.match(theirs, name)
        if match:
            ours = ours.replace(r"\1", str(int(match[1]) - 1))
            name = ours + name[match.end() :]
            break
    inside = _INSIDE_BLOCK.fullmatch(name)
    if inside is None:
        return name
    for theirs, ours in _BLOCK:
        if inside[2].startswith(theirs):
            return inside[1] + ours + inside[2].removeprefix(theirs)
    return name
