"""How a run hears that it shall stop, and how it tells why a worker process ended."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_STOPPING = ("SIGINT", "SIGTERM", "SIGHUP")


class StopSignals:
    """Counts signals that ask the run to stop: after the first it stops cleanly, after the second at once."""

    def __init__(self) -> None:
        self.count = 0

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Count instead of dying inside, and put the former handlers back afterwards."""

        def heard(number: int, frame: FrameType | None) -> None:
            self.count += 1

        numbers = [getattr(signal, name) for name in _STOPPING if hasattr(signal, name)]
        before = {number: signal.signal(number, heard) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def explain_death(code: int | None) -> tuple[str, str]:
    """Return why a process with this exit code has died, and what to do."""
    if code == -signal.SIGKILL:
        return (
            "it was killed, most often because memory ran out",
            "use fewer --workers or a smaller batch size; the same command goes on from the last epoch",
        )
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        return f"it was ended by {name}, a crash in a library", "see its log; the same command tries it again"
    return f"it ended with code {code}", "see its log; the same command tries it again"
