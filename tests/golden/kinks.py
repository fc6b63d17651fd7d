"""Input gradients of networks whose gradient jumps where a rectifier's input is zero, compared across jumps.

Some of millions of rectified values lie so close to zero that rounding decides their sign, and each moves the
input gradient by far more than rounding. A stored gradient is right if it is ours for some signs of those.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from unittest import mock

import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.helpers.golden import Golden

CLOSE = 1e-5
"""Below this, the sign of a normalized value is rounding's."""
TRIED = 32

Place = tuple[int, int]
"""The how-manieth call of leaky_relu, and the value's index."""
_leaky_relu = functional.leaky_relu


@dataclass
class Signs:
    """Stands in for leaky_relu: treats the values at some places as of the opposite sign, finds places."""

    flipped: frozenset[Place] = frozenset()

    def __post_init__(self) -> None:
        self.calls = 0
        self.close: list[tuple[float, Place]] = []

    def __call__(self, values: Tensor, slope: float = 0.01) -> Tensor:
        call, self.calls = self.calls, self.calls + 1
        rectified = _leaky_relu(values, slope)
        for index in (index for of_call, index in self.flipped if of_call == call):
            value = values.flatten()[index]
            other = value * (slope if value > 0 else 1)
            place = torch.zeros_like(values).flatten()
            place[index] = 1
            rectified = torch.where(place.view_as(values) > 0, other, rectified)
        near = (values.detach().flatten().abs() < CLOSE).nonzero().flatten().tolist()

        def weigh(gradient: Tensor) -> None:
            self.close += [(abs(gradient.flatten()[index].item()), (call, index)) for index in near]

        if near:
            rectified.register_hook(weigh)
        return rectified


def error_across_kinks(
    model: nn.Module, golden: Golden, run: Callable[[nn.Module, Tensor], tuple[Tensor, Sequence[Tensor]]]
) -> tuple[float, int]:
    """Return the smallest relative error of the input gradient found, and how many signs were changed.

    Of the values within CLOSE of zero, those TRIED that the gradient depends on most are changed one after
    another, and stay changed where that brings the gradients closer.
    """
    stored = torch.from_numpy(golden.arrays["input_grad"]).double()
    dtype = next(model.parameters()).dtype

    def difference(signs: Signs) -> Tensor:
        image, step = golden.image(dtype).requires_grad_(), golden.facts["grad_step"]
        with mock.patch.object(functional, "leaky_relu", signs):
            logits, _ = run(model, image)
            (gradient,) = torch.autograd.grad(logits.square().mean(), image)
        return gradient[0, :, ::step, ::step].double() - stored

    signs = Signs()
    best = difference(signs)
    for _, place in sorted(signs.close, reverse=True)[:TRIED]:
        tried = Signs(signs.flipped | {place})
        found = difference(tried)
        if found.norm() < best.norm():
            best, signs = found, tried
    return (best.abs().max() / stored.abs().max()).item(), len(signs.flipped)
