"""Whether a process that computes may be forked."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path


def survives_a_fork() -> bool:
    """Return whether every thread of this process is one of Python's, or has a name of its own.

    The threads of a compute library (OpenMP's pool begins with the first computation on several) are not in a
    forked process, which waits for them without end as soon as it computes on several itself. They are called
    as the process is. Arrow's allocator names its thread, and starts it anew after a fork.
    """
    names = []
    for task in Path("/proc/self/task").iterdir():
        with suppress(FileNotFoundError):
            names.append((task / "comm").read_text())
    return names.count(Path("/proc/self/comm").read_text()) <= len(sys._current_frames())
