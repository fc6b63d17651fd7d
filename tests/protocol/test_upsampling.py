from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from bench_core.protocol.upsampling import matrix_upsampling

WAYS: list[dict[str, Any]] = [
    {"size": (12, 20), "align_corners": False},
    {"size": [24, 8], "align_corners": True},
    {"size": 9},
    {"size": (3, 2), "align_corners": False},
    {"size": (1, 1), "align_corners": True},
    {"scale_factor": 2.0, "align_corners": False},
    {"scale_factor": 2, "align_corners": True},
    {"scale_factor": (1.7, 0.55)},
    {"scale_factor": 1.7, "recompute_scale_factor": True},
]


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("last", [False, True], ids=["channels first", "channels last"])
def test_images_and_gradients_are_those_of_pytorch(way: dict[str, Any], last: bool) -> None:
    torch.manual_seed(0)
    images = torch.randn(2, 3, 6, 10, dtype=torch.float64)
    if last:
        images = images.to(memory_format=torch.channels_last)

    def both() -> tuple[torch.Tensor, torch.Tensor]:
        leaf = images.clone().requires_grad_()
        out = functional.interpolate(leaf, mode="bilinear", **way)
        weights = torch.arange(out.numel(), dtype=torch.float64).reshape(out.shape).sin()
        return out.detach(), torch.autograd.grad((out * weights).sum(), leaf)[0]

    usual, gradient = both()
    with matrix_upsampling("cpu"):
        found, own = both()
    assert torch.equal(found, usual)
    torch.testing.assert_close(own, gradient, rtol=1e-12, atol=1e-12)


def test_a_half_precision_gradient_is_nearer_to_the_true_one_than_a_rounding() -> None:
    torch.manual_seed(0)
    images = torch.randn(1, 2, 16, 16, dtype=torch.float16)
    for size in ((64, 64), (50, 23)):

        def gradient(dtype: torch.dtype, size: tuple[int, int] = size) -> torch.Tensor:
            leaf = images.to(dtype).requires_grad_()
            out = functional.interpolate(leaf, size=size, mode="bilinear")
            return torch.autograd.grad(out.square().sum(), leaf)[0]

        true = gradient(torch.float64)
        with matrix_upsampling("cpu"):
            own = gradient(torch.float16)
        assert own.dtype == torch.float16
        assert ((own.double() - true).abs().max() / true.abs().max()).item() < 2**-9


def test_what_is_not_bilinear_stays_with_pytorch() -> None:
    images = torch.randn(1, 2, 6, 6)
    ways: list[dict[str, Any]] = [
        {"size": 3, "mode": "nearest"},
        {"size": 9, "mode": "bicubic"},
        {"size": 3, "mode": "bilinear", "antialias": True},
    ]
    for way in ways:
        with matrix_upsampling("cpu"):
            found = functional.interpolate(images, **way)
        assert torch.equal(found, functional.interpolate(images, **way))
    with matrix_upsampling("cpu"), pytest.raises(ValueError, match="only one of size or scale_factor"):
        functional.interpolate(images, size=3, scale_factor=2.0, mode="bilinear")
    assert functional.interpolate.__module__ == "torch.nn.functional"


def test_a_module_that_asks_for_gradients_of_gradients_gets_them() -> None:
    leaf = torch.randn(1, 1, 4, 4, dtype=torch.float64, requires_grad=True)
    with matrix_upsampling("cpu"):
        grow = nn.Upsample(scale_factor=2.0, mode="bilinear")
        assert torch.autograd.gradgradcheck(grow, (leaf,))


def test_a_network_can_be_compiled_inside() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.Upsample(scale_factor=2.0, mode="bilinear"))
    images = torch.randn(1, 1, 4, 4)
    with matrix_upsampling("cpu"):
        compiled = torch.compile(network, backend="eager", fullgraph=True)
        torch.testing.assert_close(compiled(images), network(images))
