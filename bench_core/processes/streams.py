"""Standard streams that may be closed, full or gone: none of it ends in a traceback or a wrong exit code."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TextIO


def open_standard_files() -> None:
    """Open /dev/null in place of each standard file that was closed when the process started.

    Otherwise the next file that is opened gets its number, and what is printed lands in it.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            with suppress(OSError):
                os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115


def is_broken(stream: TextIO | None) -> bool:
    """Say whether what was printed cannot be brought out: no reader, no space, no terminal."""
    try:
        if stream is not None:
            stream.flush()
    except (OSError, ValueError):
        return True
    return False


def let_go(*, output: bool = False) -> None:
    """Send what cannot be brought out nowhere, so that the interpreter's last flush does not fail for it.

    With `output` standard output is known to be broken, which it does not show while nothing is printed.
    """
    for number, stream in ((1, sys.stdout), (2, sys.stderr)):
        if not is_broken(stream) and not (output and number == 1):
            continue
        with suppress(OSError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, number)
            os.close(nowhere)
        with suppress(OSError, ValueError):
            stream.flush()
