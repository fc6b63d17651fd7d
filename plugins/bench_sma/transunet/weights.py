"""Published tensors of TransUNet and of its encoder, R50+ViT-B/16, and what they are called here."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench_core import PublishedFile
from bench_core.errors import WeightsError
from bench_core.files.arrays import open_arrays
from bench_core.files.bounded import BoundError
from bench_core.weights.files import unpublished

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from bench_core.weights.load import WeightsReport

PRETRAINED_GRID = 14
"""Side of the square of positions in the published file: images of 224 pixels, patches of 16."""
NPZ = PublishedFile(
    name="R50+ViT-B_16.npz",
    url="https://storage.googleapis.com/vit_models/imagenet21k/R50+ViT-B_16.npz",
    license="Apache-2.0",
    copies=(PublishedFile(name="R50-ViT-B_16.npz", license="Apache-2.0"),),
)
"""Google's file, and the same under the name that the authors' instructions give it."""
RANDOM = ("decoder", "segmentation_head")
"""Parts that are not in the file."""
DROPS = ("cls", "pre_logits", "head")
"""What the file holds beyond the encoder: class token and classifier."""

Rules = Sequence[tuple[str, str]]

_REFERENCE: Rules = (
    (r"^transformer\.embeddings\.hybrid_model\.root\.gn\.", "resnet.root.norm."),
    (r"^transformer\.embeddings\.hybrid_model\.root\.", "resnet.root."),
    (r"^transformer\.embeddings\.hybrid_model\.body\.block(\d)\.unit(\d)\.", r"block \1 unit \2."),
    (r"^transformer\.embeddings\.patch_embeddings\.", "transformer.embed."),
    (r"^transformer\.embeddings\.position_embeddings$", "transformer.positions"),
    (r"^transformer\.encoder\.encoder_norm\.", "transformer.norm."),
    (r"^transformer\.encoder\.layer\.(\d+)\.", r"transformer.blocks.\1."),
    (r"\.attention_norm\.", ".norm1."),
    (r"\.attn\.out\.", ".attention.output."),
    (r"\.attn\.", ".attention."),
    (r"\.ffn_norm\.", ".norm2."),
    (r"\.ffn\.fc1\.", ".feed_forward.expand."),
    (r"\.ffn\.fc2\.", ".feed_forward.contract."),
    (r"^decoder\.conv_more\.", "decoder.enter."),
    (r"^segmentation_head\.0\.", "segmentation_head."),
)
_NPZ: Rules = (
    (r"/", "."),
    (r"^(conv_root|gn_root)\.", r"resnet.root.\1."),
    (r"\.conv_root\.", ".conv."),
    (r"\.gn_root\.", ".norm."),
    (r"^block(\d)\.unit(\d)\.", r"block \1 unit \2."),
    (r"^embedding\.", "transformer.embed."),
    (r"^Transformer\.posembed_input\.pos_embedding$", "transformer.positions"),
    (r"^Transformer\.encoder_norm\.", "transformer.norm."),
    (r"^Transformer\.encoderblock_(\d+)\.", r"transformer.blocks.\1."),
    (r"\.LayerNorm_0\.", ".norm1."),
    (r"\.MultiHeadDotProductAttention_1\.out\.", ".attention.output."),
    (r"\.MultiHeadDotProductAttention_1\.", ".attention."),
    (r"\.LayerNorm_2\.", ".norm2."),
    (r"\.MlpBlock_3\.Dense_0\.", ".feed_forward.expand."),
    (r"\.MlpBlock_3\.Dense_1\.", ".feed_forward.contract."),
    (r"\.(kernel|scale)$", ".weight"),
)
_UNIT = re.compile(r"block (?P<block>\d) unit (?P<unit>\d)\.(?P<layer>\w+)\.(?P<leaf>\w+)")
_UNIT_LAYERS = {
    "gn1": "norm1",
    "gn2": "norm2",
    "gn3": "norm3",
    "downsample": "shortcut",
    "conv_proj": "shortcut",
    "gn_proj": "shortcut_norm",
}


def weights(source: str, options: Mapping[str, Any]) -> tuple[PublishedFile, ...]:
    """Return the encoder's file; raise WeightsError for a variant that it does not fit."""
    if options["variant"] != "r50-vit-b16":
        raise unpublished("transunet", "variant", options["variant"], ["r50-vit-b16"])
    return (NPZ,)


def from_reference(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename a whole network's tensors from the authors' names to this package's; others stay as they are."""
    return {_renamed(name, _REFERENCE): tensor for name, tensor in tensors.items()}


def from_npz(arrays: Mapping[str, NDArray[np.float32]]) -> dict[str, Tensor]:
    """Return the published arrays under this package's names and in its shapes, "/" in names becoming ".".

    Convolution kernels are [height, width, in, out] there, those of dense layers [in, out], and attention's
    have one axis for the heads and one for their channels. The class token's position is left out.
    """
    import torch

    converted: dict[str, Tensor] = {}
    for key, array in arrays.items():
        name = _renamed(key, _NPZ)
        tensor = torch.from_numpy(array)
        if name == "transformer.positions":
            tensor = tensor[:, 1:]
        elif name.endswith(".attention.output.weight"):
            tensor = tensor.reshape(-1, tensor.shape[-1]).t()
        elif name.endswith(".weight") and ".attention." in name:
            tensor = tensor.reshape(tensor.shape[0], -1).t()
        elif name.endswith(".weight") and key.endswith("kernel"):
            tensor = tensor.permute(3, 2, 0, 1) if tensor.ndim == 4 else tensor.t()
        elif not name.startswith(DROPS):
            tensor = tensor.flatten()
        converted[name] = tensor
    return converted


def load_npz(network: nn.Module, file: Path, source: str) -> WeightsReport:
    """Fill the encoder from the published file, positions resized to the network's own grid.

    Raises WeightsError if the file cannot be read, or if anything is missing, unexpected or of another shape.
    """
    from bench_core.weights.load import load_strictly
    from bench_sma.transunet.vit import resize_positions

    tensors = from_npz(read_npz(file))
    notes: tuple[str, ...] = ()
    own, given = network.state_dict()["transformer.positions"], tensors.get("transformer.positions")
    if given is not None and given.shape[1] != own.shape[1]:
        before, after = (math.isqrt(each.shape[1]) for each in (given, own))
        tensors["transformer.positions"] = resize_positions(given, (after, after))
        notes = (f"positions resized from {before} x {before} to {after} x {after}",)
    return load_strictly(
        network,
        tensors,
        allowed_missing=RANDOM,
        allowed_unexpected=DROPS,
        source=source,
        file=file,
        notes=notes,
    )


def read_npz(file: Path) -> dict[str, NDArray[np.float32]]:
    """Return the arrays of an .npz file without unpickling; raise WeightsError if that is not possible."""
    import numpy as np

    try:
        with open_arrays(file) as stored:
            return {name: stored.read(name, np.floating).astype(np.float32) for name in stored.names}
    except (BoundError, OSError) as error:
        raise WeightsError(
            "weights file cannot be read",
            place=str(file),
            cause=f"no .npz file of plain arrays ({error})",
            fix=f"fetch {NPZ.name} again from {NPZ.url}",
        ) from error


def _renamed(name: str, rules: Rules) -> str:
    renamed = name
    for pattern, replacement in rules:
        renamed = re.sub(pattern, replacement, renamed)
    if match := _UNIT.fullmatch(renamed):
        layer = _UNIT_LAYERS.get(match["layer"], match["layer"])
        return f"resnet.stages.{int(match['block']) - 1}.{int(match['unit']) - 1}.{layer}.{match['leaf']}"
    return renamed
