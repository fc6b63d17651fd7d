"""U-Net: the published parameter count, any image size, and the names of the public implementation."""

from __future__ import annotations

import pytest
import torch

from bench_core import BuildRequest
from bench_core.errors import WeightsError
from bench_core.plugins import load_registry
from bench_sma.unet import UNet, build, from_reference


def _parameters(model: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize(("logits", "count"), [(1, 31_037_633), (3, 31_037_763), (4, 31_037_828)])
def test_parameter_counts_are_the_published_ones(logits: int, count: int) -> None:
    with torch.device("meta"):
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
        build(_request(pretrained="imagenet"))


def _request(pretrained: str = "none", options: dict[str, int] | None = None) -> BuildRequest:
    return BuildRequest(
        in_channels=3, num_classes=2, image_size=32, pretrained=pretrained, options=options or {}
    )
