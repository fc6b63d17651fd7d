"""Stands in for `bench worker` where an executor is tried: `python stand_in.py BOARD WORD...`.

It notes on a board (a folder) that it has started, with its words, and that it lives, by a file that grows.
It ends when the board says that nothing is left, and gives back what it has when it is asked to. It imports
nothing but the standard library, so that it starts at once.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from pathlib import Path
from types import FrameType

OVER, FAILS, DEAF, MAY_END = "over", "fails", "deaf", "may-end"
"""Files of a board: nothing is left; fail at once; hear no signal; do not wait any longer with the end."""
STARTED, ALIVE, ENDED = ".started", ".alive", ".ended"
GAVE_BACK = "gave back"
SAYS = "the stand-in has started"
"""What each prints."""
LOOK_SECONDS = 0.05
LONGEST_SECONDS = 600.0


def main(board: Path, words: list[str]) -> int:
    """Live as the board says."""
    print(SAYS, flush=True)
    if (board / FAILS).exists():
        return 3
    name = f"{socket.gethostname()}.{os.getpid()}"
    asked: list[int] = []

    def hear(number: int, frame: FrameType | None) -> None:
        if not (board / DEAF).exists():
            asked.append(number)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, hear)
    note(board / f"{name}{STARTED}", {"words": words, "folder": str(Path.cwd())})
    until = time.monotonic() + LONGEST_SECONDS
    while time.monotonic() < until and board.exists():
        if asked and ((board / MAY_END).exists() or (board / OVER).exists()):
            note(board / f"{name}{ENDED}", GAVE_BACK)
            return 0
        if (board / OVER).exists():
            note(board / f"{name}{ENDED}", OVER)
            return 0
        with (board / f"{name}{ALIVE}").open("ab") as file:
            file.write(b".")
        time.sleep(LOOK_SECONDS)
    return 1


def note(path: Path, data: object) -> None:
    """Write a file that is there whole or not at all."""
    beside = path.with_suffix(f".{os.getpid()}.tmp")
    beside.write_text(json.dumps(data), encoding="utf-8")
    beside.rename(path)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
