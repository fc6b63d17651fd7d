"""One builder at a time, where the file system can tell; correctness never depends on it."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

POLL_SECONDS = 0.1
STALE_SECONDS = 60.0
"""A builder that shows no life for this long (stopped, or its machine is gone) is not waited for."""


@dataclass(frozen=True)
class Turn:
    """This process's turn to build."""

    held: bool
    """False where the lock's holder was given up or the file system has no locks."""
    alive: Callable[[], None]
    """Shows those who wait that the build continues; cheap."""


@contextlib.contextmanager
def building(folder: Path) -> Iterator[Turn]:
    """Wait for another process that builds `folder`, then take the turn.

    The kernel frees the lock of a killed process. Raises OSError if the lock file cannot be created.
    """
    path = folder.with_name(f".{folder.name}.lock")
    signs = _Signs(path)
    with path.open("a") as file:
        while (locked := _lock(file.fileno())) is False and signs.of_life():
            time.sleep(POLL_SECONDS)
        touched = 0.0

        def alive() -> None:
            nonlocal touched
            if time.monotonic() - touched > 1.0:
                touched = time.monotonic()
                with contextlib.suppress(OSError):
                    os.utime(path)

        alive()
        yield Turn(held=locked is True, alive=alive)


class _Signs:
    """Watches how long a file's time stays the same, so that no two clocks are compared."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: float | None = None
        self._since = time.monotonic()

    def of_life(self) -> bool:
        """Say whether the file was touched within STALE_SECONDS, or has not been watched for so long."""
        time_of_file = self._path.stat().st_mtime
        if time_of_file != self._seen:
            self._seen, self._since = time_of_file, time.monotonic()
        return time.monotonic() - self._since < STALE_SECONDS


def _lock(descriptor: int) -> bool | None:
    """Return whether the lock is ours now, None where there are no locks."""
    try:
        import fcntl
    except ImportError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None  # Two processes may build; the first rename wins.
    return True
