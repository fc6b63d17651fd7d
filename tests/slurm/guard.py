"""Ends a cluster with the process that started it: `python guard.py FOLDER`, with a pipe from there as input.

The pipe closes when that process closes it or dies in any way. All processes of the cluster, and the jobs
that it runs, are known by the SLURM_CONF in their environment, which names a file in the cluster's folder.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

PATIENCE_SECONDS = 10.0


def members(folder: Path, *variables: str) -> list[int]:
    """Return the ids of the cluster's processes with all these variables, as "A=b"; not of this one."""
    marks = {text.encode() for text in (f"SLURM_CONF={folder / 'slurm.conf'}", *variables)}
    found = []
    for path in Path("/proc").iterdir():
        if path.name.isdigit() and int(path.name) != os.getpid():
            with suppress(OSError):
                if marks.issubset((path / "environ").read_bytes().split(b"\0")):
                    found.append(int(path.name))
    return found


def end(folder: Path) -> None:
    """Kill every process of the cluster, until there is none, and remove its disk and its folder."""
    until = time.monotonic() + PATIENCE_SECONDS
    while (present := members(folder)) and time.monotonic() < until:
        for number in present:
            with suppress(OSError):
                os.kill(number, signal.SIGKILL)
        time.sleep(0.05)
    for name in ("read-only", "disk"):
        while subprocess.run(["umount", "--lazy", folder / name], capture_output=True).returncode == 0:
            pass
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.SIG_IGN)
    sys.stdin.buffer.read()
    end(Path(sys.argv[1]))
