"""Layers for class activation maps: one tensor of maps, before the last nonlinear step to the logits."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from bench_core import Architecture, BuildRequest, Layers
from bench_core.conformance.candidate import Candidate
from bench_core.conformance.model_checks import Wrong, class_activation
from bench_core.plugins.wiring import load_registry
from bench_core.taps import name_input, name_output


class Pair(nn.Module):
    """Returns its features twice, as networks do that keep what continues and what goes out apart."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(1, 4)

    def forward(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        return maps, self.norm(maps)


class Net(nn.Module):
    """A little of everything that can be declared rightly or wrongly."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.GELU())
        self.pair = Pair()
        self.pixels = nn.Linear(4, 4)
        self.decoder = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.GELU())
        self.beside = nn.Conv2d(3, 4, 1)
        self.head = nn.Conv2d(4, classes, 1)

    def forward(self, images: Tensor) -> Tensor:
        self.beside(images)
        _, maps = self.pair(self.encoder(images))
        maps = self.pixels(maps.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        logits = self.head(self.decoder(maps))
        return functional.interpolate(logits, size=images.shape[-2:], mode="bilinear")


def build(request: BuildRequest) -> nn.Module:
    network = Net(request.num_classes)
    name_output(network, "pair", "normalized")
    name_input(network, "decoder", "entering")
    return network


def judged(*layers: str) -> None:
    declared = Architecture(
        name="net",
        family="x",
        runner="torch",
        version=1,
        build=build,
        explained=Layers(encoder=layers),
        size_minimum=8,
    )
    class_activation(Candidate(declared))


@pytest.mark.parametrize(
    "layer", ["encoder", "encoder.0", "pair.norm", "normalized", "entering", "decoder.0"]
)
def test_layers_before_a_nonlinear_step_hold(layer: str) -> None:
    judged(layer)


@pytest.mark.parametrize(
    ("layer", "says"),
    [
        ("decoder", "only linear steps follow decoder"),
        ("decoder.1", "only linear steps"),
        ("head", "only linear steps"),
        ("pair", "tuple, not one tensor"),
        ("pixels", "channels come last"),
        ("beside", "takes no part in the logits"),
        ("nowhere", "there is no layer"),
    ],
)
def test_layers_that_say_nothing_or_break_a_reader_are_refused(layer: str, says: str) -> None:
    with pytest.raises(Wrong, match=says):
        judged(layer)


@pytest.mark.parametrize(
    ("model", "layer"),
    [("u-net", "decoder.4"), ("segformer", "decode_head.fuse"), ("vw-conv", "backbone.stages.3")],
)
def test_what_is_refused_of_real_networks(model: str, layer: str) -> None:
    declared = load_registry().model(model)
    with pytest.raises(Wrong):
        class_activation(Candidate(replace(declared, explained=Layers(encoder=(layer,))), declared.small))


MORE_FROM_SOURCES = (
    *("smp:segformer/mit_b0", "smp:fpn/resnet18", "timm:resnet18"),
    *("hf:segformer", "hf:mobilevitv2", "monai:basicunet"),
)


@pytest.mark.parametrize(
    "name",
    [
        *("smp:unet/resnet18", "timm:resnet18/fpn", "hf:mobilenet_v2", "monai:attentionunet"),
        *(pytest.param(name, marks=pytest.mark.slow) for name in MORE_FROM_SOURCES),
    ],
)
def test_sources_declare_an_encoders_and_a_decoders_layer(name: str) -> None:
    declared = load_registry().model(name)
    for package in declared.requires:
        pytest.importorskip(package)
    assert declared.explained.encoder and declared.explained.decoder
    class_activation(Candidate(declared))


def keep(seen: list[Tensor], module: nn.Module, arguments: object, output: Tensor) -> None:
    seen.append(output)


def test_a_name_is_the_tensor_itself_and_survives_copies() -> None:
    network = build(BuildRequest(in_channels=3, num_classes=1, image_size=8, pretrained="none"))
    for copied in (network, copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        seen: list[Tensor] = []
        copied.get_submodule("normalized").register_forward_hook(partial(keep, seen))
        copied(torch.zeros(1, 3, 8, 8))
        assert len(seen) == 1 and seen[0].shape == (1, 4, 4, 4)
    assert not any("normalized" in name for name in network.state_dict())


def test_every_declared_study_network_has_both() -> None:
    for declared in load_registry().models.values():
        assert len(declared.explained.encoder) >= 3 and declared.explained.decoder, declared.name
