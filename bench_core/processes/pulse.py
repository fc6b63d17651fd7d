"""Whether another process of this machine gets anywhere, judged from outside."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Pulse:
    """What the system tells of a process's main thread."""

    state: str
    """One letter, as in proc(5): D waits for a device or file system and cannot be interrupted."""
    work: tuple[int, ...]
    """Ticks that it has computed, and how often it was scheduled."""


def pulse(pid: int) -> Pulse | None:
    """Return the pulse of a process; None where the system does not tell, or it has ended."""
    place = Path(f"/proc/{pid}/task/{pid}")
    with suppress(OSError, IndexError, ValueError):
        fields = (place / "stat").read_text().rpartition(")")[2].split()
        switches = [
            int(line.split()[1])
            for line in (place / "status").read_text().splitlines()
            if "ctxt_switches" in line
        ]
        return Pulse(fields[0], (int(fields[11]), int(fields[12]), *switches))
    return None


class Patience:
    """Counts looks at a process that show no progress.

    It gets somewhere where it computes, and where it has said something since the last look, as one does that
    waits for others. One that waits for a file system and is not scheduled once hangs, whatever its other
    threads say: so the kernel tells hung tasks. Looks are counted, not seconds: whoever looks may have been
    stopped itself.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._before: Pulse | None = None
        self.silent = 0
        """So many looks in a row have shown nothing."""

    def look(self, *, heard: bool) -> int:
        """Look; return how many looks in a row have shown nothing. `heard`: it has said something."""
        now, before = pulse(self._pid), self._before
        self._before = now
        works = now is not None and (before is None or now.work != before.work)
        hangs = now is not None and now.state == "D"
        self.silent = 0 if works or (heard and not hangs) else self.silent + 1
        return self.silent
