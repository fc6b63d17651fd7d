"""The most memory that a pass takes: of the CUDA allocator, or of all live tensors on a CPU.

On a CPU, memory of a process depends on what ran before and on its allocator. The bytes of live tensors do
not: each operation's new memory is added when it returns and taken off when nobody holds it any more. What an
operation uses inside itself is not in it.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

ALLOCATOR, LIVE, UNKNOWN = "CUDA allocator", "live tensors", "not known for this device"


class LiveTensors(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Bytes of the tensors that were given and of all that operations inside make; `peak` is the most."""

    def __init__(self, held: Iterable[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak = self._now = 0
        self._known: set[int] = set()
        for tensor in held:
            self._see(tensor)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run an operation and take note of the memory that it returns."""
        out = func(*args, **(kwargs or {}))
        for item in tree_leaves(out):
            if isinstance(item, Tensor):
                self._see(item)
        return out

    def _see(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._known:
            return
        self._known.add(key)
        self._now += storage.nbytes()
        self.peak = max(self.peak, self._now)
        weakref.finalize(storage, self._forget, key, storage.nbytes()).atexit = False

    def _forget(self, key: int, size: int) -> None:
        self._known.discard(key)
        self._now -= size


class Peak:
    """The most memory so far, in bytes."""

    def __init__(self) -> None:
        self.bytes = float("nan")
        self.how = UNKNOWN


@contextmanager
def watching(device: torch.device, held: Iterable[Tensor], base: int) -> Iterator[Peak]:
    """Watch the memory of a device inside; the peak is known afterwards.

    `held` is what is there before, on a CPU; `base` is what the allocator held before that was made, on CUDA.
    """
    peak = Peak()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        yield peak
        torch.cuda.synchronize(device)
        peak.bytes, peak.how = float(torch.cuda.max_memory_allocated(device) - base), ALLOCATOR
    elif device.type == "cpu":
        with LiveTensors(held) as live:
            yield peak
        peak.bytes, peak.how = float(live.peak), LIVE
    else:
        yield peak


def allocated(device: torch.device) -> int:
    """Return the bytes that are allocated on a CUDA device, after dropping what is kept for later; else 0."""
    if device.type != "cuda":
        return 0
    torch.cuda.synchronize(device)
    torch.cuda.empty_cache()
    return torch.cuda.memory_allocated(device)
