"""Networks that draw random numbers when they predict, with draws that stay the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

DRAWING = (torch.rand, torch.randn)


class Draws:
    """What a network draws in one pass, drawn once from a seed; every image of a batch gets the same."""

    def __init__(self, network: nn.Module, example: Tensor, seed: int) -> None:
        recorder = _Recorder(len(example), torch.Generator().manual_seed(seed))
        with torch.no_grad(), recorder:
            network(example)
        self.tensors = tuple(recorder.drawn)
        """[1, ...] where the first dimension is that of the batch, in the order of the calls."""

    @contextmanager
    def fixed(self) -> Iterator[None]:
        """Give these in place of new ones, once for each pass that begins inside."""
        if not self.tensors:
            yield
            return
        with _Replayer(self.tensors):
            yield


class _Recorder(TorchFunctionMode):
    def __init__(self, batch: int, generator: torch.Generator) -> None:
        super().__init__()
        self._batch, self._generator = batch, generator
        self.drawn: list[Tensor] = []

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func not in DRAWING:
            return func(*args, **(kwargs or {}))
        size = _size(args, kwargs or {})
        first = 1 if size[0] == self._batch else size[0]
        drawn = func(first, *size[1:], generator=self._generator, dtype=torch.float32)
        self.drawn.append(drawn)
        return _given(drawn, size, kwargs or {})


class _Replayer(TorchFunctionMode):
    def __init__(self, tensors: tuple[Tensor, ...]) -> None:
        super().__init__()
        self._tensors, self._next = tensors, 0

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func not in DRAWING:
            return func(*args, **(kwargs or {}))
        drawn = self._tensors[self._next % len(self._tensors)]
        self._next += 1
        return _given(drawn, _size(args, kwargs or {}), kwargs or {})


def _size(args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Any]:
    first, *others = args or (kwargs["size"],)
    return list(first) if isinstance(first, list | tuple | torch.Size) else [first, *others]


def _given(drawn: Tensor, size: list[Any], kwargs: Mapping[str, Any]) -> Tensor:
    # A copy, so that what changes it in place changes no later pass.
    found = drawn.expand(size).clone()
    return found if kwargs.get("dtype") is None else found.to(kwargs["dtype"])
