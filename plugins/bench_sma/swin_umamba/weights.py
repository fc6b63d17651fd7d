"""Published weights of VMamba-Tiny: their file, and what its tensors are called there and here."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench_core import PublishedFile
from bench_core.weights.files import unpublished

if TYPE_CHECKING:
    from torch import Tensor, nn

    from bench_core.weights.load import WeightsReport

VMAMBA_TINY = PublishedFile(
    name="vssmtiny_dp01_ckpt_epoch_292.pth",
    url="https://github.com/MzeroMiko/VMamba/releases/download/%2320240218/vssmtiny_dp01_ckpt_epoch_292.pth",
    license="MIT",
    copies=(PublishedFile(name="vmamba_tiny_e292.pth", license="MIT"),),
)
"""Its authors' release, and the same file under the name that Swin-UMamba's authors gave it."""
CLASSIFIER = ("norm", "head")
"""What the file holds beyond the encoder."""
SETTINGS = (OrderedDict, "yacs.config.CfgNode")
"""The only class that the file needs: training settings beside the tensors, read as a mere dictionary."""
REPLACED = ("patch_embed.projection", "patch_embed.norm.weight")
"""Encoder tensors that start anew: patches are of 2x2 features here, of 4x4 pixels there."""

_TO_OLD_VMAMBA = (
    (r"^patch_embed\.0\.", "patch_embed.proj."),
    (r"^patch_embed\.2\.", "patch_embed.norm."),
    (r"^(layers\.\d+\.blocks\.\d+)\.norm\.", r"\1.ln_1."),
    (r"^(layers\.\d+\.blocks\.\d+)\.op\.", r"\1.self_attention."),
    (r"^(layers\.\d+\.downsample)\.1\.", r"\1.norm."),
    (r"^(layers\.\d+\.downsample)\.2\.", r"\1.reduction."),
    (r"^classifier\.(norm|head)\.", r"\1."),
)
"""VMamba's own later names of the same tensors."""
_ENCODER = (
    (r"^patch_embed\.proj\.", "patch_embed.projection."),
    (r"^layers\.(\d+)\.downsample\.", r"merges.\1."),
    (r"^downsamples\.(\d+)\.", r"merges.\1."),
    (r"^layers\.(\d+)\.blocks\.(\d+)\.ln_1\.", r"stages.\1.\2.norm."),
    (r"^layers\.(\d+)\.blocks\.(\d+)\.self_attention\.", r"stages.\1.\2.scan."),
)
_SCAN = (
    ("in_proj.", "enter."),
    ("conv2d.", "depthwise."),
    ("x_proj_weight", "select"),
    ("dt_projs_weight", "step_weight"),
    ("dt_projs_bias", "step_bias"),
    ("A_logs", "log_decay"),
    ("Ds", "through"),
    ("out_norm.", "norm."),
    ("out_proj.", "leave."),
)
_NETWORK = (
    (r"^encoder(\d)\.layer\.", lambda match: f"skips.{int(match[1]) - 1}."),
    (r"^decoder([2-6])\.transp_conv\.conv\.", lambda match: f"decoder.{6 - int(match[1])}.upsample."),
    (r"^decoder([2-6])\.conv_block\.", lambda match: f"decoder.{6 - int(match[1])}.fuse."),
    (r"^decoder1\.layer\.", "finish."),
    (r"^out_layers\.(\d)\.conv\.conv\.", r"heads.\1."),
    (r"\.conv([12])\.conv\.", r".conv\1."),
    (r"\.conv3\.conv\.", ".shortcut."),
)


def weights(source: str, options: Mapping[str, Any]) -> tuple[PublishedFile, ...]:
    """Return VMamba-Tiny's file; raise WeightsError for a variant that it does not fit."""
    if options["variant"] != "vmamba-tiny":
        raise unpublished("swin-umamba", "variant", options["variant"], ["vmamba-tiny"])
    return (VMAMBA_TINY,)


def load_encoder(encoder: nn.Module, file: Path, source: str) -> WeightsReport:
    """Fill a VMamba from the published file, all but REPLACED.

    Raises WeightsError if anything else is missing, unexpected or of another shape.
    """
    import torch

    from bench_core.weights.load import load_strictly, read_checkpoint

    with torch.serialization.safe_globals([SETTINGS]):
        tensors = encoder_names(read_checkpoint(file))
    fitting = {name: tensor for name, tensor in tensors.items() if not _is_replaced(name)}
    return load_strictly(
        encoder,
        fitting,
        allowed_missing=REPLACED,
        allowed_unexpected=CLASSIFIER,
        source=source,
        file=file,
        notes=("the stem, the patches' projection and the weight of their normalization start anew",),
    )


def encoder_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename VMamba's tensors, by its older or newer names, to VMamba's here; other names stay."""
    return {_encoder_name(name): tensor for name, tensor in tensors.items()}


def from_reference(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename a whole Swin-UMamba's tensors, by its authors' names, to this package's; other names stay."""
    return {_network_name(name): tensor for name, tensor in tensors.items()}


def _encoder_name(name: str) -> str:
    for pattern, replacement in (*_TO_OLD_VMAMBA, *_ENCODER):
        name = re.sub(pattern, replacement, name)
    head, scan, leaf = name.partition(".scan.")
    for theirs, ours in _SCAN:
        if leaf.startswith(theirs):
            return head + scan + ours + leaf.removeprefix(theirs)
    return name


def _network_name(name: str) -> str:
    encoder = "vssm_encoder."
    if name.startswith(encoder):
        return "encoder." + _encoder_name(name.removeprefix(encoder))
    for pattern, replacement in _NETWORK:
        name = re.sub(pattern, replacement, name)
    return name


def _is_replaced(name: str) -> bool:
    return any(name == prefix or name.startswith(f"{prefix}.") for prefix in REPLACED)
