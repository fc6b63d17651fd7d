"""The configs that MMSegmentation ships, and what can be said of one without importing a framework."""

from __future__ import annotations

import functools
import importlib.util
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench_core import Layers, PublishedFile
from bench_mmseg.config_file import package_configs

COMPILED_OPS = "mmcv._ext"
_NEEDS = {"CCHead": COMPILED_OPS, "PSAHead": COMPILED_OPS, "TIMMBackbone": "timm"}
"""Component to the module that it cannot be built without."""
_SCOPES = ("mmpretrain", "mmdet")
_HOW = {
    COMPILED_OPS: "mmcv with compiled operations",
    "mmpretrain": "mmpretrain",
    "mmdet": "mmdet",
    "timm": "timm",
}

_MATCHING = "its queries are trained by matching masks to objects, not by a loss on logits"
_OTHER_TASKS = {
    "MaskFormerHead": _MATCHING,
    "Mask2FormerHead": _MATCHING,
    "SideAdapterCLIPHead": f"{_MATCHING}, and its classes are CLIP's texts",
    "PointHead": "its point head is trained on sampled points, not by a loss on logits",
    "DepthEstimator": "it estimates depth",
    "MultimodalEncoderDecoder": "it needs texts as well as images",
}
"""Component to why the protocol's loss on logits cannot train it, whatever is installed."""

MIT_LICENSE = "NVIDIA Source Code License (non-commercial)"
"""Of the Mix Transformer's weights, whoever converted them."""
_MIT = re.compile(r"mit_b[0-5]\b|mit_b[0-5]_")
_SCHEDULE = re.compile(r"_\d+xb\d+.*$|_\d+x\d+_\d+x\d+.*$")
_PAPER = re.compile(r"^\s*Paper:\s*\n\s*Title: .*\n\s*URL: (\S+)", re.MULTILINE)


@functools.cache
def zoo_configs() -> Mapping[str, Path]:
    """Return the installed mmseg's configs by name (of the file, without .py); empty without mmseg."""
    folder = package_configs("mmseg")
    if folder is None:
        return {}
    files = sorted(file for file in folder.glob("*/*.py") if file.parent.name != "_base_")
    return {file.stem: file for file in files}


def components(model: Any) -> Iterator[str]:
    """Yield the `type` of every part of a config."""
    if isinstance(model, Mapping):
        if isinstance(model.get("type"), str):
            yield model["type"]
        for key, value in model.items():
            if key not in ("auxiliary_head", "data_preprocessor", "loss_decode"):
                yield from components(value)
    elif isinstance(model, list | tuple):
        for value in model:
            yield from components(value)


def why_not(model: Mapping[str, Any]) -> str | None:
    """Return why a `model` part cannot be trained under the protocol here, or None if it can."""
    missing = [_HOW[module] for module in needed_modules(model) if not is_there(module)]
    return own_training(model) or (f"needs {', '.join(missing)}" if missing else None)


def own_training(model: Mapping[str, Any]) -> str | None:
    """Return why a loss on logits cannot train a `model` part, whatever is installed, or None if it can."""
    return next((_OTHER_TASKS[kind] for kind in components(model) if kind in _OTHER_TASKS), None)


def needed_modules(model: Mapping[str, Any]) -> list[str]:
    """Return the importable modules that a `model` part needs beyond mmseg's own."""
    kinds = list(components(model))
    needs = [_NEEDS.get(kind) or kind.partition(".")[0] for kind in kinds if kind in _NEEDS or "." in kind]
    return list(dict.fromkeys(need for need in needs if need in _HOW))


def is_there(module: str) -> bool:
    """Tell whether a module can be imported, without importing it or its package."""
    package, dot, rest = module.partition(".")
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        return False
    if spec is None or not dot:
        return spec is not None
    places = [Path(place) for place in (spec.submodule_search_locations or ())]
    return any(any(place.glob(f"{rest}.*")) for place in places)


@dataclass(frozen=True)
class Checkpoint:
    """The weights that a config starts from."""

    module: str
    """Name of the part of the network that they are for."""
    url: str

    @property
    def address(self) -> str:
        """Where the file can be had: an address of the web, a path, or nothing if the name says no more."""
        scheme, colon, name = self.url.partition("://")
        if not colon or scheme in ("http", "https"):
            return self.url
        table = {"open-mmlab": "openmmlab.json", "openmmlab": "openmmlab.json", "mmcls": "mmcls.json"}
        return str(_hub(table[scheme]).get(name) or "") if scheme in table else ""

    @property
    def file_names(self) -> tuple[str, ...]:
        """The names under which the file is published, or kept by who downloaded it."""
        scheme, colon, name = self.url.partition("://")
        if not colon or scheme in ("http", "https"):
            return (Path(self.url).name,)
        short = f"{name.rpartition('/')[2]}.pth"
        return (Path(self.address).name, short) if self.address else (short,)


def checkpoint_of(model: Mapping[str, Any]) -> Checkpoint | None:
    """Return the weights that a `model` part starts from, None if it starts from scratch."""
    if isinstance(model.get("pretrained"), str):
        return Checkpoint("backbone", model["pretrained"])
    backbone, name = model.get("backbone"), "backbone"
    while isinstance(backbone, Mapping):
        if isinstance(backbone.get("pretrained"), str):
            return Checkpoint(name, backbone["pretrained"])
        initial = backbone.get("init_cfg") or ()
        for item in (initial,) if isinstance(initial, Mapping) else initial:
            if str(item.get("type")).startswith("Pretrained"):
                return Checkpoint(name, item["checkpoint"])
        backbone, name = backbone.get("backbone_cfg"), f"{name}.backbone"
    return None


def weights_of(checkpoint: Checkpoint | None) -> tuple[PublishedFile, ...]:
    """Return the file that a config starts from; none from scratch."""
    if checkpoint is None:
        return ()
    first, *others = checkpoint.file_names
    is_on_the_web = checkpoint.address.startswith("https://")
    license = MIT_LICENSE if _MIT.match(first) else ""
    return (
        PublishedFile(
            name=first,
            url=checkpoint.address if is_on_the_web else "",
            license=license,
            copies=tuple(PublishedFile(name=name, license=license) for name in others),
        ),
    )


@functools.cache
def _hub(file: str) -> Mapping[str, str]:
    spec = importlib.util.find_spec("mmengine")
    for place in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(place) / "hub" / file
        if path.is_file():
            table: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
            return table
    return {}


def short_name(config: str) -> str:
    """Return a config's name without its schedule and dataset: pspnet_r50-d8 for example."""
    return _SCHEDULE.sub("", config)


@functools.cache
def paper_of(folder: Path) -> str:
    """Return the paper's address that a zoo folder's metafile names, "" if none."""
    for file in (folder / "metafile.yaml", folder / "metafile.yml"):
        if file.is_file():
            found = _PAPER.search(file.read_text(encoding="utf-8"))
            return found[1] if found else ""
    return ""


_STEPS = {"BEiT": 16, "MAE": 16, "DDRNet": 8, "PIDNet": 8}
"""Backbone to the step of image sizes that its branches agree on."""
_SMALLEST = {"MixVisionTransformer": 29, "PCPVT": 29, "SVT": 29, "BEiT": 32, "MAE": 32, "LRASPPHead": 385}
"""Component to the smallest image that its poolings and reductions can take."""

_NORMALIZES_A_MEAN = {
    "APCHead", "ASPPHead", "BiSeNetV1", "BiSeNetV2", "DDRNet", "DepthwiseSeparableASPPHead", "FastSCNN",
    "ICNet", "PIDNet", "PSPHead", "STDCContextPathNet", "UPerHead",
}  # fmt: skip
"""Components that pool an image to one pixel and normalize it over the batch."""


def size_limits(model: Mapping[str, Any]) -> tuple[int, int]:
    """Return of which number image sizes must be multiples, and the smallest size, both in pixels."""
    kinds = list(components(model))
    step = max((_STEPS[kind] for kind in kinds if kind in _STEPS), default=1)
    backbone = model.get("backbone") or {}
    if backbone.get("type") == "UNet":
        stages = backbone.get("num_stages", 5)
        strides = backbone.get("strides", (1,) * stages)
        pooled = backbone.get("downsamples", (True,) * (stages - 1))
        halves = sum(stride == 2 or pool for stride, pool in zip(strides[1:], pooled, strict=False))
        step = 2**halves
    return step, max((step, *(_SMALLEST[kind] for kind in kinds if kind in _SMALLEST)))


def batch_minimum(model: Mapping[str, Any]) -> int:
    """Return how many images a training batch needs: two where the image's mean is normalized over it."""
    return 2 if any(kind in _NORMALIZES_A_MEAN for kind in components(model)) else 1


def is_random(model: Mapping[str, Any]) -> bool:
    """Tell whether a network draws numbers in evaluation: LightHamHead's bases, unless they are kept."""
    heads = model.get("decode_head") or ()
    return any(
        head.get("type") == "LightHamHead" and (head.get("ham_kwargs") or {}).get("rand_init", True)
        for head in ((heads,) if isinstance(heads, Mapping) else heads)
    )


_LAYERS = {
    "SegformerHead": "decode_head.convs.0",
    "UPerHead": "decode_head.fpn_convs.0",
    "LightHamHead": "decode_head.hamburger",
    "DepthwiseSeparableASPPHead": "decode_head.sep_bottleneck.0",
    "PSPHead": "decode_head.bottleneck.conv",
    "ASPPHead": "decode_head.bottleneck.conv",
}
"""Head to its last maps before its last nonlinear step."""
_LAST = 3
"""Index of the deepest of four feature maps."""
_CHAINS = ("ResNet", "ResNetV1c", "ResNetV1d", "ResNeXt", "ResNeSt", "MobileNetV2")
"""Backbones each of whose features the next stage starts from, so that a head need not read them."""


def explained(model: Mapping[str, Any]) -> Layers:
    """Return layers for class activation maps: the features that the logits stand on, and the head's last."""
    head = model.get("decode_head")
    if not isinstance(head, Mapping):
        return Layers()
    index = head.get("in_index", -1)
    reads = sorted(_LAST if place == -1 else place for place in _several(index))
    if not reads or reads[-1] != _LAST:
        shown: tuple[str, ...] = ()
    else:
        chained = str((model.get("backbone") or {}).get("type")) in _CHAINS and not model.get("neck")
        before = range(_LAST) if chained else reads[:-1]
        shown = (*(f"scales.{place}" for place in before), "deepest")
    return Layers(encoder=shown, decoder=_LAYERS.get(str(head.get("type")), ""))


def _several(index: Any) -> tuple[int, ...]:
    found = index if isinstance(index, list | tuple) else (index,)
    return tuple(place for place in found if isinstance(place, int))
