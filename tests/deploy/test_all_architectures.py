"""Every architecture of the study, small and at random weights, in every format: the same logits."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
import torch
from torch import nn

from bench_core.declarations import Task
from bench_core.deploy.draws import Draws
from bench_core.deploy.formats import FORMATS, Network
from bench_core.deploy.tried import try_formats
from bench_core.plugins.wiring import load_registry
from bench_core.spec.training import Scoring
from bench_sma.swin_umamba.scan.dispatcher import LOOPS_ARE_EXPORTED
from bench_sma.swin_umamba.vmamba import FourWayScan, to_grid, to_maps
from tests.helpers.networks import build_network
from tests.helpers.told_places import told_places

torch.set_num_threads(1)
ARCHITECTURES = [model for model in load_registry().models.values() if model.build is not None]
SOURCES = ["smp:unet/resnet18", "timm:convnext_atto/uper", "hf:segformer", "monai:basicunet"]
TASK = Task(classes=("a", "b"), channels=3)


def small(name: str, wanted: int = 64) -> Network:
    """Build a network with the declaration's small options; its last layer tells classes apart."""
    declared = load_registry().model(name)
    size = max(wanted, declared.size_minimum)
    torch.manual_seed(0)
    module = build_network(name, classes=3, size=size, **declared.small).eval()
    images = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(1))
    return Network(module, images, Draws(module, images[:1], 7))


@pytest.mark.slow
@pytest.mark.parametrize("name", [*(model.name for model in ARCHITECTURES), *SOURCES])
def test_each_file_stands_for_its_network(tmp_path: Path, name: str) -> None:
    tried = try_formats(small(name), list(FORMATS), tmp_path, TASK, Scoring(), "{}")
    assert tried.failed == {} and told_places(tmp_path) == []
    for name, parity in tried.parities.items():
        assert parity.batch == "any" and parity.max_abs_difference <= 1e-4 * max(1.0, parity.largest_logit), (
            name
        )


class Scanned(nn.Module):
    """Images [B, 3, h, w] to as many logits, by four selective scans."""

    def __init__(self) -> None:
        super().__init__()
        self.scan = FourWayScan(3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return to_maps(self.scan(to_grid(images)))


@pytest.mark.parametrize(
    "formats", [["torchscript"], pytest.param(["torchscript", "onnx"], marks=pytest.mark.slow)], ids="-".join
)
def test_a_selective_scan_is_written_step_by_step(tmp_path: Path, formats: list[str]) -> None:
    torch.manual_seed(0)
    images = torch.randn(2, 3, 5, 7)  # 35 steps, which no chunk divides
    module = Scanned().eval()
    network = Network(module, images, Draws(module, images[:1], 7))
    tried = try_formats(network, formats, tmp_path, TASK, Scoring(), "{}")
    assert tried.failed == {} and list(tried.parities) == formats and told_places(tmp_path) == []
    for name, parity in tried.parities.items():
        assert parity.batch == "any" and parity.max_abs_difference < 1e-5 * parity.largest_logit, name
    if "onnx" in formats:
        nodes = [node.op_type for node in onnx.load(tmp_path / "network.onnx").graph.node]
        assert nodes.count("Scan") == (1 if LOOPS_ARE_EXPORTED else 0)


@pytest.mark.slow
def test_thousands_of_steps_are_written(tmp_path: Path) -> None:
    """4,096 steps in the first stage."""
    tried = try_formats(small("swin-umamba", 256), list(FORMATS), tmp_path, TASK, Scoring(), "{}")
    assert tried.failed == {}
    for name, parity in tried.parities.items():
        assert parity.batch == "any" and parity.max_abs_difference <= 1e-5 * parity.largest_logit, name


def test_draws_are_the_same_in_every_pass_and_for_every_image() -> None:
    class Drawing(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            first = torch.rand(images.shape[0], 2)
            second = torch.randn(size=(images.shape[0], 2), dtype=torch.float64)
            return torch.cat([first, second.float()], dim=1)

    network = Drawing()
    images = torch.zeros(1, 3, 4, 4)
    draws = Draws(network, images, 3)
    with draws.fixed():
        once, again, many = network(images), network(images), network(images.expand(3, 3, 4, 4))
    assert torch.equal(once, again) and torch.equal(many, once.expand(3, 4))
    assert len(set(once[0].tolist())) == 4
    assert not torch.equal(network(images), once)
