"""HiFormer: published counts, the fusion that is not computed, sizes, and two published files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models import resnet34, resnet50
from torchvision.ops import StochasticDepth

from bench_core.errors import TrainingError, WeightsError
from bench_core.plugins.wiring import load_registry
from bench_sma.hiformer.network import HiFormer
from tests.helpers.checkpoints import nothing_drawn, shapes_alone
from tests.helpers.networks import build_network, finder
from tests.helpers.swin_file import filled, value_of, write_swin_tiny

COUNTS = {1: 25_510_955, 3: 25_511_245, 4: 25_511_390}
NO_GRADIENT, ZERO_GRADIENT = 2_442_528, 780_864
"""Parameters of the fusion that the published network computes in vain, for all three classes."""
RESNET_50, RESNET_34, SWIN = (
    "resnet50-0676ba61.pth",
    "resnet34-b627a593.pth",
    "swin_tiny_patch4_window7_224.pth",
)
SWIN_TENSORS, TABLES = 10 * 13 + 2 * 3, 10


def build(**settings: Any) -> HiFormer:
    network = build_network("hiformer", **settings)
    assert isinstance(network, HiFormer)
    return network


def on_meta(**settings: Any) -> HiFormer:
    with shapes_alone():
        return HiFormer(**settings)


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_parameter_counts_are_the_published_ones() -> None:
    declared = load_registry().model("hiformer")
    for classes in declared.parameters:
        network = on_meta(num_classes=classes)
        assert count(network) == declared.parameters[classes]
        assert count(network) == COUNTS.get(classes, COUNTS[1] + (classes - 1) * 145)
    dead = [p for name, p in network.named_parameters() if name.startswith(declared.dead_parameters)]
    assert sum(parameter.numel() for parameter in dead) == NO_GRADIENT + ZERO_GRADIENT


@pytest.mark.parametrize(
    ("settings", "millions"),
    [
        ({"variant": "s"}, 23.25),
        ({"variant": "l"}, 29.52),
        ({"window": 8, "position_size": 256}, 25.63),
        ({"position_size": 448}, 26.64),
        ({"window": 8, "position_size": 512}, 27.11),
    ],
)
def test_variants_and_positions_of_ones_own_have_published_counts(
    settings: dict[str, Any], millions: float
) -> None:
    assert count(on_meta(num_classes=3, **settings)) / 1e6 == pytest.approx(millions, abs=0.005)


def test_drop_path_grows_linearly_over_the_swin_blocks() -> None:
    network = on_meta(drop_path=0.9)
    rates = [module.p for module in network.modules() if isinstance(module, StochasticDepth)]
    assert rates == pytest.approx([0.1 * step for step in range(10)])


def test_sizes_of_multiples_of_16() -> None:
    network = build(variant="tiny", channels=1, classes=4).eval()
    with torch.no_grad():
        for height, width in ((32, 32), (48, 64), (240, 32)):
            assert network(torch.randn(2, 1, height, width)).shape == (2, 4, height, width)
    with pytest.raises(TrainingError, match="64x40 pixels"):
        network(torch.randn(1, 1, 64, 40))
    assert network.network_notes == ("variant tiny: narrower than the published network",)


@pytest.mark.parametrize("dlf", ["reference", "paper"])
def test_what_the_fusion_leaves_out_does_not_reach_the_decoder(dlf: str) -> None:
    torch.manual_seed(0)
    fusion = build(variant="tiny", dlf=dlf).fusion.double()
    maps = [torch.randn(2, 24, 8, 8).double(), torch.randn(2, 96, 2, 2).double()]
    with torch.no_grad():
        fused = fusion(*maps)
        whole = fusion.with_class_tokens(*maps)
        for ours, published in zip(fused, whole, strict=True):
            assert torch.equal(ours.flatten(2).transpose(1, 2), published[:, 1:])
        for name, parameter in fusion.named_parameters():
            if name.startswith(("leave.", "attend.", "come_back.")):
                nn.init.normal_(parameter)
        for before, after in zip(whole, fusion.with_class_tokens(*maps), strict=True):
            assert torch.equal(before[:, 1:], after[:, 1:])
            assert not torch.allclose(before[:, 0], after[:, 0])


def test_the_papers_fusion_uses_its_blocks() -> None:
    torch.manual_seed(0)
    published = build(variant="tiny").eval()
    paper = build(variant="tiny", dlf="paper").eval()
    paper.load_state_dict(published.state_dict())
    images = torch.randn(1, 3, 64, 64)
    assert not torch.allclose(paper(images), published(images))
    for network, live in ((published, False), (paper, True)):
        network(images).square().mean().backward()
        gradients = {name: p.grad is not None for name, p in network.fusion.named_parameters()}
        for name, has_gradient in gradients.items():
            part = name.partition(".")[0]
            expected = part in ("positions", "norms") or (live and part in ("blocks", "class_norms"))
            assert has_gradient == expected, name


def test_positions_are_resized_to_the_grid() -> None:
    fusion = build(variant="tiny").fusion
    ramp = torch.linspace(0, 1, 56)[:, None].expand(56, 56).reshape(1, -1, 1).expand(-1, -1, 24)
    with torch.no_grad():
        fusion.positions[0][:, 1:] = ramp
        at_224, at_448 = (fusion._positions(0, torch.empty(1, 24, side, side)) for side in (56, 112))
        assert at_224 is fusion.positions[0]
        assert torch.equal(at_448[:, 0], at_224[:, 0])
        grid = at_448[0, 1:, 0].view(112, 112)
    assert torch.allclose(grid[:, :1].expand(-1, 112), grid)
    # A bicubic kernel keeps a ramp's steps over whole pixels.
    steps = grid[4:-4, 0].unfold(0, 3, 1).diff(dim=1).sum(dim=1)
    assert torch.allclose(steps, torch.full_like(steps, 1 / 55), atol=1e-5)


def test_inner_size_resizes_images_and_logits() -> None:
    torch.manual_seed(0)
    outer, inner = build(variant="tiny").eval(), build(variant="tiny", inner_size=64).eval()
    inner.load_state_dict(outer.state_dict())
    images = torch.randn(1, 3, 90, 70)
    with torch.no_grad():
        resized = functional.interpolate(images, (64, 64), mode="bilinear", align_corners=False)
        expected = functional.interpolate(outer(resized), (90, 70), mode="bilinear", align_corners=False)
        torch.testing.assert_close(inner(images), expected)


def test_the_gradient_of_one_image_in_training_is_true() -> None:
    """PyTorch's batch normalization on CPUs errs for some memory layouts of a single image."""
    torch.manual_seed(0)
    network = HiFormer(3, 2, "tiny", drop_path=0.0).double().train()
    images, direction = torch.randn(2, 1, 3, 64, 64, dtype=torch.float64)
    images.requires_grad_()
    (gradient,) = torch.autograd.grad(network(images).square().mean(), images)
    step = 1e-7 * direction
    with torch.no_grad():
        above, below = (network(images + sign * step).square().mean().item() for sign in (1, -1))
    assert (gradient * direction).sum().item() == pytest.approx((above - below) / 2e-7, rel=1e-5)


def write_resnet(folder: Path, name: str = RESNET_50, **changes: tuple[int, ...]) -> Path:
    """Write a file with torchvision's own names and shapes."""
    with shapes_alone():
        network = resnet50() if name.startswith("resnet50") else resnet34()
    # The published file is older than the counts of batches.
    shapes = {key: tuple(tensor.shape) for key, tensor in network.state_dict().items() if tensor.ndim}
    torch.save(filled(shapes | changes), folder / name)
    return folder / name


def constant(own: dict[str, Tensor], name: str, theirs: str, times: int = 1) -> bool:
    return torch.allclose(own[name], torch.tensor(times * value_of(theirs)))


@pytest.mark.parametrize("given", [None, RESNET_50, SWIN])
def test_two_files_fill_the_pyramid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str | None
) -> None:
    write_resnet(tmp_path)
    write_swin_tiny(tmp_path)
    monkeypatch.delenv("SEGTRIAL_WEIGHTS", raising=False)
    if given is None:
        monkeypatch.setenv("SEGTRIAL_WEIGHTS", str(tmp_path))
    weights = tmp_path / given if given else None
    with nothing_drawn():
        network = build(pretrained="imagenet", weights=weights, channels=1 if given else 3)
    own, report = network.state_dict(), network.weights_report
    in_file = [name for name in network.resnet.state_dict() if not name.endswith("num_batches_tracked")]
    assert report.file == f"{RESNET_50}, {SWIN}"
    assert len(report.sha256) == 2 * 64 + len(", ")
    assert (report.loaded, report.total) == (len(in_file) + SWIN_TENSORS, len(own))
    assert bool(report.notes) == bool(given)
    assert constant(own, "resnet.conv1.weight", "conv1.weight", 3 if given else 1)
    assert constant(own, "resnet.layer3.5.bn3.running_var", "layer3.5.bn3.running_var")
    assert constant(own, "levels.2.blocks.5.feed_forward.0.weight", "layers.2.blocks.5.mlp.fc1.weight")
    assert constant(own, "levels.1.merge.reduction.weight", "layers.0.downsample.reduction.weight")
    assert constant(own, "levels.2.merge.norm.bias", "layers.1.downsample.norm.bias")
    assert own["levels.0.project.weight"].isnan().all()


def test_the_authors_loading_keeps_tables_alone(tmp_path: Path) -> None:
    write_swin_tiny(tmp_path)
    file = write_resnet(tmp_path, RESNET_34)
    torch.manual_seed(0)
    network = build(pretrained="imagenet", weights=file, variant="s", window=8, swin_weights="reference")
    report, own = network.weights_report, network.state_dict()
    tables = [name for name in own if name.endswith("bias_table")]
    in_file = [name for name in network.resnet.state_dict() if not name.endswith("num_batches_tracked")]
    assert len(tables) == TABLES
    assert report.loaded == len(in_file) + TABLES
    assert [note.partition(" ")[0] for note in report.notes] == ["tables", "of"]
    assert all(own[name].std() < 1e-6 for name in tables)
    assert own["levels.2.blocks.5.feed_forward.0.weight"].std().item() == pytest.approx(0.02, rel=0.1)
    assert torch.all(own["levels.1.merge.norm.weight"] == 1)


def test_a_missing_file_is_named_with_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGTRIAL_WEIGHTS", str(tmp_path))
    find = finder("hiformer")
    assert find("none", None, {}) is None
    with pytest.raises(WeightsError, match=r"resnet34-b627a593\.pth is not there"):
        find("imagenet", None, {"variant": "l"})
    resnet = write_resnet(tmp_path)
    for given in (None, resnet):
        with pytest.raises(WeightsError, match=f"{SWIN} is not there") as caught:
            find("imagenet", given, {"variant": "b"})
        assert "github.com/SwinTransformer" in (caught.value.fix or "")
        assert str(tmp_path) in (caught.value.cause or "")
    write_swin_tiny(tmp_path)
    assert find("imagenet", None, {"variant": "b"}) == resnet
    other = tmp_path / "mine.pth"
    with pytest.raises(WeightsError, match="does not exist"):
        find("imagenet", other, {"variant": "b"})
    other.touch()
    with pytest.raises(WeightsError, match="needs 2 weights files"):
        find("imagenet", other, {"variant": "b"})
    with pytest.raises(WeightsError, match="variant tiny"):
        find("imagenet", None, {"variant": "tiny"})
    with pytest.raises(WeightsError, match="no pretrained weights"):
        build(variant="tiny", weights=resnet)


def test_a_file_that_does_not_fit_fails(tmp_path: Path) -> None:
    swin = write_swin_tiny(tmp_path)
    resnet = write_resnet(tmp_path, **{"layer2.0.conv2.weight": (256, 128, 3, 3)})
    with nothing_drawn(), pytest.raises(WeightsError, match=r"layer2\.0\.conv2\.weight is \(256") as caught:
        build(pretrained="imagenet", weights=swin)
    assert caught.value.place == str(resnet)
    write_resnet(tmp_path)
    torch.save({"norm.weight": torch.ones(768)}, swin)
    with nothing_drawn(), pytest.raises(WeightsError, match="136 missing") as caught:
        build(pretrained="imagenet", weights=resnet)
    assert caught.value.place == str(swin)
