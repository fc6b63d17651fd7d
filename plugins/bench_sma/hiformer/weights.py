"""Published tensors of HiFormer, and of the ResNet and the Swin-Tiny that its pyramid starts from.

Two files are needed. `weights:` may name either; the other is looked for beside it first.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench_core import PublishedFile
from bench_core.errors import WeightsError
from bench_core.weights.files import unpublished
from bench_sma.swin_weights import SWIN_TINY, block_name, fit_bias_tables, without_index_tables

if TYPE_CHECKING:
    from torch import Tensor, nn

    from bench_core.weights.load import WeightsReport

PRETRAINED_SIZE = 224
RESNET_50 = PublishedFile(
    name="resnet50-0676ba61.pth", url="https://download.pytorch.org/models/resnet50-0676ba61.pth"
)
RESNET_34 = PublishedFile(
    name="resnet34-b627a593.pth", url="https://download.pytorch.org/models/resnet34-b627a593.pth"
)
_RESNETS = {"b": RESNET_50, "s": RESNET_34, "l": RESNET_34}
RESNET_DROPS = ("layer4", "fc")
SWIN_DROPS = ("patch_embed", "norm", "head", "layers.2.downsample", "layers.3")
"""What the two files hold beyond the pyramid."""


def weights(source: str, options: Mapping[str, Any]) -> tuple[PublishedFile, ...]:
    """Return the files of the ResNet and of Swin-Tiny; raise WeightsError for a variant they do not fit."""
    variant = options["variant"]
    if variant not in _RESNETS:
        raise unpublished("hiformer", "variant", variant, tuple(_RESNETS))
    return _RESNETS[variant], SWIN_TINY


def load_pyramid(
    network: nn.Module, files: Sequence[Path], source: str, *, keeps_swin: bool
) -> WeightsReport:
    """Fill ResNet and levels of the network, and report on both files together.

    Unless `keeps_swin`, linear layers and normalizations of the levels are initialized again afterwards, as
    in the authors' code. Raises WeightsError if anything is missing, unexpected or of another shape.
    """
    from bench_core.weights.load import WeightsReport, load_strictly, read_checkpoint, sum_over_rgb
    from bench_sma.swin_blocks import init_tokens

    if len(files) != 2:
        raise WeightsError(
            "hiformer needs two weights files, a ResNet's and a Swin Transformer's",
            place=str(files[0]),
            fix="set `pretrained: none` with its reason, and no `weights:`",
        )
    resnet, levels = network.get_submodule("resnet"), network.get_submodule("levels")
    tensors, summed = sum_over_rgb(resnet.state_dict(), read_checkpoint(files[0]))
    counters = tuple(name for name in resnet.state_dict() if name.endswith("num_batches_tracked"))
    first = load_strictly(
        resnet,
        tensors,
        allowed_missing=counters,  # files written by torch before 0.4.1 do not have them
        allowed_unexpected=RESNET_DROPS,
        source=source,
        file=files[0],
        notes=summed,
    )
    own = levels.state_dict()
    tensors, resized = fit_bias_tables(own, from_swin(read_checkpoint(files[1])))
    projections = tuple(f"{level}.project" for level in range(3))
    second = load_strictly(
        levels,
        tensors,
        allowed_missing=projections,
        allowed_unexpected=SWIN_DROPS,
        source=source,
        file=files[1],
        notes=resized,
    )
    kept, notes = second.loaded, (*first.notes, *second.notes)
    if not keeps_swin:
        levels.apply(init_tokens)
        kept = sum(name.endswith(".bias_table") for name in own)
        notes += ("of Swin-Tiny only the tables of relative positions are kept, as in the authors' code",)
    return WeightsReport(
        source=source,
        file=f"{first.file}, {second.file}",
        sha256=f"{first.sha256}, {second.sha256}",
        loaded=first.loaded + kept,
        total=len(network.state_dict()),
        notes=notes,
    )


_SWIN = (
    (re.compile(r"^layers\.([012])\.blocks\."), r"\1.blocks."),
    (re.compile(r"^layers\.0\.downsample\."), "1.merge."),
    (re.compile(r"^layers\.1\.downsample\."), "2.merge."),
)


def from_swin(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename a Swin Transformer's tensors to those of the levels; names without a place there stay."""
    return {_replaced(block_name(name), _SWIN): t for name, t in without_index_tables(tensors).items()}


_PYRAMID = "All2Cross.pyramid."
_ALIASES = re.compile(r"^(All2Cross\.pyramid\.p[23]\.|ConvUp_[sl]\.convs_level\.)")
"""Modules that the authors' code registers under a second name."""
_REFERENCE = (
    (re.compile(r"^resnet_layers\.0\."), "resnet.conv1."),
    (re.compile(r"^resnet_layers\.1\."), "resnet.bn1."),
    (re.compile(r"^resnet_layers\.4\."), "resnet.layer1."),
    (re.compile(r"^resnet_layers\.5\."), "resnet.layer2."),
    (re.compile(r"^resnet_layers\.6\."), "resnet.layer3."),
    (re.compile(r"^swin_transformer\.layers\."), "levels."),
    (re.compile(r"^p1_ch\."), "levels.0.project."),
    (re.compile(r"^p2_ch\."), "levels.1.project."),
    (re.compile(r"^p3_ch\."), "levels.2.project."),
    (re.compile(r"^p1_pm\."), "levels.1.merge."),
    (re.compile(r"^p2_pm\."), "levels.2.merge."),
    (re.compile(r"^norm_1\."), "fusion.class_norms.0."),
    (re.compile(r"^norm_2\."), "fusion.class_norms.1."),
    (re.compile(r"^All2Cross\.pos_embed\."), "fusion.positions."),
    (re.compile(r"^All2Cross\.blocks\.0\.blocks\."), "fusion.blocks."),
    (re.compile(r"^All2Cross\.blocks\.0\.projs\."), "fusion.leave."),
    (re.compile(r"^All2Cross\.blocks\.0\.revert_projs\."), "fusion.come_back."),
    (re.compile(r"^All2Cross\.blocks\.0\.fusion\.(\d)\.norm1\."), r"fusion.attend.\1.norm."),
    (re.compile(r"^All2Cross\.blocks\.0\.fusion\.(\d)\.attn\.wq\."), r"fusion.attend.\1.query."),
    (re.compile(r"^All2Cross\.blocks\.0\.fusion\.(\d)\.attn\.wk\."), r"fusion.attend.\1.key."),
    (re.compile(r"^All2Cross\.blocks\.0\.fusion\.(\d)\.attn\.wv\."), r"fusion.attend.\1.value."),
    (re.compile(r"^All2Cross\.blocks\.0\.fusion\.(\d)\.attn\.proj\."), r"fusion.attend.\1.output."),
    (re.compile(r"^All2Cross\.norm\."), "fusion.norms."),
    (re.compile(r"^ConvUp_s\.conv_tower\."), "decode_coarse."),
    (re.compile(r"^ConvUp_l\.conv_tower\."), "decode_fine."),
    (re.compile(r"^conv_pred\.0\."), "reduce."),
    (re.compile(r"^segmentation_head\.0\."), "head."),
)
_FUSION_BLOCK = re.compile(r"^(fusion\.blocks\.\d)\.(\d+\..+)$")


def from_reference(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename a whole network's tensors from the authors' names to this package's; others stay as they are.

    Left out are second names, and Swin's masks and index tables.
    """
    return {
        _renamed(name): tensor
        for name, tensor in without_index_tables(tensors).items()
        if not _ALIASES.match(name)
    }


def _renamed(name: str) -> str:
    own = _replaced(name.removeprefix(_PYRAMID), _REFERENCE)
    if own.startswith("levels."):
        return block_name(own)
    if found := _FUSION_BLOCK.match(own):
        # Blocks of a vision transformer, whose parts are named as Swin's.
        return f"{found[1]}.{block_name(f'blocks.{found[2]}').removeprefix('blocks.')}"
    return own


def _replaced(name: str, table: tuple[tuple[re.Pattern[str], str], ...]) -> str:
    for pattern, replacement in table:
        renamed, hits = pattern.subn(replacement, name)
        if hits:
            return renamed
    return name
