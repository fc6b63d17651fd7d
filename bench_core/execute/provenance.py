"""What a result was computed with and on, so that it can be repeated or doubted."""

from __future__ import annotations

import hashlib
import os
import platform
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from bench_core.protocol.run_options import RunOptions
from bench_core.version import __version__

PACKAGES = (
    "torch",
    "torchvision",
    "numpy",
    "pydantic",
    "opencv-python-headless",
    "opencv-python",
    "pillow",
    "nibabel",
    "nilearn",
    "timm",
    "segmentation-models-pytorch",
    "monai",
    "transformers",
    "onedl-mmengine",
    "onedl-mmcv",
    "onedl-mmsegmentation",
)


@dataclass(frozen=True)
class RunContext:
    """What `bench run` knows and a job does not: the spec it came from and the command line."""

    spec_name: str = ""
    spec_sha256: str = ""
    command: str = ""
    plugins: Mapping[str, str] = field(default_factory=dict)
    """Plugin name to where it comes from."""


@cache
def environment() -> dict[str, Any]:
    """Return versions, system and hardware of this process."""
    return {
        "segtrial": __version__,
        "git_commit": git_commit(Path(__file__).parent),
        "python": platform.python_version(),
        "packages": _versions(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cpu": _cpu_model(),
        "cpu_cores": _cores(),
        "gpus": _gpus(),
        # Names of machines can be private: equal machines stay recognizable, nothing more.
        "host": hashlib.sha256(socket.gethostname().encode()).hexdigest()[:12],
    }


def execution(options: RunOptions) -> dict[str, Any]:
    """Return how a job is executed: device, threads and the like."""
    return {
        "device": options.device,
        "device_name": device_name(options.device),
        "devices_per_job": options.devices_per_job,
        **({"devices": list(options.devices)} if options.devices else {}),
        "threads": options.threads,
        "loader_workers": options.loader_workers,
        "channels_last": options.channels_last,
        "compile": options.compile,
        "runners": {name: dict(values) for name, values in options.runners.items()},
    }


def git_commit(folder: Path) -> str | None:
    """Return the commit of the source tree, "+changes" appended if it differs; None outside one."""
    git = ["git", "-C", str(folder)]
    with suppress(OSError, subprocess.SubprocessError):
        root = _run([*git, "rev-parse", "--show-toplevel"])
        if not root or not (Path(root) / "bench_core").is_dir():
            return None
        commit = _run([*git, "rev-parse", "HEAD"])
        changes = _run([*git, "status", "--porcelain", "--untracked-files=no"])
        return f"{commit}+changes" if changes else commit
    return None


class MemoryMeter:
    """Peak memory from its start: of the CUDA device, otherwise of this process."""

    def __init__(self, device: str) -> None:
        self._device = device
        if device.startswith("cuda"):
            import torch

            torch.cuda.reset_peak_memory_stats(device)
        else:
            with suppress(OSError):
                Path("/proc/self/clear_refs").write_text("5")

    def peak_bytes(self) -> int:
        """Return the peak so far in bytes."""
        if self._device.startswith("cuda"):
            import torch

            return int(torch.cuda.max_memory_allocated(self._device))
        with suppress(OSError, StopIteration):
            lines = Path("/proc/self/status").read_text().splitlines()
            return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) * 1024
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def memory_of(device: str) -> int | None:
    """Return the bytes that a device of this process has in all; None on the CPU or where nothing tells."""
    if not device.startswith("cuda"):
        return None
    import torch

    with suppress(RuntimeError, AssertionError, ValueError):
        return int(torch.cuda.get_device_properties(device.partition(",")[0]).total_memory)
    return None


def _run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    return done.stdout.strip()


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def _cpu_model() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _cores() -> int:
    with suppress(AttributeError):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _gpus() -> list[str]:
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return []
    return [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]


def device_name(device: str) -> str:
    """Return what a device (cpu, cuda:N) is called; its own word where that is not known."""
    torch = sys.modules.get("torch")
    if device.startswith("cuda") and torch is not None and torch.cuda.is_available():
        return str(torch.cuda.get_device_name(device))
    return _cpu_model() if device == "cpu" else device
