"""How long a pass takes: after warming up, with the device waited for before and after each."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

LEAST = 3
"""Runs that are timed however long they take."""


@dataclass(frozen=True)
class Effort:
    """How often a pass is repeated."""

    warm_up: int
    """Passes before the first that is timed."""
    repeats: int
    """Timed passes at most."""
    seconds: float
    """After which no further pass begins; warming up has as many."""


def wait(device: torch.device) -> None:
    """Return when the device has done what it was asked."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def timed(act: Callable[[], object], device: torch.device, effort: Effort) -> list[float]:
    """Return the seconds of each timed pass."""
    begun = time.perf_counter()
    for _ in range(max(effort.warm_up, 1)):
        act()
        wait(device)
        if time.perf_counter() - begun > effort.seconds:
            break
    found: list[float] = []
    while len(found) < effort.repeats and (len(found) < LEAST or sum(found) < effort.seconds):
        start = time.perf_counter()
        act()
        wait(device)
        found.append(time.perf_counter() - start)
    return found


def quartiles(values: list[float]) -> tuple[float, float, float]:
    """Return median, first and third quartile."""
    low, middle, high = np.quantile(values, (0.25, 0.5, 0.75)).tolist()
    return middle, low, high
