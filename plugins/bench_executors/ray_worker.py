"""What runs on the nodes of a Ray cluster: an actor that keeps one worker, as a process beside its own.

A node needs Ray and what the worker's command needs. This file is sent there whole, so it imports nothing but
the standard library.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

LONGEST_PAUSE_SECONDS = 30.0
FAREWELL_SECONDS = 20.0
"""How long an ended worker's actor waits to be asked how it ended, before it leaves the cluster by itself."""
TAIL_BYTES = 2000
_BEGIN = """
import ctypes, os, signal, sys
signal.pthread_sigmask(signal.SIG_SETMASK, ())
with __import__("contextlib").suppress(OSError, AttributeError):
    ctypes.CDLL(None).prctl(1, int(signal.SIGTERM), 0, 0, 0)
if os.getppid() != int(sys.argv[1]):
    sys.exit(1)
os.execvp(sys.argv[2], sys.argv[2:])
"""
"""Becomes the worker, which the kernel asks to stop when the actor has died (prctl(2), PR_SET_PDEATHSIG)."""


class Keeper:
    """Starts a worker at once and again when it was killed, `restarts` times at most.

    Ray makes it anew on another node when its own is lost. `leave` takes the actor off the cluster.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        log: str,
        restarts: int,
        leave: Callable[[], None],
    ) -> None:
        self._command, self._environment, self._log = list(command), dict(environment), Path(log)
        self._restarts, self._leave = restarts, leave
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._stopping = False
        self._wake, self._over = threading.Event(), threading.Event()
        self._report: dict[str, Any] = {}
        # Its end is the worker's: the kernel watches the thread that started a process.
        threading.Thread(target=self._keep, daemon=True).start()

    def ended(self) -> dict[str, Any]:
        """Wait for the worker's end; return its exit code (negative: the signal), and what it said last."""
        self._over.wait()
        return self._report

    def stop(self, kill: bool = False) -> None:
        """Ask the worker to give its job back and end, or kill it with all that it has started."""
        with self._lock:
            first, self._stopping = not self._stopping, True
            self._wake.set()
            process = self._process
            if process is None or process.poll() is not None:
                return
            with suppress(OSError):
                if kill:
                    os.killpg(process.pid, signal.SIGKILL)
                elif first:
                    process.terminate()

    def _keep(self) -> None:
        try:
            code = self._run()
            pause = 1.0
            while code < 0 and self._restarts > 0 and not self._wake.wait(pause):
                self._restarts -= 1
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
                code = self._run()
            self._report = {"code": code, "tail": "" if code == 0 else self._tail()}
        except OSError as error:
            self._report = {"code": None, "tail": str(error)}
        self._over.set()
        threading.Event().wait(FAREWELL_SECONDS)
        self._leave()

    def _run(self) -> int:
        with self._lock:
            if self._stopping:
                return 0
            with self._log.open("ab") as log:
                self._process = subprocess.Popen(
                    [sys.executable, "-c", _BEGIN, str(os.getpid()), *self._command],
                    env={**os.environ, **self._environment},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        return self._process.wait()

    def _tail(self) -> str:
        with self._log.open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - TAIL_BYTES))
            return log.read().decode("utf-8", "replace").strip()
