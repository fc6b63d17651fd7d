"""The selective scan: every form computes what the definition does, gradients and large steps included."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from bench_sma.swin_umamba.scan import selective_scan, use_backend
from bench_sma.swin_umamba.scan.dispatcher import backend_for, is_installed

SHAPES = [(1, 1, 1, 1, 1), (2, 3, 5, 4, 7), (1, 4, 6, 16, 64), (2, 2, 19, 16, 131), (1, 1, 3, 8, 200)]
"""Images, groups, channels of a group, states, steps."""
NAMES = ("u", "delta", "A", "B", "C", "D", "delta_bias")
ON_CPU = [
    pytest.param(name, marks=pytest.mark.skipif(not is_installed(name), reason=f"{name} is not installed"))
    for name in ("numba", "blocked")
]


def inputs(shape: tuple[int, ...], large_steps: bool = False, seed: int = 0) -> list[Tensor]:
    """Return float64 arguments like those of a fresh network, or with steps up to 10 and more."""
    batch, groups, channels, states, length = shape
    draw = torch.Generator().manual_seed(seed)

    def normal(*sizes: int) -> Tensor:
        return torch.randn(*sizes, dtype=torch.float64, generator=draw)

    rows = groups * channels
    decay = torch.arange(1, states + 1, dtype=torch.float64).repeat(rows, 1)
    return [
        normal(batch, rows, length),
        normal(batch, rows, length) * (4 if large_steps else 1),
        -decay * (0.5 * normal(rows, states)).exp(),
        normal(batch, groups, states, length),
        normal(batch, groups, states, length),
        normal(rows),
        normal(rows) + (2 if large_steps else -3),
    ]


def outcome(backend: str, arguments: list[Tensor], softplus: bool = True) -> dict[str, Tensor]:
    """Return y and the gradients of a weighted sum of it."""
    leaves = [tensor.clone().requires_grad_() for tensor in arguments]
    with use_backend(backend):
        y = selective_scan(*leaves, softplus)
    weights = torch.randn(y.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    gradients = torch.autograd.grad((y * weights.to(y.dtype)).sum(), leaves)
    return {"y": y.detach(), **dict(zip(NAMES, gradients, strict=True))}


def errors(found: dict[str, Tensor], expected: dict[str, Tensor]) -> dict[str, float]:
    """Return the largest differences, relative to the largest value expected."""
    return {
        name: ((found[name].double() - tensor).abs().max() / tensor.abs().max()).item()
        for name, tensor in expected.items()
    }


@pytest.mark.parametrize("large_steps", [False, True], ids=["usual", "large steps"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("backend", ON_CPU)
def test_float32_agrees_with_the_definition_in_float64(
    backend: str, shape: tuple[int, ...], large_steps: bool
) -> None:
    arguments = inputs(shape, large_steps)
    expected = outcome("sequential", arguments)
    found = outcome(backend, [tensor.float() for tensor in arguments])
    assert found["y"].dtype == torch.float32
    assert max(errors(found, expected).values()) < 1e-5


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_blocked_form_is_exact_in_float64(shape: tuple[int, ...]) -> None:
    arguments = inputs(shape)
    for softplus in (True, False):
        if not softplus:
            arguments[1] = functional.softplus(arguments[1])
            arguments[6] = arguments[6].abs()
        found, expected = (outcome(name, arguments, softplus) for name in ("blocked", "sequential"))
        assert found["y"].dtype == torch.float64
        assert max(errors(found, expected).values()) < 1e-13


def test_gradients_are_those_of_finite_differences() -> None:
    arguments = [tensor.requires_grad_() for tensor in inputs((1, 2, 2, 3, 6))]
    assert backend_for(arguments[0]) == "blocked"
    assert torch.autograd.gradcheck(selective_scan, arguments)
