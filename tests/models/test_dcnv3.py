"""Deformable convolution v3 against its definition, written out point by point."""

from __future__ import annotations

import functools
import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from bench_gpvm.internimage.dcnv3 import POINTS, DCNv3, sample_points


def by_definition(value: Tensor, offsets: Tensor, weights: Tensor, groups: int) -> Tensor:
    """Return the paper's equation 2, one point after another."""
    batch, height, width, channels = value.shape
    moves = offsets.view(batch, height, width, groups, POINTS, 2)
    shares = weights.view(batch, height, width, groups, POINTS)
    split = value.view(batch, height, width, groups, channels // groups)
    total = torch.zeros_like(split)
    for image, row, column, group in torch.cartesian_prod(*map(torch.arange, total.shape[:-1])).tolist():
        for point in range(POINTS):
            dx, dy = moves[image, row, column, group, point]
            x, y = column + point // 3 - 1 + dx, row + point % 3 - 1 + dy
            share = shares[image, row, column, group, point]
            total[image, row, column, group] += share * bilinear(split[image, :, :, group], x, y)
    return total.flatten(-2)


def bilinear(maps: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Return maps [H, W, c] between four of their pixels, zero beyond."""
    height, width, _ = maps.shape
    left, top = math.floor(x.item()), math.floor(y.item())
    found = torch.zeros_like(maps[0, 0])
    for column, across in ((left, left + 1 - x), (left + 1, x - left)):
        for row, down in ((top, top + 1 - y), (top + 1, y - top)):
            if 0 <= column < width and 0 <= row < height:
                found = found + across * down * maps[row, column]
    return found


def inputs(batch: int, height: int, width: int, groups: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Return features of two channels a group, offsets that leave so small a map, and weights."""
    torch.manual_seed(seed)
    shape = (batch, height, width)
    value = torch.randn(*shape, 2 * groups, dtype=torch.float64)
    offsets = 1.5 * torch.randn(*shape, groups * POINTS * 2, dtype=torch.float64)
    weights = torch.rand(*shape, groups * POINTS, dtype=torch.float64)
    return value.requires_grad_(), offsets.requires_grad_(), weights.requires_grad_()


@pytest.mark.parametrize("shape", [(2, 3, 4, 2), (1, 1, 5, 3), (1, 4, 1, 1)])
def test_outputs_and_gradients_are_those_of_the_definition(shape: tuple[int, int, int, int]) -> None:
    tensors, groups = inputs(*shape), shape[-1]
    found, expected = sample_points(*tensors, groups), by_definition(*tensors, groups)
    # Unmoved points have single precision's digits.
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-6)
    upstream = torch.randn_like(found)
    gradients = torch.autograd.grad(found, tensors, upstream)
    for ours, theirs in zip(gradients, torch.autograd.grad(expected, tensors, upstream), strict=True):
        assert theirs.any()
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)


def test_gradients_are_those_of_small_differences() -> None:
    tensors = inputs(1, 3, 4, 2, seed=1)
    assert torch.autograd.gradcheck(functools.partial(sample_points, groups=2), tensors)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_wide_maps_are_met_pixel_by_pixel_in_any_precision(dtype: torch.dtype) -> None:
    """Unmoved points of equal weight take the mean of the neighborhood; half precision would miss it."""
    value = torch.randint(-9, 10, (1, 3, 300, 4)).to(dtype)
    offsets, weights = torch.zeros(1, 3, 300, 36, dtype=dtype), torch.ones(1, 3, 300, 18, dtype=dtype)
    found = sample_points(value, offsets, weights, groups=2)
    assert found.dtype == dtype
    mean = functional.avg_pool2d(value.float().permute(0, 3, 1, 2), 3, stride=1, padding=1)
    torch.testing.assert_close(found.float(), 9 * mean.permute(0, 2, 3, 1), rtol=1e-2, atol=1e-2)


def test_points_run_down_columns_and_moves_are_x_before_y() -> None:
    value = torch.arange(5 * 6, dtype=torch.float32).view(1, 5, 6, 1)
    for point, (dx, dy) in enumerate((dx, dy) for dx in (-1, 0, 1) for dy in (-1, 0, 1)):
        weights = torch.zeros(1, 5, 6, POINTS)
        weights[..., point] = 1
        offsets = torch.zeros(1, 5, 6, POINTS, 2)
        offsets[..., point, :] = torch.tensor([0.5, -1.0])
        found = sample_points(value, offsets.flatten(3), weights, groups=1)
        # At row 2 and column 2, of 6 columns: one row is 6, one column 1.
        assert found[0, 2, 2].item() == pytest.approx(14 + 6 * (dy - 1) + dx + 0.5, abs=1e-4)


def test_it_starts_as_the_mean_of_the_neighborhood() -> None:
    torch.manual_seed(0)
    layer = DCNv3(width=8, groups=2)
    features = torch.randn(2, 5, 7, 8)
    mean = functional.avg_pool2d(layer.value(features).permute(0, 3, 1, 2), 3, stride=1, padding=1)
    torch.testing.assert_close(layer(features), layer.output(mean.permute(0, 2, 3, 1)), rtol=1e-4, atol=1e-5)


def test_each_group_has_its_own_points() -> None:
    torch.manual_seed(0)
    layer = DCNv3(width=6, groups=3)
    torch.nn.init.eye_(layer.output.weight)
    features = torch.randn(1, 4, 4, 6)
    before = layer(features)
    with torch.no_grad():
        layer.offset.bias[2 * POINTS : 4 * POINTS] += 1
    changed = (layer(features) != before).flatten(0, 2).any(dim=0)
    assert changed.tolist() == [False, False, True, True, False, False]
