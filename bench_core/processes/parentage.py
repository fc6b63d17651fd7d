"""Processes that do not outlive those who started them, however these end."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable
from functools import cache

from bench_core.processes.liveness import process_start

_PR_SET_PDEATHSIG = 1
"""prctl(2): the signal that this process gets when the thread that started it has ended."""
LOOK_SECONDS = 1.0
"""How often the guard looks where the kernel does not tell it."""


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when its parent ends; where it cannot, do nothing.

    Ends the process if the parent, whose id is given, has ended already.
    """
    prctl = _prctl()
    if prctl is not None:
        prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    # The parent may have ended before the kernel was asked.
    if os.getppid() != parent:
        os._exit(1)


def children_die_with_us() -> None:
    """Ask the same for whatever this process forks from here on, before it does anything else."""
    if not hasattr(os, "register_at_fork"):
        return
    _prctl()  # Loaded before the first fork: afterwards locks may be held that nobody gives back.
    me = [os.getpid()]

    def child() -> None:
        parent, me[0] = me[0], os.getpid()
        die_with_parent(parent)

    os.register_at_fork(after_in_child=child)


def guard_group(parent: int) -> int | None:
    """Fork a guard of this process, which leads a process group; return its id, or None if there is none.

    When this process has ended, whatever is left of its group is killed; when `parent` has ended, all of it
    is. The guard is a process of its own because a library that holds the interpreter's lock stops every
    thread of this one.
    """
    if not hasattr(os, "fork") or os.getpgrp() != os.getpid():
        return None
    guarded, parent_start = os.getpid(), process_start(parent)
    guard = os.fork()
    if guard == 0:
        try:
            _guard(guarded, lambda: process_start(parent) == parent_start)
        finally:
            os._exit(0)
    return guard


def _guard(guarded: int, parent_lives: Callable[[], bool]) -> None:
    # Files that it kept open would look like a process that still runs.
    os.closerange(0, 4096)
    wakes = {signal.SIGUSR1}
    signal.pthread_sigmask(signal.SIG_BLOCK, [*wakes, signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
    prctl = _prctl()
    if prctl is not None:
        prctl(_PR_SET_PDEATHSIG, int(signal.SIGUSR1), 0, 0, 0)
    while os.getppid() == guarded and parent_lives():
        if hasattr(signal, "sigtimedwait"):
            signal.sigtimedwait(wakes, LOOK_SECONDS)
        else:
            import time

            time.sleep(LOOK_SECONDS)
    os.killpg(guarded, signal.SIGKILL)


@cache
def _prctl() -> Callable[..., int] | None:
    if not sys.platform.startswith("linux"):
        return None
    try:
        found: Callable[..., int] = ctypes.CDLL(None, use_errno=True).prctl
    except (OSError, AttributeError):
        return None
    return found
