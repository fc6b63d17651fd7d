"""`hf:<network>`: transformers' semantic-segmentation networks, built in, of a local copy or of a config."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from bench_core import Architecture, Departure, Layers, ModelSource, PublishedFile
from bench_core.errors import UnknownNameError
from bench_core.files.paths import expand
from bench_core.weights.files import WEIGHTS_FOLDER, weights_folder
from bench_sources.hf_networks import KINDS, MASK_KINDS, NETWORKS, USUAL, dead_parameters
from bench_sources.names import nearest

PREFIX = "hf"
CHECKPOINT = "checkpoint"
SUFFIX = ".json"
_CONFIG = "config.json"
_FILES = ("model.safetensors", "pytorch_model.bin")
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_DOWNLOADED = ("timm_backbone", "timm_wrapper")


def resolve(name: str) -> Architecture:
    """Return the architecture of hf:<network>; raise UnknownNameError saying what is valid.

    A network is one of NETWORKS, a hub name of which $SEGTRIAL_WEIGHTS has a copy, or a config file.
    """
    text = name.removeprefix(f"{PREFIX}:")
    config, file = config_of(name)
    if file is None:
        built_in = NETWORKS[text]
        declared = _declare(name, built_in.title, config, built_in.paper)
        return replace(declared, parameters={3: built_in.parameters})
    title = text if _HUB_NAME.fullmatch(text) and not text.endswith(SUFFIX) else file.resolve().parent.name
    return _declare(name, title, config, KINDS[config["model_type"]].paper, file)


def config_of(name: str) -> tuple[Mapping[str, Any], Path | None]:
    """Return the config that a name means, and its file unless it is built in; raise as `resolve` does."""
    text = name.removeprefix(f"{PREFIX}:")
    if text in NETWORKS:
        return dict(NETWORKS[text].config), None
    if text in MASK_KINDS:
        raise _predicts_masks(name, text)
    file = _config_file(name, text)
    return _checked(name, file, _read(name, file)), file


def _config_file(name: str, text: str) -> Path:
    own = expand(text, f"the file of model {name!r}")
    if text.endswith(SUFFIX) and own.is_file():
        return own
    is_place = text.startswith((".", "/", "~")) or text.endswith(SUFFIX)
    if not is_place and _HUB_NAME.fullmatch(text):
        folder = weights_folder()
        if folder is not None and (folder / text / _CONFIG).is_file():
            return folder / text / _CONFIG
        raise UnknownNameError(
            f"there is no local copy of {name!r}",
            cause=f"looked for {folder / text / _CONFIG}" if folder else f"${WEIGHTS_FOLDER} is not set",
            fix=f"put its {_CONFIG} and {_FILES[0]} into ${WEIGHTS_FOLDER}/{text}; a spec downloads nothing",
        )
    near = nearest(text.lower(), NETWORKS, USUAL)
    if is_place:
        cause = f"there is no file {own.absolute()}"
    elif text in KINDS:
        cause = f"{text!r} is built from a config of yours only"
    else:
        cause = f"{text!r} is none of the networks {', '.join(NETWORKS)}"
    raise UnknownNameError(
        f"unknown model {name!r}",
        cause=cause,
        fix=f"did you mean '{PREFIX}:{near}'? A config of your own is named by its file, "
        f"{PREFIX}:./folder/{_CONFIG}",
    )


def _read(name: str, file: Path) -> Mapping[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UnknownNameError(
            f"the config of {name!r} cannot be read", cause=f"{file}: {error}", fix="correct the file"
        ) from error
    if not isinstance(found, dict):
        raise UnknownNameError(
            f"the config of {name!r} is not a mapping",
            cause=f"{file} holds {type(found).__name__}",
            fix="give the config.json that transformers writes beside a network's weights",
        )
    return found


def _checked(name: str, file: Path, config: Mapping[str, Any]) -> Mapping[str, Any]:
    kind = config.get("model_type")
    if kind in MASK_KINDS:
        raise _predicts_masks(name, kind)
    if kind not in KINDS:
        raise UnknownNameError(
            f"{name!r} is not a network for semantic segmentation that can be built here",
            cause=f"`model_type` in {file} is {kind!r}",
            fix=f"use one of the types {', '.join(KINDS)}",
        )
    backbone = config.get("backbone_config") or {}
    is_fetched = (
        config.get("backbone")
        or config.get("use_pretrained_backbone")
        or not isinstance(backbone, dict)
        or backbone.get("model_type") in _DOWNLOADED
    )
    if is_fetched:
        raise UnknownNameError(
            f"{name!r} names its backbone instead of describing it",
            cause=f"{file} asks for one that transformers would fetch or have from timm",
            fix="describe it: `backbone_config` with a `model_type` of transformers, and no `backbone`",
        )
    return config


def _predicts_masks(name: str, kind: str) -> UnknownNameError:
    return UnknownNameError(
        f"{name!r} cannot be trained here",
        cause=f"{kind} predicts a set of masks, which a loss of its own matches to the labels; "
        "the protocol's losses need one logit per class and pixel",
        fix=f"use a network of dense logits, {PREFIX}:{USUAL} for example",
    )


def _declare(
    name: str, title: str, config: Mapping[str, Any], paper: str, file: Path | None = None
) -> Architecture:
    kind = KINDS[config["model_type"]]
    multiple = _size_multiple(config)
    departures: tuple[Departure, ...] = ()
    if kind.has_auxiliary_head:
        departures = (
            Departure(
                what="auxiliary head",
                published="trained together with the network where its config says so",
                here="left out",
                because="it takes part in training alone, and the protocol has one loss",
            ),
        )
    return Architecture(
        name=name,
        title=f"{title} (transformers)",
        family="generic",
        runner="torch",
        version=1,
        build="bench_sources.hf_build:build",
        paper=paper,
        pretrained=(CHECKPOINT, "none") if file else ("none",),
        size_multiple=multiple,
        size_minimum=max(multiple, kind.size_minimum),
        batch_minimum=2 if kind.normalizes_a_mean else 1,
        departures=departures,
        dead_parameters=tuple(f"network.{prefix}" for prefix in dead_parameters(config)),
        content=hashlib.sha256(file.read_bytes()).hexdigest() if file else "",
        explained=Layers(encoder=kind.encoder_layers, decoder=kind.decoder_layer),
        requires=("transformers",),
        install="hf",
        weights=partial(_weights, file) if file else None,
    )


def _size_multiple(config: Mapping[str, Any]) -> int:
    patch = config.get("patch_size")
    usual = KINDS[config["model_type"]].size_multiple
    return patch if usual == 16 and isinstance(patch, int) and patch > 0 else usual


def _weights(config_file: Path, source: str, options: Mapping[str, Any]) -> tuple[PublishedFile, ...]:
    """Return the weights beside a config."""
    folder = config_file.parent.absolute()
    first, *others = (PublishedFile(name=name, folder=folder) for name in _FILES)
    return (replace(first, copies=tuple(others), fix="put it beside its config.json"),)


SOURCE = ModelSource(
    prefix=PREFIX,
    runner="torch",
    help=f"transformers: {PREFIX}:<network>, for example {PREFIX}:{USUAL}; {', '.join(NETWORKS)}; "
    f"{PREFIX}:<hub name> of a copy in ${WEIGHTS_FOLDER}; or {PREFIX}:<path> of a config.json of your own",
    resolve=resolve,
    names=lambda: tuple(f"{PREFIX}:{network}" for network in NETWORKS),
    file_suffix=SUFFIX,
)
