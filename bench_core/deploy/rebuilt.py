"""A network rebuilt from an exported folder: its architecture by name, filled with the folder's tensors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench_core.errors import WeightsError
from bench_core.files.bounded import read_json
from bench_core.files.hashes import sha256_of
from bench_core.network import build_network
from bench_core.options import complete_options
from bench_core.plugins.registry import Registry

if TYPE_CHECKING:
    from torch import nn


def load_network(folder: str | Path, registry: Registry | None = None) -> nn.Module:
    """Return the network of a folder that `bench export model` wrote, in evaluation mode on the CPU.

    It takes images as the folder's model.json says. `registry` holds the plugins where its architecture is
    not an installed one's. Raises WeightsError for a folder that is damaged, holds no state dict, or whose
    tensors do not fit the architecture's code; UnknownNameError for an architecture that is not here.
    """
    from bench_core.plugins.wiring import load_registry
    from bench_core.weights.load import read_checkpoint

    folder = Path(folder)
    path = folder / "weights.pt"
    about = _about(folder)
    try:
        expected = about["files"]["weights.pt"]["sha256"]
        model, (_, channels, size, _) = about["model"], about["input"]["shape"]
        name, given, classes = str(model["name"]), dict(model["options"]), int(about["output"]["shape"][1])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise WeightsError(
            "the folder holds no state dict",
            place=str(folder),
            cause=repr(error),
            fix="export it again, state-dict among its formats",
        ) from error
    tensors = read_checkpoint(path)
    if sha256_of(path) != expected:
        raise WeightsError("weights.pt is not what model.json says", place=str(path), fix="export it again")
    declared = (registry or load_registry()).model(name)
    network = build_network(
        declared,
        in_channels=int(channels),
        num_classes=classes,
        image_size=int(size),
        options=complete_options(declared.options, given),
    )
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise WeightsError(
            f"the tensors do not fit {name}",
            place=str(path),
            cause=str(error).splitlines()[-1].strip(),
            fix="use the version of the model's code that trained them",
        ) from error
    return network.eval()


def _about(folder: Path) -> Mapping[str, Any]:
    path = folder / "model.json"
    try:
        found = read_json(path)
    except (OSError, ValueError) as error:
        raise WeightsError(
            "not a folder that `bench export model` wrote",
            place=str(path),
            cause=getattr(error, "strerror", None) or str(error),
            fix="name one, or export the network again",
        ) from error
    return found if isinstance(found, dict) else {}
