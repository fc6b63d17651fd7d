"""Names `monai:<network>` resolve without MONAI, and every network builds where it is installed."""

from __future__ import annotations

import pickle

import pytest

from bench_core import BuildRequest
from bench_core.declarations import resolve_entry
from bench_core.errors import UnknownNameError, WeightsError
from bench_core.plugins.wiring import load_registry
from bench_sources.monai_source import NETWORKS, SOURCE, resolve
from tests.helpers.checkpoints import nothing_drawn
from tests.helpers.networks import build_network


def test_the_registry_knows_the_source_and_declarations_cross_process_borders() -> None:
    declared = load_registry().model("monai:segresnet")
    assert (declared.family, declared.runner, declared.pretrained) == ("generic", "torch", ("none",))
    assert pickle.loads(pickle.dumps(declared)).name == "monai:segresnet"
    assert [resolve(name).name for name in SOURCE.names()] == [f"monai:{network}" for network in NETWORKS]


@pytest.mark.parametrize(
    ("name", "fix"),
    [
        ("monai:UNet", "monai:unet"),
        ("monai:swin-unetr", "monai:swinunetr"),
        ("monai:segres", "monai:segresnet"),
        ("monai:", "monai:unet"),
    ],
)
def test_wrong_names_name_the_nearest(name: str, fix: str) -> None:
    with pytest.raises(UnknownNameError) as caught:
        resolve(name)
    assert f"'{fix}'" in (caught.value.fix or "")


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize(("channels", "classes"), [(1, 1), (3, 4)])
def test_networks_give_logits_and_all_but_the_declared_parameters_gradients(
    network: str, channels: int, classes: int
) -> None:
    declared = resolve(f"monai:{network}")
    for package in declared.requires:
        pytest.importorskip(package)
    import torch

    step = declared.size_multiple
    size = 64 if step > 1 else 45
    request = BuildRequest(
        name=declared.name, in_channels=channels, num_classes=classes, image_size=size, pretrained="none"
    )
    with nothing_drawn():
        module = resolve_entry(declared.build)(request)  # type: ignore[arg-type]
    logits = module(torch.randn(2, channels, size, size))
    assert logits.shape == (2, classes, size, size)
    logits.square().mean().backward()
    silent = {name for name, parameter in module.named_parameters() if parameter.grad is None}
    dead = {name for name, _ in module.named_parameters() if name.startswith(declared.dead_parameters or "-")}
    assert silent == dead


def test_weights_are_refused() -> None:
    pytest.importorskip("monai")
    with pytest.raises(WeightsError, match="no pretrained weights"):
        build_network("monai:unet", pretrained="imagenet")
