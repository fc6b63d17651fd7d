"""The highest memory of a piece of work: resident in this process, or allocated on the CUDA device."""

from __future__ import annotations

from pathlib import Path

import torch


def reset_peak(on_cuda: bool) -> int:
    """Forget the highest memory so far; return what is used now, in bytes."""
    if on_cuda:
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated()
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def peak(on_cuda: bool) -> int:
    """Return the highest memory since `reset_peak`, in bytes."""
    return torch.cuda.max_memory_allocated() if on_cuda else _status("VmHWM")


def _status(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field + ":")) * 1024
