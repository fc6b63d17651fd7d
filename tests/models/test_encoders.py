"""Encoders that declarations name: there in the network, and not the whole of it."""

from __future__ import annotations

import pytest
from torch import nn

from bench_core.declarations import Architecture, BuildRequest, resolve_entry
from bench_core.options import complete_options
from bench_core.plugins.wiring import load_registry
from bench_core.protocol.optimizer import build_optimizer
from bench_core.spec.protocol import AdamW

REGISTRY = load_registry()
NAMES = [name for name, model in sorted(REGISTRY.models.items()) if model.encoder]


def built(architecture: Architecture) -> nn.Module:
    size = architecture.size_multiple * -(-max(64, architecture.size_minimum) // architecture.size_multiple)
    options = complete_options(architecture.options, dict(architecture.small))
    network: nn.Module = resolve_entry(architecture.build or "")(
        BuildRequest(
            name=architecture.name, in_channels=3, num_classes=1, image_size=size, pretrained="none",
            options=options,
        )
    )  # fmt: skip
    return network


def test_most_networks_declare_their_encoder() -> None:
    assert len(NAMES) >= 12


@pytest.mark.parametrize("name", [*NAMES, "smp:unet/resnet18", "timm:resnet18"])
def test_the_declared_layers_learn_at_rates_that_fall_towards_the_input(name: str) -> None:
    architecture = REGISTRY.model(name)
    network = built(architecture)
    optimizer = build_optimizer(AdamW(layer_decay=0.5), network, 1.0, architecture.encoder)
    sizes = {
        group["factor"]: sum(item.numel() for item in group["params"]) for group in optimizer.param_groups
    }
    layers = len(architecture.encoder)
    assert sorted(sizes) == [0.5**power for power in range(layers, -1, -1)]
    encoder = sum(size for factor, size in sizes.items() if factor != 1.0)
    assert 0.1 < encoder / sum(sizes.values()) < 1.0
