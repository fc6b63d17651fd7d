"""Bilinear resizing on CUDA whose gradient is both deterministic and fast.

Under deterministic algorithms PyTorch resizes with gathers, whose gradient sorts every index: SegFormer
trains at a third of its speed with it. Bilinear resizing is linear and separable, so that its gradient is a
product with two small matrices, and matrix products are deterministic.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, lru_cache, wraps
from typing import Any

import torch
from torch.nn import functional

Factors = tuple[float, float] | None


_usual = functional.interpolate


@contextmanager
def matrix_upsampling(device_type: str = "cuda") -> Iterator[None]:
    """Inside, `functional.interpolate` resizes images of a device bilinearly by `resized`, whoever calls it.

    The name is replaced. A torch function mode would do the same and ask Python at every operation, which
    halves the speed of networks of many small ones.
    """
    before = functional.interpolate
    functional.interpolate = _interpolating(device_type)
    try:
        yield
    finally:
        functional.interpolate = before


@cache
def _interpolating(device_type: str) -> Callable[..., torch.Tensor]:
    # torch.compile asks every function of this module for its name, which a partial one does not have.
    @wraps(_usual)
    def interpolate(*arguments: Any, **named: Any) -> torch.Tensor:
        return _interpolate(device_type, *arguments, **named)

    return interpolate


def _interpolate(
    device_type: str,
    input: torch.Tensor,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> torch.Tensor:
    plain = mode == "bilinear" and not antialias and (size is None) != (scale_factor is None)
    here = input.device.type == device_type and input.dim() == 4 and input.is_floating_point()
    if not (plain and here) or torch.compiler.is_compiling():
        return _usual(input, size, scale_factor, mode, align_corners, recompute_scale_factor, antialias)
    rows, columns = input.shape[-2:]
    factors: Factors = None
    if scale_factor is not None:
        by_row, by_column = _pair(scale_factor)
        target = (int(rows * by_row), int(columns * by_column))
        factors = None if recompute_scale_factor else (by_row, by_column)
    else:
        assert size is not None
        target = _pair(size)
    return resized(input, target, bool(align_corners), factors)


def _pair(value: Any) -> tuple[Any, Any]:
    return tuple(value) if isinstance(value, Sequence) else (value, value)


def resized(
    images: torch.Tensor, size: tuple[int, int], align_corners: bool, factors: Factors = None
) -> torch.Tensor:
    """Resize images [N, C, H, W] bilinearly, as `functional.interpolate` does with these settings.

    `factors` are the scale factors of rows and columns where places are computed from them and not from the
    sizes, which differs where a factor is no quotient of whole numbers.
    """
    out: torch.Tensor = _Resizing.apply(images, size, align_corners, factors)
    return out


class _Resizing(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, images: torch.Tensor, size: tuple[int, int], align_corners: bool, factors: Factors
    ) -> torch.Tensor:
        ctx.shape, ctx.align_corners, ctx.factors = images.shape[-2:], align_corners, factors
        kernel = torch.ops.aten.upsample_bilinear2d.default
        by_row, by_column = factors or (None, None)
        return kernel(images, list(size), align_corners, by_row, by_column)  # type: ignore[no-any-return]

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None, None]:
        (gradient,) = gradients
        factors = ctx.factors or (None, None)
        rows, columns = (
            _weights(before, after, ctx.align_corners, factor, gradient.dtype, gradient.device)
            for before, after, factor in zip(ctx.shape, gradient.shape[-2:], factors, strict=True)
        )
        exact = gradient.to(torch.promote_types(rows.dtype, columns.dtype))
        found = torch.matmul(rows.to(exact.dtype), torch.matmul(exact, columns.to(exact.dtype).T))
        return found.to(gradient.dtype), None, None, None


@lru_cache(maxsize=256)
def _weights(
    before: int,
    after: int,
    align_corners: bool,
    factor: float | None,
    dtype: torch.dtype,
    device: torch.device,
) -> torch.Tensor:
    """Return how much each of `after` pixels takes from each of `before`: [before, after].

    In `dtype` where that holds the weights exactly (steps of a power of two), in float32 otherwise.
    """
    precise = torch.float64 if dtype == torch.float64 else torch.float32
    each = torch.eye(before, dtype=precise, device=device)[None]
    length: dict[str, Any] = {"size": after} if factor is None else {"scale_factor": factor}
    with torch.no_grad():
        weights = _usual(each, mode="linear", align_corners=align_corners, **length)[0]
    reduced = weights.to(dtype)
    return reduced if torch.equal(reduced.to(precise), weights) else weights
