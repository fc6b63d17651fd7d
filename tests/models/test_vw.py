"""VW-MiT and VW-Conv: published counts, window attention against a direct form, published files, sizes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from bench_core.errors import TrainingError, WeightsError
from bench_core.plugins.wiring import load_registry
from bench_gpvm.drop_path import DropPath
from bench_gpvm.mit import MixTransformer
from bench_gpvm.vw.head import WINDOWS, VaryingWindowAttention, fold_contexts, to_map, to_windows
from tests.helpers.checkpoints import nothing_drawn, numbered, numbered_like, shapes_alone
from tests.helpers.mit_file import authors_file
from tests.helpers.networks import build_network, finder

COUNTS = {
    "vw-mit": {1: 51_422_273, 2: 51_422_786, 3: 51_423_299, 4: 51_423_812},
    "vw-conv": {1: 57_004_321, 2: 57_004_834, 3: 57_005_347, 4: 57_005_860},
}
BACKBONES = {"vw-mit": 44_072_128, "vw-conv": 49_456_032}
SMALLEST = {"vw-mit": "b0", "vw-conv": "atto"}
WIDTHS, DEPTHS = (96, 192, 384, 768), (3, 3, 27, 3)
FILE = "convnext_small_1k_224_ema.pth"


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("name", COUNTS)
def test_parameter_counts_are_the_published_ones(name: str) -> None:
    for classes, count in COUNTS[name].items():
        with shapes_alone():
            network = build_network(name, classes=classes)
        assert sum(p.numel() for p in network.parameters()) == count
        assert count == load_registry().model(name).parameters[classes]
        backbone = network.get_submodule("backbone")
        assert sum(p.numel() for p in backbone.parameters()) == BACKBONES[name]


@pytest.mark.parametrize("name", SMALLEST)
@pytest.mark.parametrize("size", [(128, 128), (192, 256)])
def test_multiples_of_64(name: str, size: tuple[int, int]) -> None:
    network = build_network(name, variant=SMALLEST[name]).eval()
    with torch.no_grad():
        assert network(torch.randn(1, 3, *size)).shape == (1, 2, *size)


@pytest.mark.parametrize("size", [(64, 64), (128, 160), (200, 128)])
def test_other_sizes_are_refused(size: tuple[int, int]) -> None:
    network = build_network("vw-conv", variant="atto").eval()
    with pytest.raises(TrainingError, match=f"{size[0]}x{size[1]} pixels") as caught:
        network(torch.randn(1, 3, *size))
    assert "multiples of 64, at least 128" in (caught.value.fix or "")


def test_a_training_batch_of_one_is_refused_and_of_two_is_not() -> None:
    network = build_network("vw-mit", variant="b0").train()
    network(torch.randn(2, 3, 128, 128))
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        network(torch.randn(1, 3, 128, 128))


@pytest.mark.parametrize("name", SMALLEST)
def test_options_reach_the_network(name: str) -> None:
    network = build_network(
        name, variant=SMALLEST[name], decoder_width=128, nheads=4, short_cut=False, drop_path=0.2
    )
    attentions = [module for module in network.modules() if isinstance(module, VaryingWindowAttention)]
    assert [(a.ratio, a.heads, a.shortcut) for a in attentions] == [
        (2, 4, False),
        (4, 4, False),
        (8, 4, False),
    ]
    assert all(a.query.in_features == 128 for a in attentions)
    rates = [module.rate for module in network.modules() if isinstance(module, DropPath)]
    assert rates == pytest.approx([0.2 * index / (len(rates) - 1) for index in range(len(rates))])


@pytest.mark.parametrize("name", SMALLEST)
def test_an_images_gradient_is_the_same_alone_and_in_a_batch(name: str) -> None:
    network = build_network(name, variant=SMALLEST[name]).double().eval()
    for attention in network.modules():
        if isinstance(attention, VaryingWindowAttention):
            nn.init.ones_(attention.output_norm.weight)
    images = torch.randn(2, 3, 128, 128, dtype=torch.float64, requires_grad=True)
    logits = network(images)
    weights = torch.randn_like(logits)
    (together,) = torch.autograd.grad((logits * weights).sum(), images)
    (alone,) = torch.autograd.grad((network(images[:1]) * weights[:1]).sum(), images)
    torch.testing.assert_close(alone[0], together[0], rtol=0, atol=1e-10 * together.abs().max().item())


def test_heads_that_cannot_share_the_width_are_refused() -> None:
    with pytest.raises(TrainingError, match="3 attention heads") as caught:
        build_network("vw-mit", variant="b0", decoder_width=64, nheads=3)
    assert "divides `decoder_width`" in (caught.value.fix or "")


def test_windows_go_back_to_their_place() -> None:
    maps = torch.randn(2, 5, 16, 24)
    windows = to_windows(maps)
    assert windows.shape == (2 * WINDOWS**2, 2 * 3, 5)
    assert torch.equal(windows[9], maps[0, :, 2:4, 3:6].flatten(1).T)
    assert torch.equal(to_map(windows, maps.shape), maps)


@pytest.mark.parametrize("ratio", [2, 4, 8])
def test_contexts_surround_their_window(ratio: int) -> None:
    """Where a context lies within the map, it is the part of the map around the window."""
    side = 4
    maps = torch.arange(WINDOWS * side * WINDOWS * side, dtype=torch.float64).view(1, 1, 32, 32)
    contexts = fold_contexts(maps, ratio).view(WINDOWS, WINDOWS, side, side, ratio, ratio)
    pad = (ratio - 1) * side // 2
    inside = 0
    for row in range(WINDOWS):
        for column in range(WINDOWS):
            top, left = row * side - pad, column * side - pad
            end = WINDOWS * side - ratio * side
            if 0 <= top <= end and 0 <= left <= end:
                expected = maps[0, 0, top : top + ratio * side, left : left + ratio * side]
                folded = expected.unflatten(1, (side, ratio)).unflatten(0, (side, ratio)).permute(0, 2, 1, 3)
                assert torch.equal(contexts[row, column], folded)
                inside += 1
    assert inside == {2: 36, 4: 16, 8: 0}[ratio]
    # Whatever stands beyond the edge is the map's own.
    assert set(contexts.flatten().tolist()) <= set(maps.flatten().tolist())


def test_contexts_beyond_the_edge_are_strips_of_the_map() -> None:
    """Windows of 3 pixels, contexts of 6: two copied pixels before, one after."""
    row = torch.arange(24.0)
    contexts = fold_contexts(row.expand(1, 1, 24, 24), 2).view(WINDOWS, WINDOWS, 3, 3, 2, 2)
    columns = contexts[0, :, 0, :, 0, :].flatten(1)
    assert columns[0].tolist() == [4, 5, 0, 1, 2, 3]
    assert columns[1].tolist() == [1, 2, 3, 4, 5, 6]
    assert columns[7].tolist() == [19, 20, 21, 22, 23, 18]
    assert torch.equal(fold_contexts(row[:, None].expand(1, 1, 24, 24), 2)[:8, 0, 0], torch.full((8,), 4.0))


def test_attention_is_the_direct_formula() -> None:
    attention = VaryingWindowAttention(64, 2, heads=2, shortcut=False).double().eval()
    nn.init.ones_(attention.output_norm.weight)
    nn.init.normal_(attention.query.weight, std=0.3)
    maps = torch.randn(1, 64, 16, 16, dtype=torch.float64)
    contexts = fold_contexts(attention.narrow(attention.pad(maps)), 2)
    query, key, value = (
        layer(tokens).unflatten(2, (2, 32)).transpose(1, 2)
        for layer, tokens in (
            (attention.query, to_windows(maps)),
            (attention.key, contexts),
            (attention.value, contexts),
        )
    )
    weights = functional.softmax(query @ key.transpose(2, 3) / 32**0.5, dim=-1)
    merged = to_map((weights @ value).transpose(1, 2).flatten(2), maps.shape)
    torch.testing.assert_close(attention(maps), attention.output_norm(attention.output(merged)))


def test_attention_starts_as_the_identity() -> None:
    maps = torch.randn(2, 64, 16, 16)
    assert torch.equal(VaryingWindowAttention(64, 4, heads=1, shortcut=True)(maps), maps)


def published(style: str) -> dict[str, Tensor]:
    """Return tensors of ConvNeXt-S's backbone under the names of one of its publishers."""
    norm, inside = {
        "authors": ("norm", ("gamma", "dwconv", "norm", "pwconv1", "pwconv2")),
        "mmcls": ("norm3", ("gamma", "depthwise_conv", "norm", "pointwise_conv1", "pointwise_conv2")),
        "timm": ("head.norm", ("gamma", "conv_dw", "norm", "mlp.fc1", "mlp.fc2")),
    }[style]
    shapes: dict[str, tuple[int, ...]] = {}

    def layer(name: str, *shape: int) -> None:
        shapes[f"{name}.weight"], shapes[f"{name}.bias"] = shape, (shape[0],)

    for stage, (width, depth) in enumerate(zip(WIDTHS, DEPTHS, strict=True)):
        down = f"downsample_layers.{stage}"
        if style == "timm":
            down = f"stages.{stage}.downsample" if stage else "stem"
        if stage == 0:
            layer(f"{down}.0", width, 3, 4, 4)
            layer(f"{down}.1", width)
        else:
            layer(f"{down}.0", WIDTHS[stage - 1])
            layer(f"{down}.1", width, WIDTHS[stage - 1], 2, 2)
        for number in range(depth):
            block = f"stages.{stage}.blocks.{number}" if style == "timm" else f"stages.{stage}.{number}"
            scale, depthwise, inner, expand, contract = (f"{block}.{part}" for part in inside)
            shapes[scale] = (width,)
            layer(depthwise, width, 1, 7, 7)
            layer(inner, width)
            layer(expand, 4 * width, width)
            layer(contract, width, 4 * width)
    layer(norm, WIDTHS[3])
    classifier = "head.fc" if style == "timm" else "head"
    layer(classifier, 1000, WIDTHS[3])
    return numbered(shapes)


@pytest.mark.parametrize(
    ("style", "name", "prefix", "wrapper"),
    [
        ("authors", FILE, "", "model"),
        (
            "mmcls",
            "convnext-small_3rdparty_32xb128-noema_in1k_20220301-303e75e3.pth",
            "backbone.",
            "state_dict",
        ),
        ("timm", "convnext_small.fb_in1k.pth", "", None),
    ],
)
def test_published_files_fill_the_backbone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, style: str, name: str, prefix: str, wrapper: str | None
) -> None:
    monkeypatch.setenv("SEGTRIAL_WEIGHTS", str(tmp_path))
    tensors = {
        (key if key.startswith("head.") and style != "timm" else prefix + key): tensor
        for key, tensor in published(style).items()
    }
    torch.save({wrapper: tensors} if wrapper else tensors, tmp_path / name)
    with nothing_drawn():
        network = build_network("vw-conv", pretrained="imagenet", decoder_width=64)
    report: Any = network.weights_report
    # Three of the four output norms are new; everything else comes from the file.
    assert (report.file, report.total - report.loaded) == (name, 6)
    backbone = network.get_submodule("backbone")
    assert report.loaded == len(tensors) - 2
    sums = sorted(t.double().sum().item() for t in backbone.state_dict().values())
    found = {round(value, 4) for value in sums}
    kept = [t for key, t in tensors.items() if not key.startswith(("head.weight", "head.bias", "head.fc"))]
    assert all(round(t.double().sum().item(), 4) in found for t in kept)


def test_the_mix_transformer_s_file_fills_the_backbone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGTRIAL_WEIGHTS", str(tmp_path))
    with shapes_alone():
        published = numbered_like(MixTransformer("b3"))
    torch.save(authors_file(published), tmp_path / "mit_b3.pth")
    with nothing_drawn():
        network = build_network("vw-mit", pretrained="imagenet", decoder_width=64)
    report: Any = network.weights_report
    assert (report.file, report.loaded, report.total) == ("mit_b3.pth", 572, 572)
    own = network.get_submodule("backbone").state_dict()
    assert all(torch.equal(own[name], tensor) for name, tensor in published.items())


def test_a_gray_image_is_seen_as_three_equal_channels(tmp_path: Path) -> None:
    file = tmp_path / "mine.pth"
    torch.save(published("timm"), file)
    settings: dict[str, Any] = {"pretrained": "imagenet", "weights": file, "decoder_width": 64}
    with nothing_drawn():
        rgb = build_network("vw-conv", **settings).eval()
        gray = build_network("vw-conv", channels=1, **settings).eval()
    report: Any = gray.weights_report
    assert report.notes == (
        "stages.0.downsample.0.weight summed over red, green and blue for one input channel",
    )
    images = torch.randn(1, 1, 64, 64)
    with torch.no_grad():
        expected = rgb.get_submodule("backbone")(images.expand(-1, 3, -1, -1))
        found = gray.get_submodule("backbone")(images)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)


def test_layer_scales_start_small_and_come_from_a_pretrained_file(tmp_path: Path) -> None:
    """1e-6 from scratch, as in the paper's table of training settings."""
    file = tmp_path / "mine.pth"
    tensors = published("timm")
    torch.save(tensors, file)
    with nothing_drawn():
        scratch = build_network("vw-conv", decoder_width=64).get_submodule("backbone").state_dict()
        loaded = build_network("vw-conv", decoder_width=64, pretrained="imagenet", weights=file)
    scales = {name: tensor for name, tensor in scratch.items() if name.endswith(".scale")}
    assert len(scales) == sum(DEPTHS)
    assert all(torch.equal(scale, torch.full_like(scale, 1e-6)) for scale in scales.values())
    expected = tensors["stages.2.blocks.5.gamma"]
    assert torch.equal(loaded.get_submodule("backbone").state_dict()["stages.2.blocks.5.scale"], expected)


def test_missing_and_unfit_files_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGTRIAL_WEIGHTS", str(tmp_path))
    find = finder("vw-conv")
    with pytest.raises(WeightsError) as caught:
        find("imagenet", None, {"variant": "s"})
    assert FILE in (caught.value.fix or "") and "SEGTRIAL_WEIGHTS" in (caught.value.fix or "")
    with pytest.raises(WeightsError, match="no pretrained weights for vw-conv with variant atto"):
        find("imagenet", None, {"variant": "atto"})
    tensors = published("authors")
    del tensors["stages.2.5.gamma"]
    torch.save({"model": tensors}, tmp_path / FILE)
    with nothing_drawn(), pytest.raises(WeightsError, match="missing"):
        build_network("vw-conv", pretrained="imagenet", decoder_width=64)
