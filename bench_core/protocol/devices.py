"""Devices by name, and the settings under which equal jobs give equal numbers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch

from bench_core.errors import TrainingError
from bench_core.protocol.upsampling import matrix_upsampling


def open_device(name: str) -> torch.device:
    """Return the torch device of this name; raise TrainingError if this machine does not have it."""
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise TrainingError(f"no such device: {name!r}", fix="use cpu, cuda, cuda:N or mps") from error
    if device.type == "cuda":
        count = torch.cuda.device_count()
        if count == 0:
            raise _missing(name, "PyTorch sees no CUDA device (`bench doctor` says more)")
        if device.index is not None and device.index >= count:
            raise _missing(name, f"there are {count} CUDA devices, numbered from 0")
    elif device.type == "mps":
        if not torch.backends.mps.is_available():
            raise _missing(name, "PyTorch sees no Apple GPU, or was built without MPS")
    elif device.type != "cpu":
        raise TrainingError(f"no runner drives {name!r}", fix="use cpu, cuda, cuda:N or mps")
    return device


def _missing(name: str, cause: str) -> TrainingError:
    return TrainingError(f"device {name!r} is not available", cause=cause, fix="run with --device cpu")


@contextmanager
def deterministic(device: torch.device) -> Iterator[None]:
    """Ask for deterministic kernels inside, and put the former settings back afterwards.

    On CUDA, bilinear resizing has a gradient of its own here, which is fast and deterministic.
    Kernels that have no deterministic form still run (a warning names them): on CUDA, equal jobs can then
    differ in the last bits. On one CPU thread they are equal bit for bit.
    """
    if device.type == "cuda":
        # cuBLAS reads this once, when its first handle is made.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.utils.deterministic.fill_uninitialized_memory,  # type: ignore[attr-defined]
        torch.backends.cudnn.benchmark,
        torch.backends.cudnn.deterministic,
    )
    torch.use_deterministic_algorithms(True, warn_only=True)
    # Filling every new tensor costs time on each allocation and changes no result of a correct network.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    try:
        with matrix_upsampling() if device.type == "cuda" else nullcontext():
            yield
    finally:
        enabled, warn_only, fill, benchmark, cudnn = before
        torch.use_deterministic_algorithms(enabled, warn_only=warn_only)
        torch.utils.deterministic.fill_uninitialized_memory = fill  # type: ignore[attr-defined]
        torch.backends.cudnn.benchmark = benchmark
        torch.backends.cudnn.deterministic = cudnn
