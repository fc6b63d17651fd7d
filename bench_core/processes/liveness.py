"""Whether a process lives, judged from this one: it may be hidden, on another machine, or its id reused."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from functools import cache
from pathlib import Path

HIDDEN = "unknown"
"""In place of the start of a process that exists, but of which the system does not tell when it started."""


@cache
def machine_identity() -> str:
    """Return a text that is equal for processes that see each other's process ids.

    It holds the boot and, on Linux, the process namespace. Where the system does not tell these, it is equal
    for nobody but this process: others must then judge it by its heartbeat.
    """
    parts = [socket.gethostname()]
    if not Path("/proc/self/stat").exists():
        return parts[0]
    try:
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    except OSError:
        parts.append(f"process {os.getpid()} {process_start(os.getpid())}")
    return " ".join(parts)


def process_start(pid: int) -> str | None:
    """Return when a process of this machine started, HIDDEN if that cannot be told, None if there is none.

    A process that has ended and whose parent has not noticed (a zombie) counts as none.
    """
    with suppress(OSError, IndexError, ValueError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return None if fields[0] in "ZX" else fields[19]
    # /proc can be mounted so that it hides the processes of other users (hidepid); a signal still finds them.
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return None
    except OSError:
        return HIDDEN
    return HIDDEN


def is_running(pid: int, start: str) -> bool | None:
    """Say whether the process with this id and start still runs here; None where the system does not tell."""
    found = process_start(pid)
    if found is None:
        return False
    return None if HIDDEN in (found, start) else found == start
