"""Registered architectures, built as a job builds them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from bench_core import Architecture
from bench_core import network as core
from bench_core.options import complete_options
from bench_core.plugins.wiring import load_registry
from bench_core.weights.files import find_files


def build_network(
    name: str,
    *,
    pretrained: str = "none",
    weights: Path | None = None,
    channels: int = 3,
    classes: int = 2,
    size: int = 64,
    **options: Any,
) -> nn.Module:
    """Build a registered architecture under these options, completed by its declaration's."""
    declared = load_registry().model(name)
    return core.build_network(
        declared,
        in_channels=channels,
        num_classes=classes,
        image_size=size,
        pretrained=pretrained,
        weights=weights,
        options=complete_options(declared.options, options),
    )


def finder(model: Architecture | str) -> Callable[[str, Path | None, Mapping[str, Any]], Path | None]:
    """Return what finds a model's first weights file for a source, the user's own file and some options."""
    declared = load_registry().model(model) if isinstance(model, str) else model

    def find(source: str, given: Path | None, options: Mapping[str, Any]) -> Path | None:
        complete = complete_options(declared.options, options)
        return next(iter(find_files(declared, source, complete, given)), None)

    return find
