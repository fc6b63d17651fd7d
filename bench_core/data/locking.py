"""One builder at a time, where the file system can tell; correctness never depends on it."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

POLL_SECONDS = 0.1
STALE_SECONDS = 60.0
"""A builder that shows no life for this long (stopped, or its machine is gone) is not waited for."""


@contextlib.contextmanager
def building(folder: Path) -> Iterator[Callable[[], None]]:
    """Wait for another process that builds `folder`, then hold the lock; yields a call that shows life.

    The kernel frees the lock of a killed process. Raises OSError if the lock file cannot be created.
    """
    path = folder.with_name(f".{folder.name}.lock")
    with path.open("a") as file:
        while not _lock(file.fileno()) and time.time() - path.stat().st_mtime < STALE_SECONDS:
            time.sleep(POLL_SECONDS)
        touched = 0.0

        def alive() -> None:
            nonlocal touched
            if time.monotonic() - touched > 1.0:
                touched = time.monotonic()
                with contextlib.suppress(OSError):
                    os.utime(path)

        alive()
        yield alive


def _lock(descriptor: int) -> bool:
    try:
        import fcntl
    except ImportError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True  # A file system without locks: two processes may build, the first rename wins.
    return True
