"""Piecewise functions that decide as they are told: the pieces of values, the places of maxima, cells.

Some of millions of rectified values lie so close to zero, and some sampled points so close to a line of
pixels, that rounding decides their side. A gradient jumps there by far more than rounding. Two runs of a
network that decide alike differ by rounding alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

Formula = Callable[[Tensor], Tensor]
Noted = Mapping[str, Sequence[Tensor]]
"""What the calls of each function decided, by its name."""
Place = tuple[str, int]
"""A function's name, and the how-manieth call of it."""


@dataclass(frozen=True)
class Layer:
    """One call of a function that is put together of pieces."""

    place: Place
    values: Tensor
    pieces: Tensor
    """The number of each value's piece."""
    edges: Sequence[float]
    formulas: Sequence[Formula]
    found: Tensor
    """What it returned."""


class Decisions(TorchFunctionMode):
    """Notes what the functions called within decide, or lets them decide by what was noted.

    Only of what depends on a tensor that requires a gradient: let it be the image alone. Raises
    NotImplementedError for a function whose decisions it cannot give. Custom autograd functions decide for
    themselves. `watch` is told of every layer of pieces.
    """

    def __init__(self, given: Noted | None = None, watch: Callable[[Layer], None] | None = None) -> None:
        super().__init__()
        self.noted: dict[str, list[Tensor]] = {}
        """What was decided, or given, so far."""
        self._given = given
        self._watch = watch
        self._name = ""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        named = kwargs or {}
        name = getattr(func, "__name__", "")
        tensors = (value for value in (*args, *named.values()) if isinstance(value, Tensor))
        if not any(tensor.requires_grad for tensor in tensors):
            return func(*args, **named)
        self._name = name
        if name in _LEVEL:
            found = self.decided(lambda: func(*(_plain(value) for value in args), **named))
            return found if found.dtype in (torch.bool, torch.int64) else found.to(args[0].dtype)
        if rule := _RULES.get(name):
            return rule(self, *args, **named)
        if name in _UNKNOWN:
            raise NotImplementedError(f"{name} decides piecewise: give it a rule")
        return func(*args, **named)

    def decided(self, decide: Callable[[], Tensor]) -> Tensor:
        """Return what `decide` gives, or what was noted in its place."""
        noted = self.noted.setdefault(self._name, [])
        noted.append(decide() if self._given is None else self._given[self._name][len(noted)])
        return noted[-1]

    def pieces(self, values: Tensor, edges: Sequence[float], formulas: Sequence[Formula]) -> Tensor:
        """Return of each value the formula of its piece; one formula more than edges, from the left."""
        pieces = self.decided(lambda: _pieces_of(values, edges))
        found = formulas[0](values)
        for number, formula in enumerate(formulas[1:], 1):
            found = torch.where(pieces == number, formula(values), found)
        if self._watch is not None:
            place = (self._name, len(self.noted[self._name]) - 1)
            self._watch(Layer(place, values, pieces, edges, formulas, found))
        return found


def _pieces_of(values: Tensor, edges: Sequence[float]) -> Tensor:
    found = torch.zeros_like(values, dtype=torch.int8)
    for edge in edges:
        found += values.detach() > edge
    return found


def _plain(value: Any) -> Any:
    return value.detach() if isinstance(value, Tensor) else value


def _constant(level: float) -> Formula:
    return lambda values: torch.full_like(values, level)


def _same(values: Tensor) -> Tensor:
    return values


def _relu(within: Decisions, input: Tensor, inplace: bool = False) -> Tensor:
    return within.pieces(input, (0,), (_constant(0), _same))


def _leaky_relu(
    within: Decisions, input: Tensor, negative_slope: float = 0.01, inplace: bool = False
) -> Tensor:
    return within.pieces(input, (0,), (lambda values: values * negative_slope, _same))


def _relu6(within: Decisions, input: Tensor, inplace: bool = False) -> Tensor:
    return _clamp(within, input, 0, 6)


def _hardtanh(
    within: Decisions, input: Tensor, min_val: float = -1, max_val: float = 1, inplace: bool = False
) -> Tensor:
    return _clamp(within, input, min_val, max_val)


def _hardsigmoid(within: Decisions, input: Tensor, inplace: bool = False) -> Tensor:
    return _clamp(within, input / 6 + 0.5, 0, 1)


def _hardswish(within: Decisions, input: Tensor, inplace: bool = False) -> Tensor:
    return input * _hardsigmoid(within, input)


def _clamp(within: Decisions, input: Tensor, min: Any = None, max: Any = None) -> Tensor:
    if isinstance(min, Tensor) or isinstance(max, Tensor):
        raise NotImplementedError("clamp between tensors decides piecewise: give it a rule")
    levels = [level for level in (min, max) if level is not None]
    below = [] if min is None else [_constant(min)]
    above = [] if max is None else [_constant(max)]
    return within.pieces(input, levels, (*below, _same, *above))


def _abs(within: Decisions, input: Tensor) -> Tensor:
    return within.pieces(input, (0,), (torch.neg, _same))


def _maximum(within: Decisions, input: Tensor, other: Tensor) -> Tensor:
    return other + _relu(within, input - other)


def _minimum(within: Decisions, input: Tensor, other: Tensor) -> Tensor:
    return input - _relu(within, input - other)


def _max_pool2d(within: Decisions, input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    return _pooled(within, functional.max_pool2d_with_indices, input, *args, **kwargs)


def _adaptive_max_pool2d(within: Decisions, input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    return _pooled(within, functional.adaptive_max_pool2d_with_indices, input, *args, **kwargs)


def _pooled(within: Decisions, pool: Any, input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    if kwargs.pop("return_indices", False):
        raise NotImplementedError("pooling that returns places decides piecewise: give it a rule")
    places = within.decided(lambda: pool(input.detach(), *args, **kwargs)[1])
    return input.flatten(-2).gather(-1, places.flatten(-2)).view(places.shape)


def _grid_sample(
    within: Decisions,
    input: Tensor,
    grid: Tensor,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: bool | None = None,
) -> Tensor:
    if mode != "bilinear" or padding_mode != "zeros":
        raise NotImplementedError(f"grid_sample {mode}, {padding_mode}, decides piecewise: give it a rule")
    height, width = input.shape[-2:]
    sides = torch.tensor([width, height], dtype=grid.dtype)
    points = (grid + 1) / 2 * (sides - 1) if align_corners else ((grid + 1) * sides - 1) / 2
    cells = within.decided(lambda: points.detach().floor().long())
    inside = points - cells
    maps, total = input.flatten(2), torch.zeros((), dtype=input.dtype)
    for right, down in product((0, 1), repeat=2):
        column, row = cells[..., 0] + right, cells[..., 1] + down
        share = inside[..., 0] if right else 1 - inside[..., 0]
        share = share * (inside[..., 1] if down else 1 - inside[..., 1])
        share = share * ((column >= 0) & (column < width) & (row >= 0) & (row < height))
        places = row.clamp(0, height - 1) * width + column.clamp(0, width - 1)
        corners = maps.gather(2, places.flatten(1)[:, None].expand(-1, maps.shape[1], -1))
        total = total + corners.view(*corners.shape[:2], *places.shape[1:]) * share[:, None]
    return total


_RULES: dict[str, Callable[..., Tensor]] = {
    **dict.fromkeys(("relu", "relu_"), _relu),
    **dict.fromkeys(("leaky_relu", "leaky_relu_"), _leaky_relu),
    "relu6": _relu6,
    **dict.fromkeys(("hardtanh", "hardtanh_"), _hardtanh),
    "hardsigmoid": _hardsigmoid,
    "hardswish": _hardswish,
    **dict.fromkeys(("clamp", "clamp_", "clip", "clip_"), _clamp),
    "clamp_min": lambda within, input, min: _clamp(within, input, min=min),
    "clamp_max": lambda within, input, max: _clamp(within, input, max=max),
    **dict.fromkeys(("abs", "absolute", "__abs__"), _abs),
    "maximum": _maximum,
    "minimum": _minimum,
    "max_pool2d": _max_pool2d,
    "adaptive_max_pool2d": _adaptive_max_pool2d,
    "grid_sample": _grid_sample,
}
_COMPARED = ("gt", "ge", "lt", "le", "eq", "ne", "greater", "greater_equal", "less", "less_equal")
_LEVEL = frozenset(
    (
        *_COMPARED,
        *(f"__{name}__" for name in _COMPARED),
        *("floor", "ceil", "round", "trunc", "fix", "sign", "sgn", "heaviside", "bucketize", "searchsorted"),
        *("argmax", "argmin", "argsort", "isnan", "isinf", "isfinite", "signbit"),
    )
)
"""Functions that are constant but where they jump: their whole result is a decision."""
_UNKNOWN = frozenset(
    (
        *("max", "min", "amax", "amin", "aminmax", "fmax", "fmin", "cummax", "cummin"),
        *("topk", "sort", "msort", "median", "nanmedian", "kthvalue", "mode", "quantile", "nanquantile"),
        *("floor_divide", "__floordiv__", "remainder", "__mod__", "fmod", "frac", "long", "int", "short"),
        *("threshold", "threshold_", "hardshrink", "softshrink", "prelu", "rrelu", "rrelu_", "selu", "selu_"),
        *("max_pool1d", "max_pool3d", "max_pool2d_with_indices", "adaptive_max_pool2d_with_indices"),
        *("adaptive_max_pool1d", "adaptive_max_pool3d", "fractional_max_pool2d", "max_unpool2d"),
        *(f"{name}_" for name in ("floor", "ceil", "round", "trunc", "fix", "frac", "sign", "sgn", "abs")),
        *(f"{name}_" for name in ("clamp_min", "clamp_max", "fmod", "remainder", "floor_divide")),
    )
)
"""Functions that decide, without a rule so far."""
