"""Whether a process gets anywhere: real ones that compute, wait, are stopped, or hang in the system."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent

import pytest

from bench_core.processes.pulse import Patience, pulse

pytestmark = pytest.mark.skipif(pulse(os.getpid()) is None, reason="the system does not tell")
HANG = """
    import ctypes, sys, threading
    libc = ctypes.CDLL(None)
    actions = ctypes.create_string_buffer(256)
    libc.posix_spawn_file_actions_init(actions)
    libc.posix_spawn_file_actions_addopen(actions, 0, sys.argv[1].encode(), 0, 0)
    threading.Thread(target=threading.Event().wait, daemon=True).start()
    print("now", flush=True)
    words = (ctypes.c_char_p * 2)(b"/bin/true", None)
    libc.posix_spawn(ctypes.byref(ctypes.c_int()), b"/bin/true", actions, None, words, words)
"""
"""The parent of a new process waits, not to be interrupted, until it runs: here it first opens a pipe that
nobody writes to."""


@contextmanager
def running(code: str, *words: str) -> Iterator[int]:
    """Start a process, and yield its id once it is about to do what it is for."""
    command = [sys.executable, "-c", dedent(code), *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield process.pid
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def until(pid: int, states: str) -> None:
    """Wait until the process is in one of these states and stays there."""
    deadline, before = time.monotonic() + 60, None
    while time.monotonic() < deadline:
        now = pulse(pid)
        if now is not None and now.state in states and now == before:
            return
        before = now
        time.sleep(0.02)
    raise AssertionError(f"never in {states}: {before}")


def test_one_that_waits_is_silent_unless_it_is_heard() -> None:
    with running("print('now', flush=True); import time; time.sleep(1000)") as pid:
        until(pid, "S")
        patience = Patience(pid)
        assert patience.look(heard=False) == 0, "it has done something before"
        assert [patience.look(heard=False) for _ in range(3)] == [1, 2, 3]
        assert patience.look(heard=True) == 0
        os.kill(pid, signal.SIGSTOP)
        until(pid, "T")
        looks = [patience.look(heard=False) for _ in range(3)]
        assert looks[1:] == [looks[0] + 1, looks[0] + 2]
        os.kill(pid, signal.SIGCONT)
        until(pid, "S")
        assert patience.look(heard=True) == 0


def test_one_that_computes_is_not_silent_though_it_is_not_heard() -> None:
    with running("print('now', flush=True); sum(range(10 ** 12))") as pid:
        patience = Patience(pid)
        for _ in range(3):
            before = pulse(pid)
            deadline = time.monotonic() + 60
            while pulse(pid) == before and time.monotonic() < deadline:
                time.sleep(0.02)
            assert patience.look(heard=False) == 0


def test_one_that_hangs_in_the_system_is_silent_though_it_is_heard(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with running(HANG, str(tmp_path / "pipe")) as pid:
        until(pid, "D")
        patience = Patience(pid)
        patience.look(heard=True)
        assert [patience.look(heard=True) for _ in range(3)] == [1, 2, 3]


def test_where_the_system_does_not_tell_only_what_is_heard_counts() -> None:
    gone = 2**22 + 1
    assert pulse(gone) is None
    patience = Patience(gone)
    assert [patience.look(heard=heard) for heard in (False, True, False, False)] == [1, 0, 1, 2]
