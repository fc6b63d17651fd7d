"""Arithmetic that no table of operations can see: an operator's own formula, declared beside its code."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import wraps
from typing import Any, TypeVar, cast

Operator = TypeVar("Operator", bound=Callable[..., Any])


@dataclass(frozen=True)
class Arithmetic:
    """How many operations something does; sums of them are taken part by part."""

    macs: int = 0
    """Multiply-adds of convolutions and products of matrices, the number that papers print."""
    other: int = 0
    """Every other floating-point operation."""

    def __add__(self, more: Arithmetic) -> Arithmetic:
        return Arithmetic(self.macs + more.macs, self.other + more.other)


Take = Callable[[str, Arithmetic], AbstractContextManager[None]]
"""Takes the name and the arithmetic of a declared operator; counts nothing inside the returned context."""
_taker: ContextVar[Take | None] = ContextVar("arithmetic", default=None)


def counted(
    name: str, formula: Callable[..., Arithmetic], result: Callable[..., Any] | None = None
) -> Callable[[Operator], Operator]:
    """Decorate an operator that is counted by `formula` of its arguments, whatever computes it.

    Nothing of it runs while operations are counted where `result` makes a tensor like the operator's: needed
    for kernels outside torch, which cannot look at tensors without content. Without `result` it runs, and is
    not counted a second time.
    """

    def decorate(function: Operator) -> Operator:
        @wraps(function)
        def operator(*args: Any, **kwargs: Any) -> Any:
            take = _taker.get()
            if take is None:
                return function(*args, **kwargs)
            with take(name, formula(*args, **kwargs)):
                return (result or function)(*args, **kwargs)

        return cast(Operator, operator)

    return decorate


@contextmanager
def taking(take: Take) -> Iterator[None]:
    """Hand each declared operator inside to `take`."""
    token = _taker.set(take)
    try:
        yield
    finally:
        _taker.reset(token)
