"""Whether a process that computes may be forked."""

from __future__ import annotations

import sys
from pathlib import Path


def survives_a_fork() -> bool:
    """Return whether every thread of this process is one of Python's.

    The threads of a compute library (OpenMP's pool begins with the first computation on several) are not in a
    forked process, which waits for them without end as soon as it computes on several itself.
    """
    return len(list(Path("/proc/self/task").iterdir())) <= len(sys._current_frames())
