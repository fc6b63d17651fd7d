"""A gradient that differs by a rounded sign is told from one that is wrong, for rectifiers of every kind."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.golden.signs import error_with_double_signs
from tests.helpers.golden import Golden

KINDS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": functional.relu,
    "module": nn.ReLU(inplace=True),
    "leaky": lambda values: functional.leaky_relu(values, 0.1),
}


class Rectified(nn.Module):
    """Adds to an image of 4x4 pixels what a rectifier leaves of it after a bias."""

    def __init__(self, bias: Tensor, kind: str) -> None:
        super().__init__()
        self.bias = nn.Parameter(bias)
        self.kind = kind

    def forward(self, image: Tensor) -> Tensor:
        return 5 * image + KINDS[self.kind](image + self.bias)


def run(model: nn.Module, image: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
    return model(image), ()


def gradient(model: nn.Module, image: Tensor) -> Tensor:
    leaf = image.clone().requires_grad_()
    (found,) = torch.autograd.grad(model(leaf).square().mean(), leaf)
    return found[0]


@pytest.mark.parametrize("kind", KINDS)
def test_rounded_signs_are_double_precisions_and_faults_stay(kind: str) -> None:
    golden = Golden({"seed": 0, "image_size": 4, "grad_step": 1}, {"input_grad": np.zeros((3, 4, 4))})
    image = golden.image(torch.float64)
    bias = torch.zeros_like(image)
    bias[0, 0, 1, 2] = -image[0, 0, 1, 2] + 1e-12
    stored = gradient(Rectified(bias, kind), image)
    golden.arrays["input_grad"] = stored.numpy()
    # In single precision that value is rounded to one that is not positive.
    double = Rectified(bias, kind)
    single = copy.deepcopy(double).float()
    plain = gradient(single, golden.image(torch.float32)).double()
    assert (plain - stored).abs().max() > 1e-2 * stored.abs().max()
    assert error_with_double_signs(single, double, golden, run) < 1e-6
    golden.arrays["input_grad"] = stored.numpy() * 1.01
    assert error_with_double_signs(single, double, golden, run) > 1e-3
