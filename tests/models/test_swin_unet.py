"""Swin-Unet: published counts, any multiple of 32, and Swin-Tiny's file on both sides of the U."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torchvision.ops import StochasticDepth

from bench_core.errors import TrainingError, WeightsError
from bench_core.plugins.wiring import load_registry
from bench_sma.swin_unet.network import SwinUnet
from tests.helpers.checkpoints import nothing_drawn, shapes_alone
from tests.helpers.networks import build_network, finder
from tests.helpers.swin_file import filled, swin_tiny_shapes, value_of, write_swin_tiny

COUNTS = {1: 27_168_132, 3: 27_168_324, 4: 27_168_420, 9: 27_168_900}
WINDOW_8 = 27_175_716
ENCODER, DECODER = 119, 78
"""Tensors that a classifier has for the two sides."""


def build(**settings: Any) -> SwinUnet:
    network = build_network("swin-unet", **settings)
    assert isinstance(network, SwinUnet)
    return network


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_parameter_counts_are_the_published_ones() -> None:
    declared = load_registry().model("swin-unet").parameters
    with shapes_alone():
        for classes, published in COUNTS.items():
            assert count(SwinUnet(3, classes)) == published
        for classes in declared:
            assert count(SwinUnet(3, classes)) == declared[classes]
        assert count(SwinUnet(3, 3, window=8)) == WINDOW_8


def test_sizes_of_multiples_of_32() -> None:
    network = build(variant="nano", channels=1, classes=4).eval()
    with torch.no_grad():
        for height, width in ((32, 32), (64, 96), (256, 32)):
            assert network(torch.randn(2, 1, height, width)).shape == (2, 4, height, width)
    with pytest.raises(TrainingError, match="48x64 pixels"):
        network(torch.randn(1, 1, 48, 64))
    assert network.network_notes == ("variant nano: narrower than the published network",)
    assert build(variant="nano", window=4).get_submodule("encoder.0.blocks.1").shift == 2


def test_decoder_stages_have_their_mirrors_rates() -> None:
    with shapes_alone():
        network = SwinUnet(drop_path=0.7)
    rates = [module.p for module in network.modules() if isinstance(module, StochasticDepth)]
    assert rates == pytest.approx([0.1 * step for step in (*range(8), 4, 5, 2, 3, 0, 1)])


def test_each_skip_reaches_the_logits() -> None:
    """Without what comes from below, what the encoder hands over at each resolution still arrives."""
    torch.manual_seed(0)
    network = build(variant="nano").eval()
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        expected = network(images)
        for stage in network.decoder:
            width = stage.fuse.out_features
            before = stage.fuse.weight[:, width:].clone()
            stage.fuse.weight[:, width:] = 0
            assert not torch.allclose(network(images), expected)
            stage.fuse.weight[:, width:] = before
        torch.testing.assert_close(network(images), expected)


@pytest.mark.parametrize("given", [True, False], ids=["given", "in the folder"])
def test_swin_tiny_fills_both_sides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: bool) -> None:
    file = write_swin_tiny(tmp_path, *(["mine.pth"] if given else []))
    monkeypatch.setenv("SEGTRIAL_WEIGHTS", str(tmp_path))
    with nothing_drawn():
        network = build(pretrained="imagenet", weights=file if given else None, channels=1 if given else 3)
    report = network.weights_report
    own = network.state_dict()
    assert (report.file, report.loaded, report.total) == (file.name, ENCODER + DECODER, len(own))
    stem = "embed.weight summed over red, green and blue for one input channel"
    assert report.notes == ((stem,) if given else ())
    copies = {
        "encoder.2.blocks.1.attention.query_key_value.weight": "layers.2.blocks.1.attn.qkv.weight",
        "decoder.0.blocks.1.attention.query_key_value.weight": "layers.2.blocks.1.attn.qkv.weight",
        "decoder.1.blocks.0.feed_forward.2.bias": "layers.1.blocks.0.mlp.fc2.bias",
        "decoder.2.blocks.1.attention.bias_table": "layers.0.blocks.1.attn.relative_position_bias_table",
        "encoder.1.merge.reduction.weight": "layers.1.downsample.reduction.weight",
        "encoder.3.blocks.1.feed_forward_norm.weight": "layers.3.blocks.1.norm2.weight",
        "encoder_norm.bias": "norm.bias",
        "embed_norm.weight": "patch_embed.norm.weight",
    }
    for ours, theirs in copies.items():
        assert torch.all(own[ours] == torch.tensor(value_of(theirs))), ours
    assert own["head.weight"].isnan().all()
    assert own["embed.weight"][0, 0, 0, 0].item() == pytest.approx(
        value_of("patch_embed.proj.weight") * (3 if given else 1)
    )


def test_tables_are_resized_for_other_windows(tmp_path: Path) -> None:
    with nothing_drawn():
        report = build(pretrained="imagenet", weights=write_swin_tiny(tmp_path), window=8).weights_report
    assert report.loaded == ENCODER + DECODER
    assert report.notes == ("tables of relative positions resized from windows of 7 to 8",)


@pytest.mark.parametrize("change", ["missing", "unexpected", "shape"])
def test_a_file_that_does_not_fit_fails(tmp_path: Path, change: str) -> None:
    shapes = swin_tiny_shapes()
    if change == "missing":
        del shapes["layers.1.blocks.0.attn.proj.bias"]
    elif change == "unexpected":
        shapes["layers.0.blocks.2.norm1.weight"] = (96,)
    else:
        shapes["patch_embed.norm.bias"] = (128,)
    file = tmp_path / "weights.pth"
    torch.save({"model": filled(shapes)}, file)
    with nothing_drawn(), pytest.raises(WeightsError) as caught:
        build(pretrained="imagenet", weights=file)
    named = {
        "missing": r"encoder.1.blocks.0.attention.output.bias",
        "unexpected": "encoder.0.blocks.2.attention_norm.weight",
        "shape": "embed_norm.bias is (128,), not (96,)",
    }
    assert named[change] in caught.value.message
    assert caught.value.place == str(file)


def test_a_missing_file_is_named_with_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGTRIAL_WEIGHTS", str(tmp_path))
    find = finder("swin-unet")
    assert find("none", None, {}) is None
    with pytest.raises(WeightsError, match=r"swin_tiny_patch4_window7_224\.pth is not there") as caught:
        find("imagenet", None, {"variant": "t"})
    assert "github.com/SwinTransformer" in (caught.value.fix or "")
    assert str(tmp_path) in (caught.value.cause or "")
    with pytest.raises(WeightsError, match="variant nano"):
        find("imagenet", None, {"variant": "nano"})
    with pytest.raises(WeightsError, match="no pretrained weights"):
        build(variant="nano", weights=write_swin_tiny(tmp_path))
