"""Loads published weights into a Segmentor: the backbone's, or a whole segmentor's; nothing is downloaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmseg.models.backbones import VisionTransformer
from torch import Tensor, nn

from bench_core import BuildRequest
from bench_core.weights.load import WeightsReport, load_strictly, read_checkpoint, sum_over_rgb
from bench_mmseg.segmentor import Segmentor
from bench_mmseg.zoo import checkpoint_of

_CLASSIFIERS = ("fc", "head", "classifier")
"""Classification heads in backbones' checkpoints, for which a segmentation network has no place."""
_UNREAD: Mapping[str, Sequence[str]] = {
    "HRNet": ("incre_modules", "downsamp_modules", "final_layer"),
    "SwinTransformer": ("norm",),
    "PCPVT": ("norm",),
    "SVT": ("norm",),
    "VisionTransformer": ("ln1",),
}
"""Backbone to what its classification network has beyond the head, by mmseg's converters' names."""
_NEW: Mapping[str, Sequence[str]] = {
    "SwinTransformer": ("norm0", "norm1", "norm2", "norm3"),
    "SVT": ("norm_list",),
}
"""Backbone to the layers that segmentation adds to it."""
_COUNTED = ("num_batches_tracked", "relative_position_index", "attn_mask")
"""Buffers that are computed, not learned."""
_BY_CLASS = ("conv_seg", "cls_emb", "mask_norm")
"""Parameters of decode heads whose shape is the number of classes."""


def load_pretrained(network: Segmentor, model: Mapping[str, Any], request: BuildRequest) -> None:
    """Load what the request asks for and set `network.weights_report`.

    A file with `decode_head.` names fills the whole segmentor, any other the part that the config starts from
    a checkpoint. Raises WeightsError if the file is not there or does not fit.
    """
    checkpoint = checkpoint_of(model)
    if (file := request.weights_file) and checkpoint is not None:
        tensors = read_checkpoint(file)
        if any(name.startswith("decode_head.") for name in tensors):
            report = _load_whole(network, tensors, file, request.pretrained)
        else:
            report = _load_part(network.get_submodule(checkpoint.module), tensors, file, request.pretrained)
        network.weights_report = report


def _load_whole(network: Segmentor, tensors: dict[str, Tensor], file: Path, source: str) -> WeightsReport:
    own = network.state_dict()
    tensors, notes = sum_over_rgb(own, tensors)
    other = [
        name
        for name, tensor in tensors.items()
        if name in own and tensor.shape != own[name].shape and any(part in name for part in _BY_CLASS)
    ]
    tensors = {name: tensor for name, tensor in tensors.items() if name not in other}
    if other:
        notes = (*notes, f"not loaded, being of other classes: {', '.join(other)}")
    return load_strictly(
        network,
        tensors,
        allowed_missing=[*other, *_computed(own)],
        allowed_unexpected=("auxiliary_head", *network.dropped, *_computed(tensors)),
        source=source,
        file=file,
        notes=notes,
    )


def _load_part(module: nn.Module, tensors: dict[str, Tensor], file: Path, source: str) -> WeightsReport:
    if any(name.startswith("backbone.") for name in tensors):
        tensors = {name.removeprefix("backbone."): tensor for name, tensor in tensors.items()}
    own = module.state_dict()
    tensors, notes = sum_over_rgb(own, tensors)
    if isinstance(module, VisionTransformer):
        tensors, resized = _resize_positions(module, tensors)
        notes = (*notes, *resized)
    kind = type(module).__name__
    return load_strictly(
        module,
        tensors,
        allowed_missing=(*_NEW.get(kind, ()), *_computed(own)),
        allowed_unexpected=(*_CLASSIFIERS, *_UNREAD.get(kind, ()), *_computed(tensors)),
        source=source,
        file=file,
        notes=notes,
    )


def _computed(tensors: Mapping[str, Tensor]) -> list[str]:
    return [name for name in tensors if name.endswith(_COUNTED)]


def _resize_positions(
    module: VisionTransformer, tensors: dict[str, Tensor]
) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Interpolate position embeddings [1, 1 + N, C] of square images to the network's size, as mmseg does."""
    found = tensors.get("pos_embed")
    if found is None or found.ndim != 3 or found.shape == module.pos_embed.shape:
        return tensors, ()
    before = round((found.shape[1] - 1) ** 0.5)
    if before * before != found.shape[1] - 1:
        return tensors, ()
    after = [side // module.patch_size for side in module.img_size]
    resized = module.resize_pos_embed(found, tuple(after), (before, before), module.interpolate_mode)
    note = f"position embeddings interpolated from {before}x{before} to {after[0]}x{after[1]}"
    return {**tensors, "pos_embed": resized}, (note,)
