"""Spline layers: the closed form is the recursion, its gradient the derivative, other grids are obeyed."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import Tensor

from bench_sma.u_kan.kan import BASES, KANLinear, UniformSplineBases, chosen, put, spline_bases

KNOTS = torch.arange(-3, 9, dtype=torch.float64) * 0.4 - 1


def knots(features: int) -> Tensor:
    return KNOTS.expand(features, -1)


def test_closed_form_is_the_recursion() -> None:
    points = torch.randn(500, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 1.5
    expected = spline_bases(points, knots(4))
    torch.testing.assert_close(UniformSplineBases.apply(points), expected, rtol=0, atol=1e-14)
    single = UniformSplineBases.apply(points.float()).double()
    torch.testing.assert_close(single, expected, rtol=0, atol=2e-6)


def test_what_a_gpu_does_instead_of_scattering_is_the_same() -> None:
    drawn = torch.Generator().manual_seed(0)
    bases, values = torch.randn(50, 3, BASES, generator=drawn), torch.randn(50, 3, generator=drawn)
    values[0, 0], values[1, 1] = torch.nan, -0.0
    place = torch.randint(0, BASES, (50, 3), generator=drawn)
    one, other = chosen(bases, place, values), put(bases.clone(), place, values)
    torch.testing.assert_close(one, other, rtol=0, atol=0, equal_nan=True)
    assert torch.equal(torch.signbit(one), torch.signbit(other))


def test_bases_sum_to_one_on_the_grid_and_are_gone_beyond_its_knots() -> None:
    inside = torch.linspace(-1, 0.999, 200, dtype=torch.float64)[:, None]
    torch.testing.assert_close(UniformSplineBases.apply(inside).sum(-1), torch.ones_like(inside))
    outside = torch.tensor([[-2.3], [2.3], [-1e9], [1e9], [torch.inf], [-torch.inf]], dtype=torch.float64)
    assert not UniformSplineBases.apply(outside).any()
    assert not UniformSplineBases.apply(torch.full((3, 2), torch.nan)).any()


def test_gradient_is_the_derivative() -> None:
    points = torch.tensor([[-1.93, 0.11], [2.19, 1.5], [-0.95, 3.0]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(UniformSplineBases.apply, (points,))
    weights = torch.randn(3, 2, BASES, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    (expected,) = torch.autograd.grad((spline_bases(points, knots(2)) * weights).sum(), points)
    (found,) = torch.autograd.grad((UniformSplineBases.apply(points) * weights).sum(), points)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-13)
    assert found.all(dim=1).tolist() == [True, True, False]


def test_a_layer_is_its_formula() -> None:
    layer = KANLinear(3, 5)
    tokens = torch.randn(7, 3, generator=torch.Generator().manual_seed(1))
    curves = torch.einsum(
        "oib,tib->to",
        layer.spline_weight * layer.spline_scaler[..., None],
        spline_bases(tokens, layer.grid),
    )
    expected = torch.nn.functional.silu(tokens) @ layer.base_weight.T + curves
    torch.testing.assert_close(layer(tokens), expected, rtol=1e-4, atol=1e-6)


def test_a_loaded_grid_that_is_not_uniform_is_obeyed_and_survives_copies() -> None:
    torch.manual_seed(0)
    layer, tokens = KANLinear(2, 2), torch.randn(50, 2)
    uniform = layer(tokens)
    uneven = layer.grid.clone()
    uneven[0, 5] += 0.1
    layer.load_state_dict({**layer.state_dict(), "grid": uneven})
    expected = spline_bases(tokens, uneven)
    for copied in (layer, copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        torch.testing.assert_close(copied.bases(tokens), expected)
        assert not torch.allclose(copied(tokens), uniform)
    layer.load_state_dict({**layer.state_dict(), "grid": KANLinear(2, 2).grid})
    assert torch.equal(layer(tokens), uniform)


def test_double_precision_takes_the_knots_as_they_are() -> None:
    layer, tokens = KANLinear(2, 2).double(), torch.randn(20, 2, dtype=torch.float64)
    assert torch.equal(layer.bases(tokens), spline_bases(tokens, layer.grid))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=["bf16", "fp16"])
def test_bases_are_float32_in_mixed_precision(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    layer, tokens = KANLinear(4, 4), torch.randn(30, 4)
    with torch.autocast("cpu", dtype=dtype):
        assert layer.bases(tokens.to(dtype)).dtype == torch.float32
        assert torch.equal(layer.bases(tokens), UniformSplineBases.apply(tokens))
        mixed = layer(tokens)
    assert mixed.dtype == dtype
    torch.testing.assert_close(mixed.float(), layer(tokens), rtol=0.02, atol=0.02)


def test_splines_start_as_small_noise_of_the_least_norm() -> None:
    torch.manual_seed(0)
    layer = KANLinear(64, 64)
    inner = KNOTS[3:9, None] + 1e-12
    at_knots = spline_bases(inner, KNOTS[None])[:, 0]
    values = torch.einsum("oib,kb->oik", layer.spline_weight.detach().double(), at_knots)
    # Uniform within a half of 0.1 / 5, as drawn.
    assert values.abs().max() <= 0.01 + 1e-6
    assert abs(values.std().item() - 0.02 / 12**0.5) < 1e-4
    shortest = torch.linalg.lstsq(at_knots, values.flatten(0, 1).T, driver="gelsd").solution.T
    torch.testing.assert_close(
        layer.spline_weight.detach().double().flatten(0, 1), shortest, atol=1e-7, rtol=0
    )
