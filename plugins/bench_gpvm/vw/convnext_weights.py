"""Published weights of ConvNeXt: their files, and what their tensors are called here.

The authors' files, MMClassification's copies and timm's hold the same numbers under other names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bench_core import PublishedFile
from bench_core.weights.files import unpublished

if TYPE_CHECKING:
    from torch import Tensor

CLASSIFIER = ("head",)
"""What the files hold beyond the backbone."""
NOT_PUBLISHED = tuple(f"stages.{stage}.output_norm" for stage in range(3))
"""What they lack. The fourth stage's is the normalization before the classifier."""

_PUBLISHED_AS = {"t": "tiny", "s": "small", "b": "base", "l": "large"}
_AUTHORS_FOLDER = "https://dl.fbaipublicfiles.com/convnext"
_MMCLS_SMALL = "convnext-small_3rdparty_32xb128-noema_in1k_20220301-303e75e3.pth"
_LICENSE = "MIT"
_MMCLS_COPIES = {
    "s": (
        PublishedFile(
            name=_MMCLS_SMALL,
            url=f"https://download.openmmlab.com/mmclassification/v0/convnext/downstream/{_MMCLS_SMALL}",
            license=_LICENSE,
            page="MMClassification's model zoo",
        ),
    )
}


def weights(source: str, options: Mapping[str, Any]) -> tuple[PublishedFile, ...]:
    """Return the file for the option `variant`; raise WeightsError for one whose authors have none."""
    variant = options["variant"]
    if variant not in _PUBLISHED_AS:
        raise unpublished("vw-conv", "variant", variant, tuple(_PUBLISHED_AS))
    size = _PUBLISHED_AS[variant]
    name, by_timm = f"convnext_{size}_1k_224_ema.pth", f"convnext_{size}.fb_in1k"
    timm_page = PublishedFile(name=f"{by_timm}.safetensors", license=_LICENSE, page="timm's repositories")
    timm_copies = (PublishedFile(name=f"{by_timm}{end}", license=_LICENSE) for end in (".bin", ".pth"))
    authors = PublishedFile(
        name=name,
        url=f"{_AUTHORS_FOLDER}/{name}",
        license=_LICENSE,
        page="the page of facebookresearch/ConvNeXt",
        copies=(*_MMCLS_COPIES.get(variant, ()), timm_page, *timm_copies),
    )
    return (authors,)


_DOWNSAMPLE = re.compile(
    r"(?:downsample_layers\.(?P<layer>[0-3])|stages\.(?P<stage>[1-3])\.downsample|(?P<stem>stem))\.(?P<rest>[01]\..+)"
)
_BLOCK = re.compile(r"stages\.(?P<stage>[0-3])\.(?:blocks\.)?(?P<block>\d+)\.(?P<rest>.+)")
_INSIDE_BLOCK = {
    "gamma": "scale",
    "dwconv": "depthwise",
    "depthwise_conv": "depthwise",
    "conv_dw": "depthwise",
    "norm": "norm",
    "pwconv1": "expand",
    "pointwise_conv1": "expand",
    "mlp.fc1": "expand",
    "pwconv2": "contract",
    "pointwise_conv2": "contract",
    "mlp.fc2": "contract",
}
"""Modules of a block, as the authors, MMClassification and timm call them, and here."""
_OUTPUT_NORM = re.compile(r"norm(?P<stage>[0-3])\.(?P<leaf>weight|bias)")
_LAST_NORM = re.compile(r"(?:norm|head\.norm)\.(?P<leaf>weight|bias)")


def to_backbone(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename a backbone's tensors from any publisher's names to this package's; other names stay."""
    return {_renamed(name): tensor for name, tensor in tensors.items()}


def _renamed(name: str) -> str:
    if found := _DOWNSAMPLE.fullmatch(name):
        stage = "0" if found["stem"] else found["layer"] or found["stage"]
        return f"stages.{stage}.downsample.{found['rest']}"
    if found := _BLOCK.fullmatch(name):
        module, _, leaf = found["rest"].rpartition(".")
        # The layer scale is a tensor of the block itself.
        own = _INSIDE_BLOCK.get(module or leaf)
        if own is None:
            return name
        return f"stages.{found['stage']}.blocks.{found['block']}." + (f"{own}.{leaf}" if module else own)
    if found := _OUTPUT_NORM.fullmatch(name):
        return f"stages.{found['stage']}.output_norm.{found['leaf']}"
    if found := _LAST_NORM.fullmatch(name):
        return f"stages.3.output_norm.{found['leaf']}"
    return name
