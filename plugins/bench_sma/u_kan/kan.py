"""Layers of learnable functions: one cubic spline and one SiLU for each pair of an input and an output.

Liu et al., KAN: Kolmogorov-Arnold Networks, ICLR 2025, arXiv:2404.19756, in the form in which the splines'
bases are computed once for all outputs and then mixed by one matrix.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from bench_core.arithmetic import Arithmetic, counted

INTERVALS = 5
"""Intervals of the grid between -1 and 1."""
ORDER = 3
"""Degree of the splines; the grid continues for so many intervals on both sides."""
BASES = INTERVALS + ORDER
_KNOTS = INTERVALS + 2 * ORDER + 1
_SPACING = 2 / INTERVALS
_NOISE = 0.1

# Row k holds, by ascending powers of w in [0, 1), the piece of the basis that began 3 - k intervals ago.
_PIECES = (
    (1 / 6, -3 / 6, 3 / 6, -1 / 6),
    (4 / 6, 0.0, -6 / 6, 3 / 6),
    (1 / 6, 3 / 6, 3 / 6, -3 / 6),
    (0.0, 0.0, 0.0, 1 / 6),
)


def spline_bases(inputs: Tensor, knots: Tensor) -> Tensor:
    """Return every basis at inputs [T, C] as [T, C, bases], by the recursion of de Boor and Cox.

    `knots` [C, K] ascend in each row and need not be uniform. Left of the first knot and from the last one on
    all bases are 0.
    """
    points = inputs[..., None]
    bases = ((points >= knots[:, :-1]) & (points < knots[:, 1:])).to(inputs.dtype)
    for degree in range(1, ORDER + 1):
        rising = (points - knots[:, : -degree - 1]) / (knots[:, degree:-1] - knots[:, : -degree - 1])
        falling = (knots[:, degree + 1 :] - points) / (knots[:, degree + 1 :] - knots[:, 1:-degree])
        bases = rising * bases[..., :-1] + falling * bases[..., 1:]
    return bases


class UniformSplineBases(torch.autograd.Function):
    """The same on the uniform grid of this module, in closed form: four bases differ from 0 at a point.

    Keeps nothing but the inputs for the gradient.
    """

    @staticmethod
    def forward(ctx: Any, inputs: Tensor) -> Tensor:
        """Return every basis at inputs [T, C] as [T, C, 8]."""
        ctx.save_for_backward(inputs)
        return _uniform_bases(inputs)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        """Return the gradient of the inputs [T, C]."""
        (inputs,) = ctx.saved_tensors
        interval, fraction = _locate(inputs)
        total = torch.zeros_like(inputs)
        for offset, piece in enumerate(_PIECES):
            place, is_none = _basis(interval, offset)
            slopes = _polynomial(_derivative(piece), fraction).masked_fill_(is_none, 0)
            total.addcmul_(gradient.gather(-1, place[..., None])[..., 0], slopes)
        return total.div_(_SPACING)


def _uniform_bases(inputs: Tensor) -> Tensor:
    interval, fraction = _locate(inputs)
    bases = inputs.new_zeros(*inputs.shape, BASES)
    for offset, piece in enumerate(_PIECES):
        place, is_none = _basis(interval, offset)
        values = _polynomial(piece, fraction).masked_fill_(is_none, 0)
        bases = put(bases, place, values)
    return bases


def put(bases: Tensor, place: Tensor, values: Tensor) -> Tensor:
    """Return bases [..., 8] with `values` [...] at `place` [...]; what was handed in may be changed.

    Under deterministic algorithms CUDA scatters by sorting every index, although no two are equal here:
    comparing all eight places takes a fraction of that.
    """
    if bases.is_cuda:
        return chosen(bases, place, values)
    return bases.scatter_(-1, place[..., None], values[..., None])


def chosen(bases: Tensor, place: Tensor, values: Tensor) -> Tensor:
    """Return the same by comparison."""
    numbers = torch.arange(BASES, device=place.device)
    return torch.where(numbers == place[..., None], values[..., None], bases)


def _locate(inputs: Tensor) -> tuple[Tensor, Tensor]:
    """Return in which interval each input lies, -1 and 11 meaning none, and how far in it, from 0 to 1."""
    steps = (inputs + (1 + ORDER * _SPACING)) / _SPACING
    begun = steps.floor()
    # A number that is not finite lies in no interval; the layer's other path carries it on.
    return begun.nan_to_num(-1).clamp_(-1, _KNOTS - 1).int(), steps.sub_(begun)


def _basis(interval: Tensor, offset: int) -> tuple[Tensor, Tensor]:
    """Return the number of the basis that began 3 - offset intervals ago, and where there is none.

    Eight bases are what three bits count. Neighbors differ in these bits also where some are not bases,
    which the other bits tell: the places of one input never coincide.
    """
    number = interval + (offset - ORDER)
    return (number & (BASES - 1)).long(), (number & ~(BASES - 1)) != 0


def _polynomial(coefficients: tuple[float, ...], at: Tensor) -> Tensor:
    *lower, highest = coefficients
    value = at * highest + lower.pop()
    while lower:
        value = value.mul_(at).add_(lower.pop())
    return value


def _derivative(coefficients: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(power * coefficient for power, coefficient in enumerate(coefficients))[1:]


def _arithmetic(layer: KANLinear, inputs: Tensor) -> Arithmetic:
    """Return 30 operations an input: 6 find its interval, 6 compute each of four cubic polynomials."""
    return Arithmetic(other=30 * inputs.numel())


class KANLinear(nn.Module):
    """Tokens [T, in] to [T, out]: for each pair a SiLU and a cubic spline, both weighted; no bias.

    Outside the grid, from -2.2 to 2.2, the splines are 0. `grid` [in, 12] is a buffer that training leaves
    alone; the bases are computed in closed form where it is uniform, else by the recursion, and in float32
    at least.
    """

    grid: Tensor

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        knots = torch.arange(-ORDER, INTERVALS + ORDER + 1) * _SPACING - 1
        self.register_buffer("grid", knots.expand(in_features, -1).contiguous())
        self.base_weight = nn.Parameter(torch.empty(out_features, in_features))
        self.spline_weight = nn.Parameter(torch.empty(out_features, in_features, BASES))
        self.spline_scaler = nn.Parameter(torch.empty(out_features, in_features))
        self.unevenness = _ROUNDED
        self.register_load_state_dict_post_hook(_measure_grid)  # type: ignore[no-untyped-call]
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weights; the splines are those of least norm through small noise at the inner knots."""
        nn.init.kaiming_uniform_(self.base_weight, a=math.sqrt(5))
        nn.init.kaiming_uniform_(self.spline_scaler, a=math.sqrt(5))
        knots = torch.arange(-ORDER, INTERVALS + ORDER + 1, dtype=torch.float64, device="cpu") * _SPACING - 1
        inner = knots[ORDER : ORDER + INTERVALS + 1, None]
        # A hair to the right of each knot, so that rounding puts none of them left of it.
        fit = torch.linalg.pinv(spline_bases(inner + 1e-12, knots[None])[:, 0])
        out_features, in_features, _ = self.spline_weight.shape
        noise = (torch.rand(out_features, in_features, INTERVALS + 1) - 0.5) * (_NOISE / INTERVALS)
        with torch.no_grad():
            self.spline_weight.copy_(noise @ fit.T.to(noise))

    @counted("spline bases", _arithmetic)
    def bases(self, inputs: Tensor) -> Tensor:
        """Return the splines' bases at inputs [T, in] as [T, in, 8], in float32 at least."""
        wide = inputs.to(torch.promote_types(inputs.dtype, torch.float32))
        if self.unevenness <= 8 * torch.finfo(wide.dtype).eps:
            # A traced file holds no function of Python's.
            traced = torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
            bases: Tensor = _uniform_bases(wide) if traced else UniformSplineBases.apply(wide)
            return bases
        return spline_bases(wide, self.grid.to(wide.dtype))

    def forward(self, tokens: Tensor) -> Tensor:
        """Return tokens [T, out]."""
        base = functional.linear(functional.silu(tokens), self.base_weight)
        splines = self.spline_weight * self.spline_scaler[..., None]
        return base + functional.linear(self.bases(tokens).flatten(1), splines.flatten(1))


_ROUNDED = torch.finfo(torch.float32).eps
"""How uneven the own grid is, whose knots are rounded to float32, at most: too much for float64."""


def _measure_grid(layer: KANLinear, _: object) -> None:
    """Note how far a loaded grid is from the uniform one; a grid is loaded rarely and used in every step."""
    grid = layer.grid
    if grid.device.type == "meta":
        return
    uniform = torch.arange(-ORDER, INTERVALS + ORDER + 1, dtype=torch.float64, device="cpu") * _SPACING - 1
    layer.unevenness = max(_ROUNDED, (grid.detach().cpu().double() - uniform).abs().max().item())
