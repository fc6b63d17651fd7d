"""Gradients that differ by the sign of a rounded zero are told from gradients that are wrong."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.golden.kinks import error_across_kinks
from tests.helpers.golden import Golden


class Rectified(nn.Module):
    """Adds a bias to an image of 4x4 pixels, and rectifies it twice."""

    def __init__(self, bias: Tensor) -> None:
        super().__init__()
        self.bias = nn.Parameter(bias)

    def forward(self, image: Tensor) -> Tensor:
        return functional.leaky_relu(functional.leaky_relu(image + self.bias, 0.1) + 1, 0.1)


def run(model: nn.Module, image: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
    return model(image), ()


def test_signs_close_to_zero_are_changed_and_nothing_else() -> None:
    golden = Golden({"seed": 0, "image_size": 4, "grad_step": 1}, {"input_grad": np.zeros((3, 4, 4))})
    image = golden.image(torch.float32)
    bias = torch.zeros_like(image)
    close, above, clear = (0, 1, 2, 3), (0, 0, 1, 1), (0, 2, 0, 0)
    bias[close], bias[above], bias[clear] = -image[close] - 1e-6, -image[above] + 1e-6, -image[clear] - 1e-3

    def stored_with(*signs: tuple[int, ...]) -> Golden:
        theirs = Rectified(bias.clone())
        for place in signs:
            theirs.bias.data[place] = -2 * image[place] - bias[place]
        leaf = image.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(theirs(leaf).square().mean(), leaf)
        return Golden(golden.facts, {"input_grad": gradient[0].numpy()})

    assert error_across_kinks(Rectified(bias), stored_with(), run) == (0.0, 0)
    error, changed = error_across_kinks(Rectified(bias), stored_with(close, above), run)
    assert error < 1e-4
    assert changed == 2
    error, _ = error_across_kinks(Rectified(bias), stored_with(close, clear), run)
    assert error > 0.1
