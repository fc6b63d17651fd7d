"""TransUNet: published counts, its two convolutional networks, positions, and the published .npz file."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from bench_core.errors import TrainingError, WeightsError
from bench_core.plugins.wiring import load_registry
from bench_core.weights.load import load_strictly
from bench_sma.transunet.network import SIZES, TransUNet
from bench_sma.transunet.resnet import ResNet, StandardizedConv
from bench_sma.transunet.vit import resize_positions
from bench_sma.transunet.weights import DROPS, RANDOM, from_npz, from_reference, load_npz
from tests.helpers.checkpoints import shapes_alone
from tests.helpers.golden import golden_tensor
from tests.helpers.networks import build_network, finder

COUNTS = {1: 105_275_921, 3: 105_276_211, 4: 105_276_356}
COUNTS_BY_SIZE = {224: 105_276_211, 256: 105_322_291, 448: 105_727_795, 512: 105_912_115}
"""Of three classes, with one position for each cell of the image."""
ENCODER = 97_888_576
ARRAYS = 353

Arrays = dict[str, NDArray[np.float32]]


def build(**settings: Any) -> TransUNet:
    network = build_network("transunet", **settings)
    assert isinstance(network, TransUNet)
    return network


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_parameter_counts_are_the_published_ones() -> None:
    declared = load_registry().model("transunet").parameters
    for classes, expected in declared.items():
        with shapes_alone():
            network = TransUNet(3, classes)
        assert count(network) == expected == COUNTS.get(classes, COUNTS[1] + (classes - 1) * 145)
        assert count(network) - count(network.decoder) - count(network.segmentation_head) == ENCODER
    for size, expected in COUNTS_BY_SIZE.items():
        with shapes_alone():
            assert count(TransUNet(3, 3, grid=size // 16)) == expected


@pytest.mark.parametrize("cnn", ["reference", "corrected"])
def test_sizes_of_multiples_of_16(cnn: str) -> None:
    network = build(variant="tiny", classes=4, cnn=cnn).eval()
    lost = 1 if cnn == "reference" else 0
    with torch.no_grad():
        for height, width in ((32, 32), (48, 80), (64, 32)):
            images = torch.randn(2, 3, height, width)
            assert network(images).shape == (2, 4, height, width)
            features = network.resnet(images)
            sizes = [(height // stride, width // stride) for stride in (2, 4, 8, 16)]
            assert [tuple(feature.shape[-2:]) for feature in features] == sizes
            edge = torch.cat([features[1][:, :, -1].flatten(), features[1][..., -1].flatten()])
            assert edge.any().item() != bool(lost)
    with pytest.raises(TrainingError, match="64x40 pixels"):
        network(torch.randn(1, 3, 64, 40))
    assert network.network_notes == ("variant tiny: narrower than the published network",)


def test_a_gray_image_is_repeated() -> None:
    torch.manual_seed(0)
    gray, color = build(variant="tiny", channels=1).eval(), build(variant="tiny").eval()
    color.load_state_dict(gray.state_dict())
    images = torch.randn(1, 1, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(gray(images), color(images.repeat(1, 3, 1, 1)))


def test_positions_are_those_of_224_pixels_or_of_the_jobs_size() -> None:
    resized, own = build(variant="tiny"), build(variant="tiny", positions="own")
    assert resized.transformer.positions.shape == (1, 196, 64)
    assert own.transformer.positions.shape == (1, 16, 64)  # build_network asks for images of 64 pixels
    with torch.no_grad():
        resized.transformer.positions.normal_()
    own.load_state_dict(
        {
            **resized.state_dict(),
            "transformer.positions": resize_positions(resized.transformer.positions, (4, 4)),
        }
    )
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(resized.eval()(images), own.eval()(images))


def test_positions_are_resized_from_corner_to_corner() -> None:
    ramp = torch.arange(14.0).expand(14, 14).reshape(1, 196, 1)
    assert resize_positions(ramp, (14, 14)) is ramp
    found = resize_positions(ramp, (3, 27)).reshape(3, 27)
    torch.testing.assert_close(found, torch.arange(0, 13.5, 0.5).expand(3, 27))


def test_kernels_are_standardized() -> None:
    torch.manual_seed(0)
    layer = StandardizedConv(3, 2, 3, stride=2).double()
    images = torch.randn(1, 3, 8, 8, dtype=torch.float64)
    # Neither the mean of a kernel nor, but for the epsilon, its scale matters.
    expected = layer(images)
    with torch.no_grad():
        layer.weight.mul_(100).add_(3)
    torch.testing.assert_close(layer(images), expected, rtol=2e-3, atol=0)


def test_the_corrected_network_is_the_one_of_the_weights() -> None:
    """As timm has it, whose hybrid vision transformers compute what the weights' authors published."""
    resnetv2 = pytest.importorskip("timm.models.resnetv2")
    layers = pytest.importorskip("timm.layers")
    size = SIZES["tiny"]
    theirs = resnetv2.ResNetV2(
        layers=size.depths,
        channels=[size.root * 4 * 2**stage for stage in range(3)],
        stem_chs=size.root,
        num_classes=0,
        global_pool="",
        preact=False,
        stem_type="same",
        conv_layer=partial(layers.StdConv2dSame, eps=1e-8),
    )
    tensors = {
        name: torch.from_numpy(golden_tensor(name, tuple(tensor.shape), 0)).float()
        for name, tensor in theirs.state_dict().items()
    }
    theirs.load_state_dict(tensors)
    images = torch.randn(1, 3, 64, 64)
    errors = {}
    for corrected in (True, False):
        ours = ResNet(3, size.root, size.depths, corrected)
        load_strictly(ours, {_from_timm(name): tensor for name, tensor in tensors.items()})
        with torch.no_grad():
            expected = theirs.eval()(images)
            errors[corrected] = ((ours(images)[-1] - expected).abs().max() / expected.abs().max()).item()
    assert errors[True] < 1e-4
    assert errors[False] > 0.1


def _from_timm(name: str) -> str:
    for theirs, ours in (
        (r"^stem\.", "root."),
        (r"^(stages\.\d)\.blocks\.", r"\1."),
        (r"\.downsample\.conv\.", ".shortcut."),
        (r"\.downsample\.norm\.", ".shortcut_norm."),
    ):
        name = re.sub(theirs, ours, name)
    return name


@pytest.mark.parametrize(
    ("published", "here"),
    [
        ("transformer.embeddings.hybrid_model.root.gn.bias", "resnet.root.norm.bias"),
        (
            "transformer.embeddings.hybrid_model.body.block3.unit1.gn_proj.weight",
            "resnet.stages.2.0.shortcut_norm.weight",
        ),
        ("transformer.embeddings.position_embeddings", "transformer.positions"),
        ("transformer.encoder.layer.11.attn.out.weight", "transformer.blocks.11.attention.output.weight"),
        ("decoder.conv_more.1.running_mean", "decoder.enter.1.running_mean"),
        ("decoder.blocks.3.conv2.0.weight", "decoder.blocks.3.conv2.0.weight"),
        ("segmentation_head.0.bias", "segmentation_head.bias"),
        ("optimizer.state", "optimizer.state"),
    ],
)
def test_the_authors_names(published: str, here: str) -> None:
    assert list(from_reference({published: torch.zeros(1)})) == [here]


def npz_shapes(variant: str = "r50-vit-b16") -> dict[str, tuple[int, ...]]:
    """Return the shape of every array of the published file, for a network of this size."""
    size = SIZES[variant]
    width, each, hidden = size.width, size.width // size.heads, 4 * size.width
    shapes: dict[str, tuple[int, ...]] = {
        "conv_root/kernel": (7, 7, 3, size.root),
        "embedding/kernel": (1, 1, 16 * size.root, width),
        "embedding/bias": (width,),
        "Transformer/posembed_input/pos_embedding": (1, 197, width),
        "cls": (1, 1, width),
        "pre_logits/kernel": (width, width),
        "pre_logits/bias": (width,),
        "head/kernel": (width, 10),
        "head/bias": (10,),
    }

    def group_norm(name: str, channels: int) -> None:
        shapes.update({f"{name}/{leaf}": (1, 1, 1, channels) for leaf in ("scale", "bias")})

    group_norm("gn_root", size.root)
    before = size.root
    for block, depth in enumerate(size.depths, start=1):
        after = size.root * 4 * 2 ** (block - 1)
        for unit in range(1, depth + 1):
            path = f"block{block}/unit{unit}"
            kernels = [(1, before, after // 4), (3, after // 4, after // 4), (1, after // 4, after)]
            for index, (kernel, inputs, outputs) in enumerate(kernels, start=1):
                shapes[f"{path}/conv{index}/kernel"] = (kernel, kernel, inputs, outputs)
                group_norm(f"{path}/gn{index}", outputs)
            if unit == 1:
                shapes[f"{path}/conv_proj/kernel"] = (1, 1, before, after)
                group_norm(f"{path}/gn_proj", after)
            before = after
    for index in range(size.blocks):
        path = f"Transformer/encoderblock_{index}"
        for part in ("query", "key", "value"):
            attention = f"{path}/MultiHeadDotProductAttention_1/{part}"
            shapes |= {
                f"{attention}/kernel": (width, size.heads, each),
                f"{attention}/bias": (size.heads, each),
            }
        output = f"{path}/MultiHeadDotProductAttention_1/out"
        shapes |= {f"{output}/kernel": (size.heads, each, width), f"{output}/bias": (width,)}
        for dense, (inputs, outputs) in enumerate(((width, hidden), (hidden, width))):
            layer = f"{path}/MlpBlock_3/Dense_{dense}"
            shapes |= {f"{layer}/kernel": (inputs, outputs), f"{layer}/bias": (outputs,)}
        for norm in ("LayerNorm_0", "LayerNorm_2"):
            shapes |= {f"{path}/{norm}/{leaf}": (width,) for leaf in ("scale", "bias")}
    shapes |= {f"Transformer/encoder_norm/{leaf}": (width,) for leaf in ("scale", "bias")}
    return shapes


def npz_arrays(variant: str = "tiny") -> Arrays:
    return {
        name: golden_tensor(name, shape, 0).astype(np.float32) for name, shape in npz_shapes(variant).items()
    }


def test_the_published_file_fills_the_whole_encoder() -> None:
    """By names and shapes, without its 98 million numbers."""
    arrays = {name: np.empty(shape, np.float32) for name, shape in npz_shapes().items()}
    taken = {name: array for name, array in arrays.items() if not name.startswith(DROPS)}
    assert len(taken) == ARRAYS
    assert sum(array.size for array in taken.values()) == ENCODER + SIZES["r50-vit-b16"].width
    with shapes_alone():
        network = TransUNet()
    with pytest.warns(UserWarning, match="meta"):
        report = load_strictly(
            network, from_npz(arrays), allowed_missing=RANDOM, allowed_unexpected=DROPS, source="names"
        )
    assert report.loaded == ARRAYS


@pytest.mark.parametrize("grid", [14, 4])
def test_arrays_are_turned_into_the_networks_shapes(tmp_path: Path, grid: int) -> None:
    arrays = npz_arrays()
    np.savez(tmp_path / "mine.npz", **arrays)  # type: ignore[arg-type]
    network = TransUNet(variant="tiny", grid=grid)
    report = load_npz(network, tmp_path / "mine.npz", "imagenet")
    own = {name: tensor.double() for name, tensor in network.state_dict().items()}
    assert report.loaded == len(arrays) - 5
    assert report.notes == (() if grid == 14 else ("positions resized from 14 x 14 to 4 x 4",))
    tokens = np.random.default_rng(0).standard_normal((3, 64))
    block = "Transformer/encoderblock_1/MultiHeadDotProductAttention_1"
    query = np.einsum("nc,chd->nhd", tokens, arrays[f"{block}/query/kernel"]) + arrays[f"{block}/query/bias"]
    attention = "transformer.blocks.1.attention"
    found = functional.linear(
        torch.from_numpy(tokens), own[f"{attention}.query.weight"], own[f"{attention}.query.bias"]
    )
    np.testing.assert_allclose(found.reshape(3, 4, 16), query, atol=1e-6)
    output = np.einsum("nhd,hdc->nc", query, arrays[f"{block}/out/kernel"])
    found = functional.linear(torch.from_numpy(query.reshape(3, 64)), own[f"{attention}.output.weight"])
    np.testing.assert_allclose(found, output, atol=1e-6)
    kernel = own["resnet.stages.1.0.conv2.weight"]
    assert torch.equal(
        kernel[5, 7], torch.from_numpy(arrays["block2/unit1/conv2/kernel"][:, :, 7, 5]).double()
    )
    if grid == 14:
        positions = torch.from_numpy(arrays["Transformer/posembed_input/pos_embedding"][:, 1:]).double()
        assert torch.equal(own["transformer.positions"], positions)


def test_files_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    arrays, file = npz_arrays(), tmp_path / "mine.npz"
    missing = {name: array for name, array in arrays.items() if name != "gn_root/bias"}
    spare = {**arrays, "block4/unit1/conv1/kernel": np.zeros((1, 1, 2, 2), np.float32)}
    other = {**arrays, "embedding/bias": np.zeros(7, np.float32)}
    for changed, message in (
        (missing, r"1 missing \(resnet\.root\.norm\.bias\)"),
        (spare, r"1 unexpected \(resnet\.stages\.3\.0\.conv1\.weight\)"),
        (other, "1 of another shape"),
        ({**arrays, "cls": np.array([{}], dtype=object)}, "cannot be read"),
    ):
        np.savez(file, **changed)
        with pytest.raises(WeightsError, match=message):
            load_npz(TransUNet(variant="tiny"), file, "imagenet")
    file.write_bytes(file.read_bytes()[:2000])
    with pytest.raises(WeightsError, match="cannot be read"):
        load_npz(TransUNet(variant="tiny"), file, "imagenet")


def test_a_missing_file_is_named_with_its_source_and_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGTRIAL_WEIGHTS", str(tmp_path))
    find = finder("transunet")
    assert find("none", None, {}) is None
    with pytest.raises(WeightsError, match=re.escape("R50+ViT-B_16.npz or R50-ViT-B_16.npz")) as caught:
        find("imagenet", None, {"variant": "r50-vit-b16"})
    assert str(tmp_path / "R50+ViT-B_16.npz") in (caught.value.cause or "")
    for part in ("storage.googleapis.com/vit_models/imagenet21k/", "$SEGTRIAL_WEIGHTS", "`weights:`"):
        assert part in (caught.value.fix or "")
    (tmp_path / "R50-ViT-B_16.npz").touch()
    assert find("imagenet", None, {}) == tmp_path / "R50-ViT-B_16.npz"
    with pytest.raises(WeightsError, match="transunet with variant tiny"):
        find("imagenet", None, {"variant": "tiny"})
    with pytest.raises(WeightsError, match="transunet from scratch"):
        find("none", tmp_path / "R50-ViT-B_16.npz", {})


@pytest.mark.slow
def test_a_whole_file_is_found_and_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGTRIAL_WEIGHTS", str(tmp_path))
    arrays = npz_arrays("r50-vit-b16")
    np.savez(tmp_path / "R50+ViT-B_16.npz", **arrays)  # type: ignore[arg-type]
    network = build(pretrained="imagenet", channels=1)
    report = network.weights_report
    assert (report.file, report.loaded) == ("R50+ViT-B_16.npz", ARRAYS)
    assert "convolutional network" in network.network_notes[0]
    assert build(pretrained="imagenet", cnn="corrected").network_notes == ()
    own = network.state_dict()["transformer.blocks.11.feed_forward.expand.weight"]
    kernel: Tensor = torch.from_numpy(arrays["Transformer/encoderblock_11/MlpBlock_3/Dense_0/kernel"])
    assert torch.equal(own, kernel.t())
