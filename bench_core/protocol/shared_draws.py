"""Random draws of a network on a part of a batch: those of the whole batch, of which the part takes its rows.

Each rank draws for all images, from generators in the same state, and keeps what is for its own. So dropout
and the like on several devices drop what they drop on one, and the generators of all ranks stay alike.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

Draws = Callable[..., Tensor]
Replacement = tuple[Any, str, Draws]
"""An owner, the name of one of its functions, and what stands there meanwhile."""
_FILLERS = ("bernoulli_", "uniform_", "normal_", "exponential_")
_NEW = ("rand", "randn")
_LIKE = ("rand_like", "randn_like")
_DROPOUTS = {"dropout": None, "dropout1d": 3, "dropout2d": 4, "dropout3d": 5}
"""Name to the dimensions of a batch whose channels are dropped as a whole; None: single values are."""


@dataclass(frozen=True)
class Rows:
    """Which images of a batch a rank computes: `here` of `total`, from number `first` on."""

    first: int
    here: int
    total: int

    def each(self, shape: Sequence[int]) -> int | None:
        """Return how many rows of a tensor of this shape belong to an image; None: it is not by images.

        Windows, heads and the like stand behind their image in the first dimension.
        """
        if not shape or not self.here or not shape[0] or shape[0] % self.here:
            return None
        return shape[0] // self.here

    def own(self, whole: Tensor, each: int) -> Tensor:
        """Return this rank's rows of a tensor over the whole batch."""
        return whole.narrow(0, self.first * each, self.here * each)

    def whole_like(self, part: Tensor, each: int) -> Tensor:
        """Return an empty tensor over the whole batch in the memory order of a part: generators fill that."""
        strides = part.stride()
        order = sorted(range(part.dim()), key=lambda dim: -strides[dim])
        shape = [self.total * each, *part.shape[1:]]
        whole = part.new_empty([shape[dim] for dim in order])
        return whole.permute([order.index(dim) for dim in range(part.dim())])


Current = Callable[[], Rows | None]
"""Which images the calling code computes; None: it is not about a part of a batch."""


def shared_draws(current: Current) -> list[Replacement]:
    """Return what makes networks draw for the whole batch, for the functions of PyTorch that draw.

    Names are replaced: a mode that hears of every operation would slow networks of many small ones. What a
    compiler generates draws by itself.
    """

    def rows_of(shape: Sequence[int]) -> tuple[Rows, int] | None:
        rows = None if torch.compiler.is_compiling() else current()
        each = None if rows is None else rows.each(shape)
        return None if rows is None or each is None else (rows, each)

    return [
        *((torch.Tensor, name, _in_place(rows_of, getattr(torch.Tensor, name))) for name in _FILLERS),
        *((torch, name, _new(rows_of, getattr(torch, name))) for name in _NEW),
        *((torch, name, _like(rows_of, getattr(torch, name))) for name in _LIKE),
        (torch, "bernoulli", _by_chance(rows_of, torch.bernoulli)),
        *(
            (functional, name, _dropped(rows_of, getattr(functional, name), dims))
            for name, dims in _DROPOUTS.items()
        ),
    ]


RowsOf = Callable[[Sequence[int]], "tuple[Rows, int] | None"]
"""The shape of a tensor to the rows of the whole batch and how many of them belong to an image."""


def _in_place(rows_of: RowsOf, usual: Draws) -> Draws:
    def fill(part: Tensor, *arguments: Any, **named: Any) -> Tensor:
        found = rows_of(part.shape)
        if found is None or any(isinstance(value, Tensor) for value in (*arguments, *named.values())):
            return usual(part, *arguments, **named)
        rows, each = found
        with torch.no_grad():
            drawn = usual(rows.whole_like(part, each), *arguments, **named)
        return part.copy_(rows.own(drawn, each))

    return fill


def _new(rows_of: RowsOf, usual: Draws) -> Draws:
    def new(*arguments: Any, **named: Any) -> Tensor:
        given = arguments[0] if arguments and not isinstance(arguments[0], int) else arguments
        size = named.pop("size", given)
        found = rows_of(size)
        if found is None or named.get("out") is not None:
            return usual(size, **named)
        rows, each = found
        return rows.own(usual((rows.total * each, *size[1:]), **named), each).clone()

    return new


def _like(rows_of: RowsOf, usual: Draws) -> Draws:
    def like(part: Tensor, **named: Any) -> Tensor:
        found = rows_of(part.shape)
        if found is None:
            return usual(part, **named)
        rows, each = found
        return rows.own(usual(rows.whole_like(part, each), **named), each).clone()

    return like


def _by_chance(rows_of: RowsOf, usual: Draws) -> Draws:
    def by_chance(chances: Tensor, *arguments: Any, **named: Any) -> Tensor:
        found = rows_of(chances.shape)
        if found is None or arguments or named.get("out") is not None:
            return usual(chances, *arguments, **named)
        rows, each = found
        with torch.no_grad():
            whole = rows.whole_like(chances, each).zero_()
            # The chances of the others do not matter: a value costs one draw, whatever its chance.
            rows.own(whole, each).copy_(chances)
            return rows.own(usual(whole, **named), each).clone()

    return by_chance


def _dropped(rows_of: RowsOf, usual: Draws, dims: int | None) -> Draws:
    def dropped(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
        found = rows_of(input.shape)
        fits = dims is None or input.dim() == dims
        if found is None or not (training and p and fits):
            return usual(input, p, training, inplace)
        rows, each = found
        with torch.no_grad():
            part = input if dims is None else _first_values(input)
            kept = rows.own(usual(rows.whole_like(part, each).fill_(1.0), p, True, False), each)
        return input.mul_(kept) if inplace else input * kept

    return dropped


def _first_values(batch: Tensor) -> Tensor:
    """Return the first value of each channel [B, C, 1, ...]."""
    for dim in range(2, batch.dim()):
        batch = batch.narrow(dim, 0, 1)
    return batch
