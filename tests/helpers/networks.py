"""Registered architectures, built as a job builds them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from bench_core import BuildRequest
from bench_core.declarations import resolve_entry
from bench_core.options import complete_options
from bench_core.plugins import load_registry


def build_network(
    name: str,
    *,
    pretrained: str = "none",
    weights: Path | None = None,
    channels: int = 3,
    classes: int = 2,
    **options: Any,
) -> nn.Module:
    """Build a registered architecture under these options, completed by its declaration's."""
    declared = load_registry().model(name)
    assert declared.build is not None
    network = resolve_entry(declared.build)(
        BuildRequest(
            name=name,
            in_channels=channels,
            num_classes=classes,
            image_size=64,
            pretrained=pretrained,
            weights_file=weights,
            options=complete_options(declared.options, options),
        )
    )
    assert isinstance(network, nn.Module)
    return network
