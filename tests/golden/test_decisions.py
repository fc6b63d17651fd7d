"""Piecewise functions compute the same when told what to decide, and decide what they are told."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.golden.decisions import Decisions

POINTS = torch.rand(2, 4, 5, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 3 - 1.5

FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": functional.relu,
    "relu in place": lambda values: nn.ReLU(inplace=True)(values * 1),
    "method": lambda values: values.relu(),
    "leaky": lambda values: functional.leaky_relu(values, 0.1),
    "leaky module": nn.LeakyReLU(0.3),
    "relu6": nn.ReLU6(),
    "hardtanh": nn.Hardtanh(-0.5, 0.25),
    "hardsigmoid": functional.hardsigmoid,
    "hardswish": nn.Hardswish(),
    "clamp": lambda values: values.clamp(-0.1, 0.2),
    "clamp below": lambda values: torch.clamp(values, min=0.1),
    "clamp above": lambda values: values.clamp_max(0.1),
    "abs": lambda values: values.abs(),
    "built-in abs": abs,
    "maximum": lambda values: torch.maximum(values, values.flip(-1) * 2),
    "minimum": lambda values: torch.minimum(values.flip(-1), values * 2),
    "pooling": lambda values: functional.max_pool2d(values, 3, stride=2, padding=1),
    "pooling up": nn.MaxPool2d(2, ceil_mode=True),
    "adaptive pooling": nn.AdaptiveMaxPool2d((2, 3)),
    "sampling": lambda values: functional.grid_sample(values, POINTS * values.mean(), align_corners=False),
    "corners": lambda values: functional.grid_sample(
        values, POINTS + 0.1 * values.mean(), align_corners=True
    ),
    "floor": lambda values: values * values.floor(),
    "comparison": lambda values: torch.where(values > 0.2, values.square(), values),
    "greatest": lambda values: values.gather(1, values.argmax(1, keepdim=True)),
}


def image() -> Tensor:
    drawn = torch.randn(2, 3, 7, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return (4 * drawn).requires_grad_()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_noting_and_repeating_decisions_changes_no_number(name: str) -> None:
    values = image()
    expected = FUNCTIONS[name](values)
    (gradient,) = torch.autograd.grad(expected.sin().sum(), values)
    noting = Decisions()
    with noting:
        noted = FUNCTIONS[name](values)
    with Decisions(noting.noted):
        repeated = FUNCTIONS[name](values)
    assert noting.noted
    for found in (noted, repeated):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
        (same,) = torch.autograd.grad(found.sin().sum(), values)
        # torch's hardsigmoid has its slope in single precision.
        torch.testing.assert_close(same, gradient, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_gradients_are_those_of_what_was_decided(name: str) -> None:
    """Where the image has moved across edges, the first image's formulas are followed."""
    values = image()
    noting = Decisions()
    with noting:
        FUNCTIONS[name](values)
    shifted = (values.flip(2).detach() + 0.3).requires_grad_()
    plain = FUNCTIONS[name](shifted)
    with Decisions(noting.noted):
        told = FUNCTIONS[name](shifted)
    (own,) = torch.autograd.grad(plain.sum(), shifted)
    (given,) = torch.autograd.grad(told.sum(), shifted)
    assert (own - given).abs().max() > 0.01


def test_what_the_image_does_not_decide_is_left_alone() -> None:
    noting = Decisions()
    with noting:
        functional.relu(torch.ones(2)).max()
    assert not noting.noted


@pytest.mark.parametrize(
    "function",
    [
        torch.amax,
        lambda values: values.topk(2),
        functional.hardshrink,
        lambda values: values.clamp(values.detach(), None),
        lambda values: functional.grid_sample(values, POINTS, mode="nearest", align_corners=False),
        lambda values: functional.max_pool2d(values, 2, return_indices=True),
        lambda values: (values * 1).floor_(),
    ],
)
def test_a_function_without_a_rule_is_not_passed_over(function: Callable[[Tensor], object]) -> None:
    with pytest.raises(NotImplementedError, match="decides piecewise: give it a rule"), Decisions():
        function(image())
