"""Floating-point operations outside products of matrices: one rule, and the operations that do more.

The rule: an operation on elements counts one per value that it returns, whatever the function, and a
reduction one per value that it reads.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import ceil, log2, prod
from typing import Any

import torch
from torch import Tensor

from bench_core.arithmetic import Arithmetic
from bench_steps.cost.products import SOFTMAX, Formula

LINEAR, BILINEAR, TRILINEAR, BICUBIC = 3, 7, 15, 31
"""Operations of an interpolated value: n products and n - 1 sums of its n neighbors."""


def first(out: Any) -> Tensor:
    """Return the tensor that an operation is about: it, or the first of several."""
    found = out[0] if isinstance(out, (tuple, list)) else out
    if not isinstance(found, Tensor):
        raise TypeError("no tensor is returned")
    return found


def per_output(times: int) -> Formula:
    """Return the formula of so many operations for each value that is returned."""
    return lambda out, *args, **named: Arithmetic(other=times * first(out).numel())


def per_input(times: int) -> Formula:
    """Return the formula of so many operations for each value of the first argument."""
    return lambda out, tensor, *args, **named: Arithmetic(other=times * tensor.numel())


def elements(out: Any, args: Iterable[Any]) -> Arithmetic:
    """An operation on elements: one for each that is returned, if any tensor is of floating point."""
    lists = (each if isinstance(each, (tuple, list)) else (each,) for each in (out, *args))
    tensors = [item for each in lists for item in each if isinstance(item, Tensor)]
    if not any(item.is_floating_point() or item.is_complex() for item in tensors):
        return Arithmetic()
    outputs = out if isinstance(out, (tuple, list)) else (out,)
    return Arithmetic(other=sum(item.numel() for item in outputs if isinstance(item, Tensor)))


def layer_norm(out: Any, images: Tensor, shape: Any, weight: Tensor | None, bias: Tensor | None,
               *rest: Any) -> Arithmetic:  # fmt: skip
    """Mean (1), variance (3) and quotient (1), then scale and shift (1 each) where there are any."""
    return _normalized(images, weight, bias)


def group_norm(
    out: Any, images: Tensor, weight: Tensor | None, bias: Tensor | None, *rest: Any
) -> Arithmetic:
    """As a layer norm."""
    return _normalized(images, weight, bias)


def _normalized(images: Tensor, weight: Tensor | None, bias: Tensor | None) -> Arithmetic:
    return Arithmetic(other=images.numel() * (5 + (weight is not None) + (bias is not None)))


def batch_norm(
    out: Any, images: Tensor, weight: Tensor | None, bias: Tensor | None, mean: Any, var: Any, *rest: Any
) -> Arithmetic:
    """With kept statistics one product and one sum a value, into which all folds; else as a layer norm."""
    training = next((item for item in rest if isinstance(item, bool)), False)
    if not training and isinstance(mean, Tensor):
        return Arithmetic(other=2 * images.numel())
    return _normalized(images, weight, bias)


def pooled(out: Any, images: Tensor, kernel: Any, *rest: Any, **named: Any) -> Arithmetic:
    """One operation for each value under each window."""
    dimensions = images.dim() - 2
    sides = list(kernel) if isinstance(kernel, (tuple, list)) else [kernel]
    window = prod(sides * dimensions) if len(sides) == 1 else prod(sides)
    return Arithmetic(other=first(out).numel() * window)


def sampled(out: Tensor, images: Tensor, grid: Tensor, mode: int, *rest: Any) -> Arithmetic:
    """Interpolated values, and 2 operations for each coordinate that is brought to pixels."""
    dimensions = images.dim() - 2
    times = {0: {2: BILINEAR, 3: TRILINEAR}[dimensions], 1: 0, 2: BICUBIC}[mode]
    return Arithmetic(other=out.numel() * times + 2 * grid.numel())


def antialiased(out: Tensor, images: Tensor, taps: int) -> Arithmetic:
    """Sums along rows, then columns: the more neighbors, the more a side shrinks."""
    (high, wide), (above, across) = images.shape[2:], out.shape[2:]
    down, right = (ceil(taps * max(1.0, old / new)) for old, new in ((high, above), (wide, across)))
    planes = prod(out.shape[:2])
    return Arithmetic(other=planes * across * (high * (2 * right - 1) + above * (2 * down - 1)))


def transformed(out: Tensor, signal: Tensor, dim: Any, *rest: Any) -> Arithmetic:
    """A fast Fourier transform of N values: 5 N log2 N operations, half of them where one side is real."""
    points = prod(max(signal.shape[axis], out.shape[axis]) for axis in dim)
    real = not (signal.is_complex() and out.is_complex())
    whole = max(signal.numel(), out.numel())
    return Arithmetic(other=ceil(5 * whole * log2(max(points, 2)) / (2 if real else 1)))


def ordered(out: Any, values: Tensor, *rest: Any, **named: Any) -> Arithmetic:
    """n log2 n comparisons of all values."""
    side = values.shape[-1] if values.dim() else 1
    return Arithmetic(other=values.numel() * ceil(log2(max(side, 2))) if values.is_floating_point() else 0)


def bags(out: Any, table: Tensor, indices: Tensor, *rest: Any, **named: Any) -> Arithmetic:
    """Rows of a table that are looked up and summed, or their largest taken: one for each of their values."""
    return Arithmetic(other=indices.numel() * table.shape[-1])


def distances(out: Tensor, one: Tensor, *rest: Any, **named: Any) -> Arithmetic:
    """For each pair of rows a difference, a power and a sum per coordinate, and a root."""
    return Arithmetic(other=out.numel() * (3 * one.shape[-1] + 1))


_REDUCTIONS = (
    "sum", "mean", "nansum", "prod", "amax", "amin", "max", "min", "argmax", "argmin", "aminmax", "cumsum",
    "cumprod", "cummax", "cummin", "all", "any", "count_nonzero", "_adaptive_avg_pool2d",
    "_adaptive_avg_pool3d", "adaptive_max_pool2d", "adaptive_max_pool3d", "median", "trace", "col2im",
)  # fmt: skip
_SPECIAL: Mapping[str, Formula] = {
    "_safe_softmax": per_output(SOFTMAX),
    "_softmax": per_output(SOFTMAX),
    "_log_softmax": per_output(SOFTMAX),
    "logsumexp": per_input(4),
    "logcumsumexp": per_input(4),
    "native_layer_norm": layer_norm,
    "native_group_norm": group_norm,
    "_fused_rms_norm": per_input(4),
    "native_batch_norm": batch_norm,
    "cudnn_batch_norm": batch_norm,
    "_native_batch_norm_legit": batch_norm,
    "_native_batch_norm_legit_no_training": lambda out, images, *rest: Arithmetic(other=2 * images.numel()),
    "_batch_norm_no_update": lambda out, images, *rest: Arithmetic(other=2 * images.numel()),
    "_batch_norm_with_update": lambda out, images, weight, bias, *rest: _normalized(images, weight, bias),
    "var": per_input(3),
    "std": per_input(3),
    "var_mean": per_input(4),
    "std_mean": per_input(4),
    "linalg_vector_norm": per_input(2),
    "norm": per_input(2),
    "max_pool2d_with_indices": pooled,
    "max_pool3d_with_indices": pooled,
    "fractional_max_pool2d": pooled,
    "fractional_max_pool3d": pooled,
    "_embedding_bag": bags,
    "_embedding_bag_forward_only": bags,
    "_cdist_forward": distances,
    "_pdist_forward": distances,
    "avg_pool2d": pooled,
    "avg_pool3d": pooled,
    "upsample_linear1d": per_output(LINEAR),
    "upsample_bilinear2d": per_output(BILINEAR),
    "upsample_trilinear3d": per_output(TRILINEAR),
    "upsample_bicubic2d": per_output(BICUBIC),
    "_upsample_bilinear2d_aa": lambda out, images, *rest: antialiased(out, images, 2),
    "_upsample_bicubic2d_aa": lambda out, images, *rest: antialiased(out, images, 4),
    "grid_sampler_2d": sampled,
    "grid_sampler_3d": sampled,
    "linalg_cross": per_output(3),
    "dist": per_input(3),
    "renorm": per_input(3),
    "mode": ordered,
    "addcmul": per_output(2),
    "addcdiv": per_output(2),
    "lerp": per_output(3),
    "glu": per_output(2),
    "log_sigmoid_forward": per_output(1),
    "scatter_add": lambda out, base, dim, index, source: Arithmetic(other=index.numel()),
    "scatter_reduce": lambda out, base, dim, index, source, *rest, **named: Arithmetic(other=index.numel()),
    "index_add": lambda out, base, dim, index, source, **named: Arithmetic(other=source.numel()),
    "_fft_r2c": transformed,
    "_fft_c2r": transformed,
    "_fft_c2c": transformed,
    "sort": ordered,
    "argsort": ordered,
    "topk": ordered,
    "kthvalue": ordered,
    **dict.fromkeys(_REDUCTIONS, per_input(1)),
}
ELEMENTWISE: Mapping[str, Formula] = {f"aten::{name}": formula for name, formula in _SPECIAL.items()}
"""Formula by name, as for products."""
_UNTAGGED = (
    "_prelu_kernel", "celu", "elu", "float_power", "gelu", "hardshrink", "hardsigmoid", "hardswish",
    "hardtanh", "isfinite", "leaky_relu", "mish", "native_dropout", "pow", "prelu", "relu", "relu6",
    "rrelu_with_noise", "selu", "sigmoid", "silu", "softplus", "softshrink", "tanh", "threshold",
)  # fmt: skip
"""Known by name, since not every version of torch tags them: 2.11 does not tag leaky_relu."""


def on_elements(operation: torch._ops.OpOverload, base: str) -> bool:
    """Say whether an operation works on elements, as torch declares it or as is known here."""
    return torch.Tag.pointwise in operation.tags or base in {f"aten::{name}" for name in _UNTAGGED}
