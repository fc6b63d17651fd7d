"""Whether a process that computes may be forked."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

Found = TypeVar("Found")
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


def apart(function: Callable[..., Found], *arguments: object) -> Found:
    """Call in a forked process what starts threads of a compute library, which would stay in this one."""
    if sys.platform != "linux" or not survives_a_fork():
        return function(*arguments)
    context = get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=lambda: sender.send(function(*arguments)))
    process.start()
    sender.close()
    found: Found = receiver.recv()
    process.join()
    return found
