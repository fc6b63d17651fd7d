"""U-Net: the published parameter count, any image size, and the names of the public implementation."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from bench_core import BuildRequest
from bench_core.errors import WeightsError
from bench_core.plugins.wiring import load_registry
from bench_sma.u_net.network import UNet, build, from_reference
from tests.helpers.checkpoints import shapes_alone
from tests.helpers.golden import golden_tensor
from tests.helpers.networks import build_network, finder


def _parameters(model: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize(
    ("logits", "count"), [(1, 31_037_633), (2, 31_037_698), (3, 31_037_763), (4, 31_037_828)]
)
def test_parameter_counts_are_the_published_ones(logits: int, count: int) -> None:
    with shapes_alone():
        model = UNet(in_channels=3, num_classes=logits)
    assert _parameters(model) == count
    assert load_registry().model("u-net").parameters[logits] == count


@pytest.mark.parametrize("size", [(16, 16), (17, 31), (45, 32), (33, 63)])
@pytest.mark.parametrize(("channels", "classes"), [(1, 1), (3, 4), (5, 2)])
def test_logits_have_the_size_of_the_image(size: tuple[int, int], channels: int, classes: int) -> None:
    model = UNet(channels, classes, width=2).eval()
    with torch.no_grad():
        assert model(torch.randn(2, channels, *size)).shape == (2, classes, *size)


def test_width_is_the_channels_at_full_resolution() -> None:
    model = build(_request(options={"width": 4}))
    assert model.get_submodule("head").in_channels == 4
    assert model.get_submodule("encoder.4.3").out_channels == 64


def test_an_input_pixel_reaches_the_logits_far_beyond_one_convolution() -> None:
    torch.manual_seed(0)
    model = UNet(1, 1, width=4).eval()
    image = torch.randn(1, 1, 64, 64, requires_grad=True)
    model(image)[0, 0, 32, 32].backward()
    assert image.grad is not None
    reached = image.grad[0, 0].nonzero()
    # Two 3x3 convolutions alone reach 5 pixels; five resolutions reach 140.
    assert reached[:, 0].max() - reached[:, 0].min() > 40


def test_reference_names_map_onto_every_tensor() -> None:
    model = UNet(3, 3, width=2)
    theirs = ["inc.double_conv.0.weight", "down4.maxpool_conv.1.double_conv.4.running_var", "outc.conv.bias"]
    theirs += ["up1.up.weight", "up4.conv.double_conv.1.bias"]
    renamed = from_reference(dict.fromkeys(theirs, torch.zeros(1)))
    assert set(renamed) <= set(model.state_dict())
    assert list(renamed) == [
        "encoder.0.0.weight",
        "encoder.4.4.running_var",
        "head.bias",
        "upsample.1.weight",
        "decoder.4.1.bias",
    ]


def test_pretrained_weights_are_refused() -> None:
    with pytest.raises(WeightsError, match="no pretrained weights for u-net"):
        build_network("u-net", pretrained="imagenet")


def test_vgg13_fills_four_encoder_stages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGTRIAL_WEIGHTS", str(tmp_path))
    published = _vgg13()
    file = tmp_path / "vgg13_bn-abd245e5.pth"
    torch.save(_published(published), file)
    network = build_network("u-net", pretrained="vgg13_bn")
    assert isinstance(network, UNet)
    # Eight convolutions with five tensors of normalization each; their biases are folded into those.
    assert (network.weights_report.file, network.weights_report.loaded) == (file.name, 8 * 6)
    images = torch.randn(2, 3, 32, 32)
    network.eval()
    with torch.no_grad():
        features, expected = images, images
        stops = (6, 13, 20, 27)
        for stage, (start, stop) in enumerate(itertools.pairwise((0, *stops))):
            features = network.encoder[stage](features if stage == 0 else network.pool(features))
            expected = published[start:stop](expected)
            torch.testing.assert_close(features, expected, rtol=1e-3, atol=1e-4)
    gray = build_network("u-net", pretrained="vgg13_bn", channels=1)
    assert isinstance(gray, UNet)
    torch.testing.assert_close(gray.encoder[0][0].weight, network.encoder[0][0].weight.sum(1, keepdim=True))
    assert gray.weights_report.notes


def test_vgg13_that_does_not_fit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGTRIAL_WEIGHTS", str(tmp_path))
    find = finder("u-net")
    assert find("none", None, {"width": 64}) is None
    with pytest.raises(WeightsError, match=r"vgg13_bn-abd245e5\.pth is not there") as caught:
        find("vgg13_bn", None, {"width": 64})
    for part in ("bench weights get vgg13_bn-abd245e5.pth", "https://", "$SEGTRIAL_WEIGHTS"):
        assert part in (caught.value.fix or "")
    with pytest.raises(WeightsError, match="u-net with width 32"):
        find("vgg13_bn", None, {"width": 32})
    file = tmp_path / "mine.pth"
    tensors = _published(_vgg13())
    del tensors["features.17.weight"]
    torch.save(tensors, file)
    with pytest.raises(WeightsError, match=r"1 missing \(encoder\.2\.3\.weight\)"):
        build(_request(pretrained="vgg13_bn", options={"width": 64}, weights=file))


def _vgg13() -> nn.Sequential:
    """Return the convolution layers of torchvision's vgg13_bn with made-up values."""
    layers: list[nn.Module] = []
    before = 3
    for width in (64, 64, 0, 128, 128, 0, 256, 256, 0, 512, 512, 0, 512, 512, 0):
        if width:
            layers += [nn.Conv2d(before, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
            before = width
        else:
            layers.append(nn.MaxPool2d(2))
    network = nn.Sequential(*layers).eval()
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point():
            tensor.copy_(torch.from_numpy(golden_tensor(name, tuple(tensor.shape), seed=1)))
    return network


def _published(network: nn.Sequential) -> dict[str, Tensor]:
    """Return the network's tensors as the published file names them, with a small classifier."""
    features = {f"features.{name}": tensor for name, tensor in network.state_dict().items()}
    return features | {"classifier.0.weight": torch.zeros(2, 2), "classifier.0.bias": torch.zeros(2)}


def _request(
    pretrained: str = "none",
    options: dict[str, int] | None = None,
    channels: int = 3,
    weights: Path | None = None,
) -> BuildRequest:
    return BuildRequest(
        in_channels=channels,
        num_classes=2,
        image_size=32,
        pretrained=pretrained,
        weights_files=() if weights is None else (weights,),
        options=options or {},
    )
