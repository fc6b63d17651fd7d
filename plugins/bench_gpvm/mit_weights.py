"""Published weights of the Mix Transformer: their files, and what their tensors are called here.

The authors' files and MMSegmentation's copies hold the same numbers under other names and in other shapes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bench_core import PublishedFile

if TYPE_CHECKING:
    from torch import Tensor

Tensors = dict[str, "Tensor"]

NVIDIA_LICENSE = "NVIDIA Source Code License (non-commercial)"
CLASSIFIER = ("head",)
"""What the files hold beyond the backbone."""

_MMSEG_FOLDER = "https://mmassets.onedl.ai/mmsegmentation/v0.5/pretrain/segformer"
_MMSEG_DATES = {
    "b0": "20220624-7e0fe6dd",
    "b1": "20220624-02e5a6a1",
    "b2": "20220624-66e8bf70",
    "b3": "20220624-13b1141c",
    "b4": "20220624-d588d980",
    "b5": "20220624-658746d9",
}


def weights(source: str, options: Mapping[str, Any]) -> tuple[PublishedFile, ...]:
    """Return the file of a Mix Transformer trained on ImageNet-1k, for the option `variant`."""
    variant = options["variant"]
    copy = f"mit_{variant}_{_MMSEG_DATES[variant]}.pth"
    by_mmseg = PublishedFile(
        name=copy, url=f"{_MMSEG_FOLDER}/{copy}", license=NVIDIA_LICENSE, page="MMSegmentation's model zoo"
    )
    authors = PublishedFile(
        name=f"mit_{variant}.pth",
        license=NVIDIA_LICENSE,
        page="the page of NVlabs/SegFormer",
        copies=(by_mmseg,),
    )
    return (authors,)


_INSIDE_AUTHORS = (
    ("attn.q.", "attention.query."),
    ("attn.kv.", "attention.key_value."),
    ("attn.proj.", "attention.output."),
    ("attn.sr.", "attention.reduction."),
    ("attn.norm.", "attention.reduction_norm."),
    ("mlp.fc1.", "feed_forward.expand."),
    ("mlp.dwconv.dwconv.", "feed_forward.depthwise."),
    ("mlp.fc2.", "feed_forward.contract."),
)
_INSIDE_MMSEG = (
    ("attn.attn.out_proj.", "attention.output."),
    ("attn.sr.", "attention.reduction."),
    ("attn.norm.", "attention.reduction_norm."),
    ("ffn.layers.0.", "feed_forward.expand."),
    ("ffn.layers.1.", "feed_forward.depthwise."),
    ("ffn.layers.4.", "feed_forward.contract."),
)
"""Within a block: the beginning of a published name, and of the name here."""
_AUTHORS = re.compile(r"(?P<part>patch_embed|block|norm)(?P<stage>[1-4])\.(?P<rest>.+)")
_MMSEG = re.compile(r"layers\.(?P<stage>[0-3])\.(?P<part>[012])\.(?P<rest>.+)")


def to_backbone(tensors: Tensors) -> Tensors:
    """Rename a backbone's tensors from the authors' or MMSegmentation's names to this module's.

    Names of neither (a classifier's, for example) stay as they are.
    """
    converted: Tensors = {}
    for name, tensor in tensors.items():
        if match := _AUTHORS.fullmatch(name):
            converted |= _from_authors(match, tensor)
        elif match := _MMSEG.fullmatch(name):
            converted |= _from_mmseg(match, tensor)
        else:
            converted[name] = tensor
    return converted


def _from_authors(match: re.Match[str], tensor: Tensor) -> Tensors:
    stage, part, rest = int(match["stage"]) - 1, match["part"], match["rest"]
    if part == "block":
        number, _, inside = rest.partition(".")
        return {f"stages.{stage}.blocks.{number}.{_renamed(inside, _INSIDE_AUTHORS)}": tensor}
    if part == "patch_embed":
        return {f"stages.{stage}.embed.{_renamed(rest, (('proj.', 'projection.'),))}": tensor}
    return {f"stages.{stage}.norm.{rest}": tensor}


def _from_mmseg(match: re.Match[str], tensor: Tensor) -> Tensors:
    stage, part, rest = match["stage"], match["part"], match["rest"]
    if part == "0":
        return {f"stages.{stage}.embed.{rest}": tensor}
    if part == "2":
        return {f"stages.{stage}.norm.{rest}": tensor}
    number, _, inside = rest.partition(".")
    block = f"stages.{stage}.blocks.{number}."
    if inside.startswith("attn.attn.in_proj_"):
        # Queries, keys and values of torch's attention in one tensor, in this order.
        leaf = inside.removeprefix("attn.attn.in_proj_")
        width = tensor.shape[0] // 3
        return {
            f"{block}attention.query.{leaf}": tensor[:width],
            f"{block}attention.key_value.{leaf}": tensor[width:],
        }
    own = _renamed(inside, _INSIDE_MMSEG)
    is_linear = own in ("feed_forward.expand.weight", "feed_forward.contract.weight")
    # Linear layers are 1x1 convolutions there.
    return {block + own: tensor.flatten(1) if is_linear else tensor}


def _renamed(name: str, table: Sequence[tuple[str, str]]) -> str:
    for theirs, ours in table:
        if name.startswith(theirs):
            return ours + name.removeprefix(theirs)
    return name
