"""Whether a process that computes may be forked."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path

SURVIVES = "jemalloc_bg_thd\n"
"""Arrow's allocator starts its thread anew after a fork."""


def survives_a_fork() -> bool:
    """Return whether every thread of this process but Arrow's allocator's is one of Python's.

    The threads of a compute library are not in a forked process. It waits for OpenMP's, which begin with the
    first computation on several, as soon as it computes on several itself, and without end; it computes no
    gradients where autograd has threads.
    """
    names = []
    for task in Path("/proc/self/task").iterdir():
        with suppress(FileNotFoundError):
            names.append((task / "comm").read_text())
    return len(names) - names.count(SURVIVES) <= len(sys._current_frames())
