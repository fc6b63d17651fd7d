"""From a declared architecture to its network: files found, builder called, result checked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench_core.declarations import Architecture, BuildRequest, resolve_entry
from bench_core.errors import PluginError
from bench_core.weights.files import find_files

if TYPE_CHECKING:
    from torch import nn


def build_network(
    architecture: Architecture,
    *,
    in_channels: int,
    num_classes: int,
    image_size: int,
    pretrained: str = "none",
    weights: Path | None = None,
    options: Mapping[str, Any],
) -> nn.Module:
    """Build an architecture's network from images [B, in_channels, H, W] to logits [B, num_classes, H, W].

    Random weights come from torch's global generator. `options` are complete (`complete_options`), `weights`
    is a file of the user's own. Raises PluginError if there is no builder or it returns something else, and
    WeightsError if pretrained weights are not there or do not fit.
    """
    import torch

    if architecture.build is None:
        raise PluginError(f"model {architecture.name} cannot be built", cause=architecture.unavailable)
    request = BuildRequest(
        name=architecture.name,
        in_channels=in_channels,
        num_classes=num_classes,
        image_size=image_size,
        pretrained=pretrained,
        weights_files=find_files(architecture, pretrained, options, weights),
        options=options,
    )
    network = resolve_entry(architecture.build)(request)
    if not isinstance(network, torch.nn.Module):
        raise PluginError(
            f"the builder of {architecture.name} returned {type(network).__name__}, not an nn.Module",
            fix="return the network from the builder",
        )
    return network
