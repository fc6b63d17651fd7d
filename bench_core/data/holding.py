"""Files in use: a shared lock while arrays are mapped; whoever removes them must have it alone."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


class Held:
    """An open file with a shared lock, free again when nobody refers to it; copies share it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def __del__(self) -> None:
        with contextlib.suppress(OSError):
            os.close(self._descriptor)


def hold(path: Path) -> Held | None:
    """Return a hold on a file that exists; None where it is being removed or the file system has no locks.

    Raises OSError if the file cannot be opened.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    held = Held(descriptor)
    try:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except (ImportError, OSError):
        return None
    return held


@contextlib.contextmanager
def alone(path: Path) -> Iterator[bool]:
    """Say whether nobody holds the file, and let nobody hold it meanwhile; True where there is no such file.

    Where the file system has no locks nobody can be seen, and it is False.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        yield True
        return
    except OSError:
        yield False
        return
    try:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        free = True
    except (ImportError, OSError):
        free = False
    try:
        yield free
    finally:
        os.close(descriptor)
