"""Which devices jobs run on, chosen before any job starts."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from bench_core.errors import BenchError
from bench_core.execute.machine import Machine, most_workers

_CUDA = re.compile(r"cuda(?::([0-9]{1,4}))?")
_DRIVERS = ("/dev/nvidiactl", "/proc/driver/nvidia", "/dev/kfd", "/dev/dxg")


class DeviceError(BenchError):
    """A device that was asked for and is not there."""


@dataclass(frozen=True)
class Slots:
    """Where jobs run at the same time."""

    devices: tuple[str, ...]
    """Of each worker one device, or as many as a job has, with commas between them."""

    @property
    def processes(self) -> tuple[str, ...]:
        """The device of each process that trains."""
        return processes(self.devices)


def processes(devices: Iterable[str]) -> tuple[str, ...]:
    """Return the device of each process of workers with these devices."""
    return tuple(device for slot in devices for device in slot.split(","))


def choose_slots(
    device: str,
    workers: int | None,
    threads: int,
    loader_workers: int = 0,
    per_job: int = 1,
    *,
    queued: bool = False,
) -> Slots:
    """Return the devices of each worker, `per_job` of them.

    `device` is auto (every CUDA GPU, else the CPU), cpu, cuda (every GPU), cuda:N, mps, or the devices of one
    job with commas between them. Without `workers` there is one for every `per_job` GPUs, or on the CPU one
    for every `per_job` times `threads` cores, as far as free memory carries them.
    Raises DeviceError if the devices are not there; of jobs that are `queued` nothing can be set any more.
    """
    if "," in device:
        named = tuple(choose_slots(one.strip(), 1, threads).devices[0] for one in device.split(","))
        if len(named) != per_job:
            raise _not_so_many(device, len(named), per_job, queued)
        return Slots((",".join(named),) * (workers or 1))
    kind = device
    if device == "auto":
        kind = "cuda" if has_gpu() else "cpu"
    if kind == "cpu":
        most = most_workers(Machine.here(), threads, loader_workers, per_job)
        return Slots((",".join(["cpu"] * per_job),) * (workers or most))
    if kind == "mps":
        _require_mps()
        if per_job > 1:
            raise _not_so_many(device, 1, per_job, queued)
        return Slots(("mps",) * (workers or 1))
    found = _CUDA.fullmatch(kind)
    if found is None:
        raise DeviceError(
            f"no such device: {device!r:.80}", fix="use auto, cpu, cuda, cuda:0, cuda:1, ... or mps"
        )
    count, index = _gpu_count(), found[1]
    if count == 0 or (index and int(index) >= count):
        raise DeviceError(
            f"device {device} is not available",
            cause=f"PyTorch sees {count} GPU(s) here" if find_spec("torch") else "PyTorch is not installed",
            fix="use --device cpu, or see `bench doctor`",
        )
    gpus = [f"cuda:{index}"] if index else [f"cuda:{number}" for number in range(count)]
    if per_job > len(gpus):
        raise _not_so_many(device, len(gpus), per_job, queued)
    slots = [",".join(gpus[start : start + per_job]) for start in range(0, len(gpus) - per_job + 1, per_job)]
    return Slots(tuple(slots[number % len(slots)] for number in range(workers or len(slots))))


def _not_so_many(device: str, there: int, wanted: int, queued: bool) -> DeviceError:
    name = "cpu" if device.startswith("cpu") else "cuda"
    listed = ",".join(name if name == "cpu" else f"cuda:{number}" for number in range(wanted))
    return DeviceError(
        f"`devices_per_job: {wanted}` needs {wanted} devices for each job, and --device {device} is {there}",
        fix=f"--device {listed}, or --device cpu; see `bench doctor`"
        if queued
        else f"--set runtime.devices_per_job={there}, or another --device, see `bench doctor`",
    )


def has_gpu() -> bool:
    """Say whether PyTorch sees a CUDA GPU here."""
    return _has_driver() and _gpu_count() > 0


def device_memory(device: str) -> int | None:
    """Return the bytes that a CUDA device has in all (of several the first), or None where it does not tell.

    Another process asks: in this one a context would take memory from the jobs.
    """
    code = "import sys, torch; print(torch.cuda.get_device_properties(sys.argv[1]).total_memory)"
    command = [sys.executable, "-c", code, device.partition(",")[0]]
    with suppress(OSError, ValueError, subprocess.SubprocessError):
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
        return int(done.stdout)
    return None


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
