"""MISSFormer: published counts, its bridge, sizes, and MiT-B1's file in its encoder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from bench_core.errors import TrainingError, WeightsError
from bench_core.plugins.wiring import load_registry
from bench_sma.missformer.blocks import EnhancedMixFeedForward, to_tokens
from bench_sma.missformer.bridge import Scales
from bench_sma.missformer.network import SIZES, MISSFormer
from bench_sma.missformer.weights import MMSEG_COPY, from_reference
from tests.helpers.checkpoints import nothing_drawn, numbered, shapes_alone
from tests.helpers.networks import build_network, finder

COUNTS = {1: 42_462_017, 3: 42_462_147, 4: 42_462_212}
DEAD = 7_009_792
ENCODER = 13_151_424
"""Parameters of MiT-B1 without its classifier."""


def build(**settings: Any) -> MISSFormer:
    network = build_network("missformer", **settings)
    assert isinstance(network, MISSFormer)
    return network


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_parameter_counts_are_the_published_ones() -> None:
    declared = load_registry().model("missformer")
    for classes in declared.parameters:
        with shapes_alone():
            network = MISSFormer(3, classes)
        assert count(network) == declared.parameters[classes]
        assert count(network) == COUNTS.get(classes, COUNTS[1] + (classes - 1) * 65)
    dead = [p for name, p in network.named_parameters() if name.startswith(declared.dead_parameters)]
    assert sum(parameter.numel() for parameter in dead) == DEAD


def test_sizes_of_multiples_of_32() -> None:
    network = build(variant="tiny", channels=1, classes=4).eval()
    with torch.no_grad():
        for height, width in ((32, 32), (64, 96), (128, 32)):
            assert network(torch.randn(2, 1, height, width)).shape == (2, 4, height, width)
            features = network.encoder(torch.randn(1, 1, height, width))
            sizes = [(height // stride, width // stride) for stride in (4, 8, 16, 32)]
            assert [tuple(feature.shape[-2:]) for feature in features] == sizes
            assert [maps.shape for maps in network.bridge(features)] == [maps.shape for maps in features]
    with pytest.raises(TrainingError, match="64x61 pixels"):
        network(torch.randn(1, 1, 64, 61))
    assert network.network_notes == ("variant tiny: narrower than the published network",)


def test_inner_size_resizes_images_and_logits() -> None:
    torch.manual_seed(0)
    outer = build(variant="tiny").eval()
    inner = build(variant="tiny", inner_size=64).eval()
    inner.load_state_dict(outer.state_dict())
    images = torch.randn(1, 3, 90, 70)
    with torch.no_grad():
        resized = functional.interpolate(images, (64, 64), mode="bilinear", align_corners=False)
        expected = functional.interpolate(outer(resized), (90, 70), mode="bilinear", align_corners=False)
        torch.testing.assert_close(inner(images), expected)


def test_a_scales_channels_are_cut_into_tokens_of_the_first_width() -> None:
    """Pixels stay together: the five tokens of a pixel of the third scale follow each other."""
    width, grids = 2, [(4, 4), (2, 2), (2, 1), (1, 1)]
    maps = [
        torch.arange(float(ratio * width * h * w)).reshape(1, ratio * width, h, w)
        for ratio, (h, w) in zip((1, 2, 5, 8), grids, strict=True)
    ]
    scales = Scales(grids)
    sequence = scales.join([to_tokens(each) for each in maps], width)
    assert sequence.shape == (1, 16 + 2 * 4 + 5 * 2 + 8, width)
    second_pixel = sequence[0, 16 + 8 + 5 : 16 + 8 + 10]
    assert torch.equal(second_pixel.flatten(), maps[2][0, :, 1, 0])
    for found, expected in zip(scales.split(sequence), maps, strict=True):
        assert torch.equal(found, to_tokens(expected))


def test_the_bridge_lets_every_scale_see_every_other() -> None:
    torch.manual_seed(0)
    bridge = build(variant="tiny").bridge
    shapes = [(8 * ratio, 64 // stride) for ratio, stride in zip((1, 2, 5, 8), (4, 8, 16, 32), strict=True)]
    features = [torch.randn(1, width, side, side, requires_grad=True) for width, side in shapes]
    for maps in bridge(features):
        gradients = torch.autograd.grad(maps[0, :, -1, -1].square().sum(), features, retain_graph=True)
        # From the last pixel of one scale to the first of each.
        assert all(gradient[0, :, 0, 0].abs().max() > 0 for gradient in gradients)


def test_the_feed_forward_network_adds_and_normalizes() -> None:
    layer = EnhancedMixFeedForward(4).double()
    tokens = torch.randn(1, 6, 4, dtype=torch.float64)
    hidden = layer.expand(tokens)
    maps = hidden.transpose(1, 2).reshape(1, 16, 2, 3)
    mixed = functional.conv2d(maps, layer.depthwise.weight, layer.depthwise.bias, padding=1, groups=16)
    total = mixed.flatten(2).transpose(1, 2) + hidden
    expected = layer.contract(functional.gelu(functional.layer_norm(total, (16,))))
    torch.testing.assert_close(layer(tokens, (2, 3)), expected)


@pytest.mark.parametrize(
    ("published", "here"),
    [
        ("backbone.patch_embed1.proj.weight", "encoder.stages.0.embed.projection.weight"),
        ("backbone.block3.1.mlp.norm3.bias", "encoder.stages.2.blocks.1.feed_forward.unused_norms.1.bias"),
        ("bridge.bridge_layer2.attn.scale_reduce.sr2.bias", "bridge.layers.1.attention.reductions.2.bias"),
        (
            "bridge.bridge_layer4.mixffn3.dwconv.dwconv.weight",
            "bridge.layers.3.feed_forwards.2.depthwise.weight",
        ),
        ("decoder_1.layer_former_2.attn.norm.weight", "decoder.1.blocks.1.attention.reduction_norm.weight"),
        ("decoder_0.last_layer.bias", "head.bias"),
        ("optimizer.state", "optimizer.state"),
    ],
)
def test_the_authors_names(published: str, here: str) -> None:
    assert list(from_reference({published: torch.zeros(1)})) == [here]


def mit_b1() -> dict[str, Tensor]:
    """Return tensors under every name of the published MiT-B1, classifier included."""
    shapes: dict[str, tuple[int, ...]] = {"head.weight": (1000, 512), "head.bias": (1000,)}

    def layer(name: str, *shape: int) -> None:
        shapes.update({f"{name}.weight": shape, f"{name}.bias": shape[:1]})

    before = 3
    for stage, (width, reduction) in enumerate(zip((64, 128, 320, 512), (8, 4, 2, 1), strict=True), start=1):
        kernel = 7 if stage == 1 else 3
        layer(f"patch_embed{stage}.proj", width, before, kernel, kernel)
        layer(f"patch_embed{stage}.norm", width)
        for index in range(2):
            block = f"block{stage}.{index}"
            layer(f"{block}.norm1", width)
            layer(f"{block}.attn.q", width, width)
            layer(f"{block}.attn.kv", 2 * width, width)
            layer(f"{block}.attn.proj", width, width)
            if reduction > 1:
                layer(f"{block}.attn.sr", width, width, reduction, reduction)
                layer(f"{block}.attn.norm", width)
            layer(f"{block}.norm2", width)
            layer(f"{block}.mlp.fc1", 4 * width, width)
            layer(f"{block}.mlp.dwconv.dwconv", 4 * width, 1, 3, 3)
            layer(f"{block}.mlp.fc2", width, 4 * width)
        layer(f"norm{stage}", width)
        before = width
    return numbered(shapes)


def test_mit_b1_fills_the_encoder_but_its_new_normalizations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGTRIAL_WEIGHTS", str(tmp_path))
    published = mit_b1()
    torch.save(published, tmp_path / "mit_b1.pth")
    assert sum(tensor.numel() for name, tensor in published.items() if "head" not in name) == ENCODER
    with nothing_drawn():
        network = build(pretrained="imagenet", channels=1)
    report = network.weights_report
    assert (report.file, report.loaded, report.total) == ("mit_b1.pth", 176, 176 + 48)
    assert report.notes == (
        "stages.0.embed.projection.weight summed over red, green and blue for one input channel",
    )
    own = network.state_dict()
    stem = own["encoder.stages.0.embed.projection.weight"]
    torch.testing.assert_close(stem, published["patch_embed1.proj.weight"].sum(1, keepdim=True))
    key_value = own["encoder.stages.2.blocks.1.attention.key_value.weight"]
    assert torch.equal(key_value, published["block3.1.attn.kv.weight"])


def test_mmsegmentations_copy_fills_it_likewise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backbones = pytest.importorskip("mmseg.models.backbones")
    theirs = backbones.MixVisionTransformer(
        embed_dims=64,
        num_layers=[2, 2, 2, 2],
        num_heads=[1, 2, 5, 8],
        out_indices=(0, 1, 2, 3),
        qkv_bias=True,
    ).state_dict()
    monkeypatch.setenv("SEGTRIAL_WEIGHTS", str(tmp_path))
    torch.save(theirs, tmp_path / MMSEG_COPY.name)
    with nothing_drawn():
        network = build(pretrained="imagenet")
    assert (network.weights_report.file, network.weights_report.loaded) == (MMSEG_COPY.name, 176)
    own = network.encoder.state_dict()
    both = (
        own["stages.2.blocks.1.attention.query.weight"],
        own["stages.2.blocks.1.attention.key_value.weight"],
    )
    assert torch.equal(torch.cat(both), theirs["layers.2.1.1.attn.attn.in_proj_weight"])
    contract = own["stages.3.blocks.0.feed_forward.contract.weight"]
    assert torch.equal(contract, theirs["layers.3.1.0.ffn.layers.4.weight"][..., 0, 0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"block1.0.attn.q.weight": None}, r"1 missing \(stages\.0\.blocks\.0\.attention\.query\.weight\)"),
        ({"decode_head.bias": torch.zeros(2)}, r"1 unexpected \(decode_head\.bias\)"),
        ({"norm4.weight": torch.zeros(256)}, "1 of another shape"),
    ],
)
def test_files_that_do_not_fit_are_refused(
    tmp_path: Path, change: dict[str, Tensor | None], message: str
) -> None:
    tensors = {**mit_b1(), **change}
    file = tmp_path / "mine.pth"
    torch.save({name: tensor for name, tensor in tensors.items() if tensor is not None}, file)
    with nothing_drawn(), pytest.raises(WeightsError, match=message):
        build(pretrained="imagenet", weights=file)


def test_a_missing_file_is_named_with_its_publisher_and_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGTRIAL_WEIGHTS", str(tmp_path))
    find = finder("missformer")
    assert find("none", None, {"variant": "b1"}) is None
    with pytest.raises(WeightsError, match=r"mit_b1\.pth") as caught:
        find("imagenet", None, {"variant": "b1"})
    assert str(tmp_path / "mit_b1.pth") in (caught.value.cause or "")
    for part in ("NVlabs/SegFormer", "$SEGTRIAL_WEIGHTS", "`weights:`"):
        assert part in (caught.value.fix or "")
    with pytest.raises(WeightsError, match="missformer with variant tiny"):
        find("imagenet", None, {"variant": "tiny"})
    with pytest.raises(WeightsError, match="missformer from scratch"):
        find("none", tmp_path / "mit_b1.pth", {"variant": "tiny"})


def test_the_decoder_starts_as_the_authors_does() -> None:
    torch.manual_seed(0)
    network = build(variant="tiny")
    assert SIZES["tiny"].widths == (8, 16, 40, 64)
    fuse = network.get_submodule("decoder.2.fuse")
    assert isinstance(fuse, nn.Linear)
    bound = (6 / (fuse.in_features + fuse.out_features)) ** 0.5
    assert 0.95 * bound < fuse.weight.abs().max().item() <= bound
    assert not fuse.bias.any()
