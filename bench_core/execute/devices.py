"""Which devices jobs run on, chosen before any job starts."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from bench_core.errors import BenchError
from bench_core.execute.machine import Machine, most_workers

_DRIVERS = ("/dev/nvidiactl", "/proc/driver/nvidia", "/dev/kfd", "/dev/dxg")


class DeviceError(BenchError):
    """A device that was asked for and is not there."""


@dataclass(frozen=True)
class Slots:
    """Where jobs run at the same time: one device a worker."""

    devices: tuple[str, ...]


def choose_slots(device: str, workers: int | None, threads: int, loader_workers: int = 0) -> Slots:
    """Return a device for each worker.

    `device` is auto (every CUDA GPU, else the CPU), cpu, cuda (every GPU), cuda:N or mps. Without `workers`
    there is one per GPU, or on the CPU one for every `threads` cores, as far as free memory carries them.
    Raises DeviceError if the device is not there.
    """
    kind = device
    if device == "auto":
        kind = "cuda" if _has_driver() and _gpu_count() > 0 else "cpu"
    if kind == "cpu":
        return Slots(("cpu",) * (workers or most_workers(Machine.here(), threads, loader_workers)))
    if kind == "mps":
        _require_mps()
        return Slots(("mps",) * (workers or 1))
    name, _, index = kind.partition(":")
    if name != "cuda" or (index and not index.isdigit()):
        raise DeviceError(
            f"no such device: {device!r}", fix="use auto, cpu, cuda, cuda:0, cuda:1, ... or mps"
        )
    count = _gpu_count()
    if count == 0 or (index and int(index) >= count):
        raise DeviceError(
            f"device {device} is not available",
            cause=f"PyTorch sees {count} GPU(s) here" if find_spec("torch") else "PyTorch is not installed",
            fix="use --device cpu, or see `bench doctor`",
        )
    gpus = [f"cuda:{index}"] if index else [f"cuda:{number}" for number in range(count)]
    return Slots(tuple(gpus[number % len(gpus)] for number in range(workers or len(gpus))))


def _has_driver() -> bool:
    # Asking PyTorch costs seconds; a machine without any driver is answered at once.
    return any(Path(path).exists() for path in _DRIVERS) or sys.platform == "win32"


def _gpu_count() -> int:
    if find_spec("torch") is None:
        return 0
    import torch

    return int(torch.cuda.device_count())


def _require_mps() -> None:
    if find_spec("torch") is not None:
        import torch

        if torch.backends.mps.is_available():
            return
    raise DeviceError("device mps is not available", fix="use --device cpu, or see `bench doctor`")
