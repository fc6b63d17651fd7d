"""Energy from the machine's own counters: NVML's of a GPU, RAPL's of the processors; else it is not known.

Either counts the whole device, whatever else runs there.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

RAPL = Path("/sys/class/powercap")
_MICRO, _MILLI = 1e-6, 1e-3


class UnknownEnergyError(Exception):
    """Why the energy is not known."""


class Meter:
    """Reads joules since it was made."""

    how = ""

    def joules(self) -> float:
        """Return the joules so far; raises UnknownEnergyError where the counter cannot be read."""
        raise NotImplementedError


class NvmlMeter(Meter):
    """The energy of a GPU's board since the driver was loaded (Volta and later)."""

    how = "NVML, board"

    def __init__(self, device: torch.device) -> None:
        try:
            # Of the package nvidia-ml-py, which is asked for nowhere else.
            nvml: Any = import_module("pynvml")
        except ImportError as error:
            raise UnknownEnergyError("NVML needs nvidia-ml-py") from error
        try:
            nvml.nvmlInit()
            identity = str(torch.cuda.get_device_properties(device).uuid)
            name = identity if identity.startswith(("GPU-", "MIG-")) else f"GPU-{identity}"
            handle = nvml.nvmlDeviceGetHandleByUUID(name)
            self._read: Callable[[], float] = lambda: (
                _MILLI * nvml.nvmlDeviceGetTotalEnergyConsumption(handle)
            )
            self._start = self._read()
        except (nvml.NVMLError, AttributeError) as error:
            raise UnknownEnergyError(f"NVML says: {error}") from error

    def joules(self) -> float:
        """Return the joules of the board so far."""
        return float(self._read() - self._start)


class RaplMeter(Meter):
    """The energy of all processor packages; their counters begin anew at a limit that they tell."""

    how = "RAPL, packages"

    def __init__(self, root: Path = RAPL) -> None:
        self._packages = [path for path in sorted(root.glob("intel-rapl:*")) if path.name.count(":") == 1]
        if not self._packages:
            raise UnknownEnergyError("this machine has no RAPL counters")
        self._total, self._last = 0, self._counters()

    def joules(self) -> float:
        """Return the joules of all packages so far; reading at least once a minute misses no turn."""
        found = self._counters()
        for package, before, after in zip(self._packages, self._last, found, strict=True):
            turn = 0 if after >= before else _micro(package / "max_energy_range_uj")
            self._total += after - before + turn
        self._last = found
        return _MICRO * self._total

    def _counters(self) -> list[int]:
        return [_micro(package / "energy_uj") for package in self._packages]


def _micro(path: Path) -> int:
    try:
        return int(path.read_text())
    except (OSError, ValueError) as error:
        raise UnknownEnergyError(f"RAPL counters cannot be read: {type(error).__name__}") from error


def meter_of(device: torch.device) -> Meter:
    """Return what counts a device's energy from now on; raise UnknownEnergyError where nothing does."""
    if device.type == "cuda":
        return NvmlMeter(device)
    if device.type == "cpu":
        return RaplMeter()
    raise UnknownEnergyError("no counter is known for this device")
