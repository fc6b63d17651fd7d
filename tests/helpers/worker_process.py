"""A `bench worker --json` in the background; its events are read as they come."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.helpers.bench import BENCH

PATIENCE = 200


class WorkerProcess:
    """One worker on the CPU; `seen` hears of each event as it is read."""

    def __init__(
        self, target: Path, *options: str, seen: Callable[[dict[str, Any]], None] = lambda event: None
    ) -> None:
        self.process = subprocess.Popen(
            [*BENCH, "worker", str(target), "--device", "cpu", "--json", *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.events: list[dict[str, Any]] = []
        self._seen = seen
        self._watchdog = threading.Timer(PATIENCE, self.process.kill)
        self._watchdog.start()

    def until(self, kind: str) -> dict[str, Any]:
        """Read events up to the first of this kind."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._take(line)
            if self.events[-1]["event"] == kind:
                return self.events[-1]
        raise AssertionError(f"no {kind!r}: {self.events[-3:]} {self.end()}")

    def end(self) -> tuple[int, str]:
        """Read all that is left and return exit code and stderr."""
        out, err = self.process.communicate()
        self._watchdog.cancel()
        for line in out.splitlines():
            self._take(line)
        return self.process.returncode, err

    def children(self) -> set[int]:
        """Return the processes that run its jobs."""
        found = set()
        for path in Path("/proc").iterdir():
            try:
                if path.name.isdigit() and b"spawn_main" in (path / "cmdline").read_bytes():
                    parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
                    found |= {int(path.name)} if parent == self.process.pid else set()
            except OSError:
                continue
        return found

    def kill_child(self, number: int) -> None:
        """Send a signal to what runs its job, and to that alone."""
        for child in self.children():
            os.kill(child, number)

    def kinds(self) -> list[str]:
        """Return the kinds of its events in order."""
        return [event["event"] for event in self.events]

    def _take(self, line: str) -> None:
        self.events.append(json.loads(line))
        self._seen(self.events[-1])
