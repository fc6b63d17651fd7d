"""Counts the operations of one pass through a network, on tensors that have shapes and no content.

Always of the CPU's operations, so that the count is the same wherever it is made. What is not known by
formula is an error: an operation without a number would be a zero.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from bench_core.arithmetic import Arithmetic, taking
from bench_core.errors import BenchError, PluginError
from bench_steps.cost.elementwise import ELEMENTWISE, elements, on_elements
from bench_steps.cost.products import PRODUCTS
from bench_steps.cost.silent import SILENT, is_view

FORMULAS = {**PRODUCTS, **ELEMENTWISE}
LEAVE_OUT = "leave the count out: `options: {operations: false}`"


@dataclass(frozen=True)
class Operation:
    """All calls of one operation."""

    name: str
    """As torch calls it, aten::convolution, or as its declaration does."""
    calls: int
    done: Arithmetic


class Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up what every operation inside does; `unknown` are the names of those without formula."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.unknown: dict[str, None] = {}
        self._calls: dict[str, int] = {}
        self._done: dict[str, Arithmetic] = {}
        self._silenced = False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run an operation, and count it unless it is part of one that was counted."""
        named = dict(kwargs or {})
        base = base_name(func)
        if base not in FORMULAS and base not in SILENT and not self._silenced:
            with self:
                parts = func.decompose(*args, **named)
            if parts is not NotImplemented:
                return parts
        out = func(*args, **named)
        if not self._silenced:
            found = arithmetic(func, base, out, args, named)
            if found is None:
                self.unknown[base] = None
            else:
                self._add(base, found)
        return out

    @contextmanager
    def declared(self, name: str, found: Arithmetic) -> Iterator[None]:
        """Add one call of a declared operator; what runs inside is part of it."""
        before = self._silenced
        if not before:
            self._add(name, found)
        self._silenced = True
        try:
            yield
        finally:
            self._silenced = before

    def _add(self, name: str, found: Arithmetic) -> None:
        self._calls[name] = self._calls.get(name, 0) + 1
        self._done[name] = self._done.get(name, Arithmetic()) + found

    @property
    def operations(self) -> tuple[Operation, ...]:
        """What was counted, the most multiply-adds first."""
        found = (Operation(name, calls, self._done[name]) for name, calls in self._calls.items())
        return tuple(sorted(found, key=lambda item: (-item.done.macs, -item.done.other, item.name)))


def base_name(operation: torch._ops.OpOverload) -> str:
    """Return namespace and name without overload and the underscore of in-place forms."""
    return operation._schema.name.rstrip("_")


def arithmetic(
    operation: torch._ops.OpOverload,
    base: str,
    out: Any,
    args: tuple[Any, ...],
    named: Mapping[str, Any],
) -> Arithmetic | None:
    """Return what one call does; None for an operation that is not known."""
    if base in FORMULAS:
        return FORMULAS[base](out, *args, **named)
    if base in SILENT or is_view(operation):
        return Arithmetic()
    if on_elements(operation, base):
        return elements(out, (*args, *named.values()))
    registered: Callable[..., int] | None = flop_registry.get(operation._overloadpacket)
    if registered is not None and not base.startswith("aten::"):
        return Arithmetic(macs=registered(*args, **named, out_val=out) // 2)
    return None


def count(network: nn.Module, channels: int, height: int, width: int | None = None) -> tuple[Operation, ...]:
    """Return the operations of a network in evaluation mode on one image [1, channels, height, width].

    Without a width the image is square. The network is not used afterwards: what it keeps of a pass has no
    content. Raises PluginError for operations without a formula, and for a network that asks for values.
    """
    counter = Counter()
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():
            image = torch.zeros(1, channels, height, width or height)
            with counter, taking(counter.declared):
                network.cpu().eval()(image)
    except BenchError:
        raise
    except Exception as error:
        raise PluginError(
            "the network's operations cannot be counted",
            cause=f"on tensors without content it fails: {_line(error)}",
            fix="declare the formula of the operator that leaves torch or asks for values with "
            f"`bench_core.counted` (docs/new-architecture.md), or {LEAVE_OUT}",
        ) from error
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
    if counter.unknown:
        raise PluginError(
            f"no formula is known for {', '.join(counter.unknown)}",
            cause="an operation that is not counted would count as nothing",
            fix="declare it with `bench_core.counted` (docs/new-architecture.md), or a custom operator of "
            f"torch with `torch.utils.flop_counter.register_flop_formula`, or {LEAVE_OUT}",
        )
    return counter.operations


def _line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:200]}" if text else type(error).__name__
