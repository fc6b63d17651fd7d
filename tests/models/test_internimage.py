"""InternImage: published counts, options, sizes, and the published file loaded strictly."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bench_core.errors import WeightsError
from bench_core.plugins.wiring import load_registry
from bench_gpvm.drop_path import DropPath
from bench_gpvm.internimage.dcnv3 import DCNv3
from bench_gpvm.internimage.network import InternImage, from_published
from bench_gpvm.internimage.weights import INTERNIMAGE_T
from tests.helpers.checkpoints import nothing_drawn, numbered, shapes_alone
from tests.helpers.networks import build_network, finder

FILE = INTERNIMAGE_T.name
COUNTS = {1: 58_371_825, 2: 58_372_338, 3: 58_372_851, 4: 58_373_364}
BACKBONE_COUNT = 28_769_520
BACKBONE_TENSORS = 685
SCALES = 60
"""Of them, two a block, which the published file does not have."""
WIDTHS, DEPTHS = (64, 128, 256, 512), (4, 4, 18, 4)


pytestmark = pytest.mark.usefixtures("one_thread")


def build(**settings: Any) -> InternImage:
    network = build_network("internimage", **settings)
    assert isinstance(network, InternImage)
    return network


def on_meta(**settings: Any) -> InternImage:
    with shapes_alone():
        return build(**settings)


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("classes", COUNTS)
def test_parameter_counts_are_the_published_ones(classes: int) -> None:
    network = on_meta(classes=classes)
    assert count(network) == COUNTS[classes] == load_registry().model("internimage").parameters[classes]
    assert count(network.backbone) == BACKBONE_COUNT
    assert len(network.backbone.state_dict()) == BACKBONE_TENSORS


def test_options_reach_the_network() -> None:
    for settings, first, decoder in (
        ({}, 64, 512),
        ({"variant": "micro"}, 16, 32),
        ({"variant": "micro", "decoder_width": 8}, 16, 8),
    ):
        network = on_meta(**settings)
        assert network.backbone.widths == (first, 2 * first, 4 * first, 8 * first)
        assert network.get_submodule("decode_head.classify").in_channels == decoder
    assert _rates(on_meta()) == pytest.approx([0.2 * index / 29 for index in range(30)])
    assert _rates(on_meta(variant="micro", drop_path=0.4)) == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4])


def test_groups_have_16_channels() -> None:
    groups = [module.groups for module in on_meta().modules() if isinstance(module, DCNv3)]
    assert groups == [4] * 4 + [8] * 4 + [16] * 18 + [32] * 4


def test_a_variant_that_is_not_published_says_so_with_its_numbers() -> None:
    (note,) = build(variant="micro").network_notes
    assert "micro" in note
    assert "not published" in note
    assert not on_meta().network_notes


def test_any_size() -> None:
    network = build(variant="micro").eval()
    for height, width in ((32, 32), (33, 70), (61, 96)):
        images = torch.randn(1, 3, height, width)
        with torch.no_grad():
            features = network.backbone(images)
            assert network(images).shape == (1, 2, height, width)
        sizes = [(-(-height // stride), -(-width // stride)) for stride in (4, 8, 16, 32)]
        assert [tuple(feature.shape[-2:]) for feature in features] == sizes
        assert network.decode_head(features).shape == (1, 2, *sizes[0])


def test_published_size_runs_and_every_parameter_learns_in_the_end() -> None:
    """What predicts offsets and weights gets its gradient once these layers have left zero."""
    network = build(drop_path=0.0)
    for layer in (module for module in network.modules() if isinstance(module, DCNv3)):
        assert not layer.offset.weight.any()
        assert not layer.weight.weight.any()
        nn.init.normal_(layer.offset.weight, std=0.1)
        nn.init.normal_(layer.weight.weight, std=0.1)
    network(torch.randn(2, 3, 32, 32)).square().mean().backward()
    silent = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert silent == []


@pytest.mark.parametrize(("prefix", "wrapper"), [("", "model"), ("backbone.", "state_dict")])
def test_the_published_file_fills_the_backbone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prefix: str, wrapper: str
) -> None:
    monkeypatch.setenv("SEGTRIAL_WEIGHTS", str(tmp_path))
    backbone = published()
    torch.save({wrapper: {prefix + name: t for name, t in (backbone | CLASSIFIER).items()}}, tmp_path / FILE)
    with nothing_drawn():
        network = build(pretrained="imagenet", decoder_width=8)
    report = network.weights_report
    assert (report.file, report.loaded, report.total) == (FILE, BACKBONE_TENSORS - SCALES, BACKBONE_TENSORS)
    own = network.backbone.state_dict()
    scales = {name for name in own if name.endswith("_scale")}
    assert len(scales) == SCALES
    assert all((own[name] == 1).all() for name in scales)
    # Each of the file's tensors has numbers of its own, and is found exactly once.
    found = sorted((tuple(t.shape), t.double().sum().item()) for name, t in own.items() if name not in scales)
    assert found == sorted((tuple(t.shape), t.double().sum().item()) for t in backbone.values())
    for ours, theirs in (
        ("stages.0.downsample.3.weight", "patch_embed.conv2.weight"),
        ("stages.1.downsample.0.weight", "levels.0.downsample.conv.weight"),
        ("stages.2.blocks.17.operator.norm.weight", "levels.2.blocks.17.dcn.dw_conv.1.1.weight"),
        ("stages.2.blocks.0.operator_norm.bias", "levels.2.blocks.0.norm1.0.bias"),
        ("stages.2.blocks.0.feed_forward_norm.bias", "levels.2.blocks.0.norm2.0.bias"),
        ("stages.3.blocks.3.operator.value.weight", "levels.3.blocks.3.dcn.input_proj.weight"),
        ("stages.3.blocks.3.operator.output.weight", "levels.3.blocks.3.dcn.output_proj.weight"),
        ("stages.3.norm.bias", "levels.3.norm.0.bias"),
    ):
        assert torch.equal(own[ours], backbone[theirs])


def test_one_channel_gets_the_sum_over_rgb(tmp_path: Path) -> None:
    file, tensors = tmp_path / "mine.pth", published()
    torch.save(tensors, file)
    with nothing_drawn():
        network = build(pretrained="imagenet", weights=file, channels=1, decoder_width=8)
    stem = network.backbone.state_dict()["stages.0.downsample.0.weight"]
    assert torch.equal(stem, tensors["patch_embed.conv1.weight"].sum(dim=1, keepdim=True))
    assert network.weights_report.notes == (
        "stages.0.downsample.0.weight summed over red, green and blue for one input channel",
    )


def test_a_trained_segmenters_scales_are_taken_but_not_some_of_them(tmp_path: Path) -> None:
    file = tmp_path / "mine.pth"
    scales = {
        f"levels.{stage}.blocks.{block}.gamma{number}": torch.full((WIDTHS[stage],), float(number))
        for stage in range(4)
        for block in range(DEPTHS[stage])
        for number in (1, 2)
    }
    torch.save(published() | scales, file)
    with nothing_drawn():
        network = build(pretrained="imagenet", weights=file, decoder_width=8)
    assert network.weights_report.loaded == BACKBONE_TENSORS
    own = network.backbone.state_dict()
    assert own["stages.2.blocks.5.operator_scale"].unique().tolist() == [1.0]
    assert own["stages.2.blocks.5.feed_forward_scale"].unique().tolist() == [2.0]
    del scales["levels.1.blocks.2.gamma2"]
    torch.save(published() | scales, file)
    with (
        nothing_drawn(),
        pytest.raises(WeightsError, match=r"1 missing \(stages\.1\.blocks\.2\.feed_forward_scale\)"),
    ):
        build(pretrained="imagenet", weights=file, decoder_width=8)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("missing", r"1 missing \(stages\.0\.blocks\.3\.operator\.offset\.bias\)"),
        ("unexpected", r"1 unexpected \(decode_head\.conv_seg\.bias\)"),
        ("shape", r"1 of another shape \(stages\.3\.norm\.bias is \(640,\), not \(512,\)\)"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(tmp_path: Path, change: str, message: str) -> None:
    file, tensors = tmp_path / "mine.pth", published()
    if change == "missing":
        del tensors["levels.0.blocks.3.dcn.offset.bias"]
    elif change == "unexpected":
        tensors["decode_head.conv_seg.bias"] = torch.zeros(2)
    else:
        tensors["levels.3.norm.0.bias"] = torch.zeros(640)
    torch.save(tensors, file)
    with nothing_drawn(), pytest.raises(WeightsError, match=message) as caught:
        build(pretrained="imagenet", weights=file, decoder_width=8)
    assert caught.value.place == str(file)


def test_a_missing_file_is_named_with_its_source_and_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGTRIAL_WEIGHTS", str(tmp_path))
    find = finder("internimage")
    with pytest.raises(WeightsError, match=r"internimage_t_1k_224\.pth is not there") as caught:
        find("imagenet", None, {"variant": "t"})
    assert str(tmp_path / FILE) in (caught.value.cause or "")
    for part in ("OpenGVLab/InternImage", "$SEGTRIAL_WEIGHTS", "`weights:`"):
        assert part in (caught.value.fix or "")
    assert find("none", None, {"variant": "t"}) is None
    with pytest.raises(WeightsError, match="no pretrained weights for internimage with variant micro"):
        find("imagenet", None, {"variant": "micro"})
    (tmp_path / FILE).touch()
    assert find("imagenet", None, {"variant": "t"}) == tmp_path / FILE
    with pytest.raises(WeightsError, match="no pretrained weights for internimage from scratch"):
        build(variant="micro", weights=tmp_path / FILE)


def test_a_whole_network_is_renamed_part_by_part() -> None:
    names = {
        "backbone.levels.0.blocks.1.gamma1": "backbone.stages.0.blocks.1.operator_scale",
        "decode_head.fpn_bottleneck.bn.weight": "decode_head.fuse.1.weight",
        "auxiliary_head.conv_seg.bias": "auxiliary_head.conv_seg.bias",
    }
    assert set(from_published({name: torch.zeros(1) for name in names})) == set(names.values())


CLASSIFIER = {
    "conv_head.0.weight": torch.zeros(3, 2, 1, 1),
    "conv_head.1.0.running_mean": torch.zeros(3),
    "head.weight": torch.zeros(5, 3),
    "head.bias": torch.zeros(5),
}


def published() -> dict[str, Tensor]:
    """Return the backbone's tensors as the authors' classifier has them, each with its own numbers."""
    return dict(_published())


@functools.cache
def _published() -> dict[str, Tensor]:
    shapes: dict[str, tuple[int, ...]] = {}

    def layer(name: str, out: int, *rest: int, bias: bool = True) -> None:
        shapes[f"{name}.weight"] = (out, *rest)
        if bias:
            shapes[f"{name}.bias"] = (out,)

    layer("patch_embed.conv1", 32, 3, 3, 3)
    layer("patch_embed.norm1.1", 32)
    layer("patch_embed.conv2", 64, 32, 3, 3)
    layer("patch_embed.norm2.1", 64)
    for stage, (width, depth) in enumerate(zip(WIDTHS, DEPTHS, strict=True)):
        points = 9 * width // 16
        for index in range(depth):
            block = f"levels.{stage}.blocks.{index}"
            layer(f"{block}.norm1.0", width)
            layer(f"{block}.dcn.dw_conv.0", width, 1, 3, 3)
            layer(f"{block}.dcn.dw_conv.1.1", width)
            layer(f"{block}.dcn.offset", 2 * points, width)
            layer(f"{block}.dcn.mask", points, width)
            layer(f"{block}.dcn.input_proj", width, width)
            layer(f"{block}.dcn.output_proj", width, width)
            layer(f"{block}.norm2.0", width)
            layer(f"{block}.mlp.fc1", 4 * width, width)
            layer(f"{block}.mlp.fc2", width, 4 * width)
        layer(f"levels.{stage}.norm.0", width)
        if stage < 3:
            layer(f"levels.{stage}.downsample.conv", 2 * width, width, 3, 3, bias=False)
            layer(f"levels.{stage}.downsample.norm.1", 2 * width)
    return numbered(shapes)


def _rates(network: InternImage) -> list[float]:
    return [module.rate for module in network.modules() if isinstance(module, DropPath)]
