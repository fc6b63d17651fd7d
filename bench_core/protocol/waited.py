"""How much of its time training waited for images, and what to do about it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from bench_core.records import EpochRecord

MUCH = 1 / 3
"""A larger share of the training time is worth a warning."""


def share_waited(history: Sequence[EpochRecord]) -> float | None:
    """Return the share in [0, 1] of their training time that epochs waited for images; None: not measured."""
    measured = [
        (record.waited_seconds, record.train_seconds)
        for record in history
        if record.waited_seconds is not None
    ]
    trained = math.fsum(seconds for _, seconds in measured)
    return min(1.0, math.fsum(waited for waited, _ in measured) / trained) if trained > 0 else None


def advice(workers: int, device: str) -> str | None:
    """Return what makes images come faster than with so many loader processes; None where nothing waits.

    A job on a CPU without loader processes makes its images itself.
    """
    if workers > 0:
        more = f"set `runtime: {{loader_workers: {2 * workers}}}` if there are cores for it"
        return f"{more}, run fewer jobs at a time (--workers), or put the cache on a faster disk"
    return "set `runtime: {loader_workers: auto}`, or a number" if device.startswith("cuda") else None
