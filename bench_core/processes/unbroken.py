"""Blocks that no signal cuts in two: what is being written when one arrives is written to its end first."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_NUMBERS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
_depth = 0


@contextmanager
def unbroken() -> Iterator[None]:
    """Keep signals that ask to stop until the block has ended, then act on them as if they came there.

    For short blocks. An exception that a handler raises in the middle of a native library's call comes back
    as that library's own error, or not at all, and leaves half a file.
    """
    global _depth
    if threading.current_thread() is not threading.main_thread():
        yield  # Python runs handlers in the main thread alone.
        return
    if _depth:
        yield
        return
    before: dict[int, Any] = {}
    pending: list[int] = []

    def keep(number: int, frame: FrameType | None) -> None:
        if _depth:
            pending.append(number)
        else:
            signal.signal(number, before[number])
            signal.raise_signal(number)

    _depth = 1
    try:
        for number in _NUMBERS:
            handler = signal.getsignal(number)
            # None: set by other than Python, and not to be put back by it.
            if handler not in (None, signal.SIG_IGN):
                before[number] = handler
                signal.signal(number, keep)
        yield
    finally:
        _depth = 0
        for number, handler in before.items():
            signal.signal(number, handler)
        if pending:
            signal.raise_signal(pending[0])
