"""A network in single precision whose rectifiers and poolings decide as in double precision.

Some of millions of rectified values lie so close to zero that rounding decides their sign, and a gradient
jumps there by far more than rounding. With double precision's decisions what is left is rounding alone: a
difference that stays is a fault, whatever the network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from tests.helpers.golden import Golden

Run = Callable[[nn.Module, Tensor], tuple[Tensor, Sequence[Tensor]]]


class Decisions(TorchFunctionMode):
    """Notes the signs of rectified values and the places of pooled ones, or decides by those noted."""

    def __init__(self, noted: Sequence[Tensor] | None = None) -> None:
        super().__init__()
        self.noted: list[Tensor] = []
        self._given: Iterator[Tensor] | None = None if noted is None else iter(noted)

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        named = kwargs or {}
        name = getattr(func, "__name__", "")
        if name in ("relu", "relu_", "leaky_relu", "leaky_relu_"):
            slope = (
                named.get("negative_slope", args[1] if len(args) > 1 else 0.01) if "leaky" in name else 0.0
            )
            positive = self._decided(lambda: args[0] > 0)
            return torch.where(positive, args[0], args[0] * slope)
        if name in ("max_pool2d", "boolean_dispatch", "_max_pool2d") and not named.get("return_indices"):
            pooled = {key: value for key, value in named.items() if key != "return_indices"}
            places = self._decided(
                lambda: functional.max_pool2d_with_indices(args[0].detach(), *args[1:], **pooled)[1]
            )
            return args[0].flatten(2).gather(2, places.flatten(2)).view(places.shape)
        return func(*args, **named)

    def _decided(self, decide: Callable[[], Tensor]) -> Tensor:
        if self._given is not None:
            return next(self._given)
        self.noted.append(decide())
        return self.noted[-1]


def gradient_with_double_signs(single: nn.Module, double: nn.Module, golden: Golden, run: Run) -> Tensor:
    """Return the input gradient [C, H, W] of a model in single precision, decided as its double decides."""
    noting = Decisions()
    torch.manual_seed(0)
    with torch.no_grad(), noting:
        run(double, golden.image(torch.float64))
    image = golden.image(torch.float32).requires_grad_()
    torch.manual_seed(0)
    with Decisions(noting.noted):
        logits, _ = run(single, image)
    (gradient,) = torch.autograd.grad(logits.square().mean(), image)
    return gradient[0]


def error_with_double_signs(single: nn.Module, double: nn.Module, golden: Golden, run: Run) -> float:
    """Return the relative error of that gradient where the reference stored its own."""
    step, stored = golden.facts["grad_step"], torch.from_numpy(golden.arrays["input_grad"]).double()
    found = gradient_with_double_signs(single, double, golden, run)[:, ::step, ::step].double()
    return ((found - stored).abs().max() / stored.abs().max()).item()
