"""Published tensors of MISSFormer and of MiT-B1, which fits its encoder, and what they are called here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bench_core import PublishedFile
from bench_core.weights.files import unpublished

if TYPE_CHECKING:
    from torch import Tensor

_LICENSE = "NVIDIA Source Code License (non-commercial)"
MMSEG_COPY = PublishedFile(
    name="mit_b1_20220624-02e5a6a1.pth",
    url="https://mmassets.onedl.ai/mmsegmentation/v0.5/pretrain/segformer/mit_b1_20220624-02e5a6a1.pth",
    license=_LICENSE,
    page="MMSegmentation's model zoo",
)
"""The same tensors under MMSegmentation's names."""
MIT_B1 = PublishedFile(
    name="mit_b1.pth",
    license=_LICENSE,
    page="the page of NVlabs/SegFormer (its weights trained on ImageNet-1K)",
    copies=(MMSEG_COPY,),
)
CLASSIFIER = ("head",)
"""What MiT-B1's file holds beyond the encoder."""

_INSIDE_BLOCK = {
    "attn.q": "attention.query",
    "attn.kv": "attention.key_value",
    "attn.proj": "attention.output",
    "attn.sr": "attention.reduction",
    "attn.norm": "attention.reduction_norm",
    "mlp.fc1": "feed_forward.expand",
    "mlp.dwconv.dwconv": "feed_forward.depthwise",
    "mlp.fc2": "feed_forward.contract",
    "mlp.norm1": "feed_forward.norm",
    "mlp.norm2": "feed_forward.unused_norms.0",
    "mlp.norm3": "feed_forward.unused_norms.1",
}
_INSIDE_BRIDGE_ATTENTION = {
    "attn.scale_reduce.sr0": "attention.reductions.0",
    "attn.scale_reduce.sr1": "attention.reductions.1",
    "attn.scale_reduce.sr2": "attention.reductions.2",
    "attn.scale_reduce.norm": "attention.reduction_norm",
}
_MMSEG = re.compile(r"layers\.(?P<stage>[0-3])\.(?P<part>[012])\.(?P<rest>.+)")
_MMSEG_ATTENTION = {"in_proj_weight": "weight", "in_proj_bias": "bias"}
_MMSEG_PARTS = {
    "projection.": "proj.",
    "attn.attn.out_proj.": "attn.proj.",
    "ffn.layers.0.": "mlp.fc1.",
    "ffn.layers.1.": "mlp.dwconv.dwconv.",
    "ffn.layers.4.": "mlp.fc2.",
}
_EMBED = re.compile(r"patch_embed(?P<stage>[1-4])\.(?P<layer>proj|norm)\.(?P<leaf>.+)")
_BLOCK = re.compile(r"block(?P<stage>[1-4])\.(?P<number>\d+)\.(?P<layer>.+)\.(?P<leaf>\w+)")
_NORM = re.compile(r"norm(?P<stage>[1-4])\.(?P<leaf>.+)")
_BRIDGE = re.compile(r"bridge\.bridge_layer(?P<number>[1-4])\.(?P<layer>.+)\.(?P<leaf>\w+)")
_BRIDGE_FEED_FORWARD = re.compile(r"mixffn(?P<scale>[1-4])\.(?P<layer>.+)")
_DECODER = re.compile(r"decoder_(?P<level>[0-3])\.(?P<layer>.+)\.(?P<leaf>\w+)")
_DECODER_BLOCK = re.compile(r"layer_former_(?P<number>[12])\.(?P<layer>.+)")
_DECODER_LAYERS = {
    "concat_linear": "fuse",
    "layer_up.expand": "expand.expand",
    "layer_up.norm": "expand.norm",
}


def weights(source: str, options: Mapping[str, Any]) -> tuple[PublishedFile, ...]:
    """Return MiT-B1's file; raise WeightsError for a variant that it does not fit."""
    if options["variant"] != "b1":
        raise unpublished("missformer", "variant", options["variant"], ["b1"])
    return (MIT_B1,)


def from_reference(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename a whole network's tensors from the authors' names to this package's; others stay as they are."""
    return {_renamed(name): tensor for name, tensor in tensors.items()}


def encoder_from_mit(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename a Mix Transformer's tensors, its authors' or MMSegmentation's, to the encoder's names.

    Others stay as they are.
    """
    authors: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        match = _MMSEG.fullmatch(name)
        authors |= _as_authors_name(match, tensor) if match else {name.removeprefix("backbone."): tensor}
    return {_encoder_name(name): tensor for name, tensor in authors.items()}


def _as_authors_name(match: re.Match[str], tensor: Tensor) -> dict[str, Tensor]:
    """Return a tensor of MMSegmentation's copy under its name, or two, in the authors' file."""
    place = ("patch_embed", "block", "norm")[int(match["part"])] + str(int(match["stage"]) + 1)
    path, _, leaf = f"{place}.{match['rest']}".rpartition(".")
    if own := _MMSEG_ATTENTION.get(leaf):
        path = path.removesuffix(".attn")
        width = len(tensor) // 3  # queries, keys, values
        return {f"{path}.q.{own}": tensor[:width], f"{path}.kv.{own}": tensor[width:]}
    name = f"{path}.{leaf}"
    for theirs, authors in _MMSEG_PARTS.items():
        name = name.replace(f".{theirs}", f".{authors}")
    # Its linear layers are convolutions of one pixel.
    return {name: tensor.flatten(1) if name.endswith((".fc1.weight", ".fc2.weight")) else tensor}


def _renamed(name: str) -> str:
    if name.startswith("backbone."):
        return f"encoder.{_encoder_name(name.removeprefix('backbone.'))}"
    if match := _BRIDGE.fullmatch(name):
        layer = match["layer"]
        if inside := _BRIDGE_FEED_FORWARD.fullmatch(layer):
            # The same layers as in a block, of which there is one a scale.
            own = _INSIDE_BLOCK.get(f"mlp.{inside['layer']}", layer)
            layer = own.replace("feed_forward.", f"feed_forwards.{int(inside['scale']) - 1}.")
        else:
            layer = _INSIDE_BRIDGE_ATTENTION.get(layer) or _INSIDE_BLOCK.get(layer, layer)
        return f"bridge.layers.{int(match['number']) - 1}.{layer}.{match['leaf']}"
    if name.startswith("decoder_0.last_layer."):
        return name.replace("decoder_0.last_layer.", "head.")
    if match := _DECODER.fullmatch(name):
        layer = match["layer"]
        if inside := _DECODER_BLOCK.fullmatch(layer):
            own = _INSIDE_BLOCK.get(inside["layer"], inside["layer"])
            layer = f"blocks.{int(inside['number']) - 1}.{own}"
        else:
            layer = _DECODER_LAYERS.get(layer, layer)
        return f"decoder.{match['level']}.{layer}.{match['leaf']}"
    return name


def _encoder_name(name: str) -> str:
    if match := _EMBED.fullmatch(name):
        layer = "projection" if match["layer"] == "proj" else "norm"
        return f"stages.{int(match['stage']) - 1}.embed.{layer}.{match['leaf']}"
    if match := _BLOCK.fullmatch(name):
        layer = _INSIDE_BLOCK.get(match["layer"], match["layer"])
        return f"stages.{int(match['stage']) - 1}.blocks.{match['number']}.{layer}.{match['leaf']}"
    if match := _NORM.fullmatch(name):
        return f"stages.{int(match['stage']) - 1}.norm.{match['leaf']}"
    return name
