"""How a run and its workers hear that they shall stop."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2")
STOPPING = tuple(getattr(signal, name) for name in _NAMES if hasattr(signal, name))
"""Schedulers announce the end of a time limit or a preemption by SIGTERM, SIGUSR1 or SIGUSR2, as asked."""
STOPPED = 130
"""Exit code of a worker that was asked to stop."""
LATE_SECONDS = 3.0
"""How long a process may take to act on a signal to stop before it is ended."""
RANK_LOST = 131
"""Exit code of a worker whose job lost a process on another device, and that could not be told otherwise."""


class StopSignals:
    """Counts signals that ask the run to stop: after the first it stops cleanly, after the second at once."""

    def __init__(self) -> None:
        self.count = 0

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Count instead of dying inside, and put the former handlers back afterwards."""

        def heard(number: int, frame: FrameType | None) -> None:
            self.count += 1

        # What the caller has ignored (nohup, a job in the background) stays ignored.
        numbers = [number for number in STOPPING if signal.getsignal(number) != signal.SIG_IGN]
        before = {number: signal.signal(number, heard) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def wait(self, seconds: float) -> None:
        """Wait for a signal, at most so long."""
        until = time.monotonic() + seconds
        while not self.count and time.monotonic() < until:
            time.sleep(0.05)


@contextmanager
def held_back() -> Iterator[None]:
    """Let signals that stop a run wait until the block has ended, in a process started inside, too."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def deferred() -> Iterator[None]:
    """Let the first signal to stop wait until the block has ended, as KeyboardInterrupt; a second one raises.

    Children are not kept from hearing of it: one that must not needs a session of its own. Does nothing in
    other threads than the main one.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard: list[int] = []

    def hear(number: int, frame: FrameType | None) -> None:
        heard.append(number)
        if len(heard) > 1:
            raise KeyboardInterrupt
        with suppress(OSError):
            os.write(2, b"\nstopping once this can be undone; a second Ctrl-C does not wait\n")

    numbers = [number for number in STOPPING if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, hear) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if heard:
        raise KeyboardInterrupt


def end_on_signals(last: Callable[[], None], *, ctrl_c: bool = True) -> None:
    """End this process with STOPPED when it is asked to stop, after `last`; without `ctrl_c` not by SIGINT.

    No exception is raised for it: one that comes up inside a library is often swallowed or taken for another.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        for other in STOPPING:
            signal.signal(other, signal.SIG_IGN)
        try:
            with suppress(Exception):
                last()
        finally:
            os._exit(STOPPED)

    for number in STOPPING:
        signal.signal(number, stop if ctrl_c or number != signal.SIGINT else signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
    if hasattr(os, "register_at_fork"):
        # What is forked from here (loader processes) owns no job.
        os.register_at_fork(after_in_child=_default_signals)


class StoppedAnyway:
    """Ends this process with STOPPED, after `last`, where it is asked to stop and does not get to it.

    Handlers run in the main thread between two steps of Python, and a library can wait for other processes in
    one step for ever. Does nothing in other threads than the main one.
    """

    def __init__(self, last: Callable[[], None]) -> None:
        self._last = last
        self._ear, self._mouth = socket.socketpair()
        self._mouth.setblocking(False)
        self._listens = threading.current_thread() is threading.main_thread()
        if self._listens:
            self._before = signal.set_wakeup_fd(self._mouth.fileno(), warn_on_full_buffer=False)
            threading.Thread(target=self._listen, daemon=True, name="bench-signals").start()

    def close(self) -> None:
        """Listen no more."""
        if self._listens:
            signal.set_wakeup_fd(self._before)
        self._mouth.close()

    def _listen(self) -> None:
        with self._ear:
            while heard := self._ear.recv(64):
                if set(heard) & set(STOPPING):
                    time.sleep(LATE_SECONDS)
                    # Whoever has dealt with it has ended, or has closed this.
                    if self._mouth.fileno() >= 0:
                        with suppress(Exception):
                            self._last()
                        os._exit(STOPPED)


def _default_signals() -> None:
    for number in STOPPING:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
