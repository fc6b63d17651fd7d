"""Trains networks under two runners, in processes of their own, and judges what was seen."""

from __future__ import annotations

import os
import pickle
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import Any

from bench_core.conformance.child import Errand
from bench_core.conformance.job import Kind, Subject
from bench_core.conformance.record import Record
from bench_core.conformance.settings import Settings
from bench_core.conformance.verdict import SHORT, Observed, Verdict, judge
from bench_core.execute.threads import thread_variables

TIMEOUT = 1800
"""Seconds after which a process is given up; the first of a large network on a slow machine may be long."""
WORLD = 2
"""Processes that share a job."""
PROCESSES = 3 + WORLD
"""For each network and runner: unbroken, killed, resumed, and those that share a job."""


class Suite:
    """The trainings of one comparison; `advance` hears of each process that has ended."""

    def __init__(self, settings: Settings, advance: Callable[[], None] = lambda: None) -> None:
        self._settings = settings
        self._advance = advance
        self._lock = Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._stopped = False

    @property
    def processes(self) -> int:
        """How many there will be."""
        return PROCESSES * len(self._settings.runners) * len(self._settings.subjects)

    def run(self) -> list[Verdict]:
        """Train all and return a verdict a network; an interrupt ends the processes."""
        settings = self._settings
        at_once = max(1, (os.cpu_count() or 1) // settings.threads) if settings.device == "cpu" else 1
        folder = Path(tempfile.mkdtemp(prefix="segtrial-conformance-"))
        try:
            with ThreadPoolExecutor(at_once) as pool:
                try:
                    waiting = [
                        [
                            self._start(pool, folder / f"{number}-{side}", runner, subject)
                            for side, runner in enumerate(settings.runners)
                        ]
                        for number, subject in enumerate(settings.subjects)
                    ]
                    seen = [[observed() for observed in pair] for pair in waiting]
                except BaseException:
                    self._stop(pool)
                    raise
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return [
            judge(subject.label, *pair, exact=settings.exact)
            for subject, pair in zip(settings.subjects, seen, strict=True)
        ]

    def _start(
        self, pool: ThreadPoolExecutor, folder: Path, runner: str, subject: Subject
    ) -> Callable[[], Observed]:
        settings = self._settings
        errand = Errand(
            runner,
            subject,
            settings.plugins,
            ("whole", *SHORT, "shared"),
            folder / "unbroken",
            settings.threads,
            settings.device,
        )
        broken = replace(errand, kinds=("whole",), folder=folder / "broken")
        unbroken = pool.submit(self._do, errand)
        resumed = pool.submit(self._kill_and_resume, broken)
        together = pool.submit(self._do_together, replace(errand, kinds=("shared",), folder=folder))
        return lambda: _observed(unbroken.result(), *resumed.result(), together.result())

    def _kill_and_resume(self, errand: Errand) -> tuple[dict[Kind, Any] | None, str]:
        ended = self._process(replace(errand, killed=True))
        if ended != -getattr(signal, "SIGKILL", 0):
            self._advance()
            return None, "" if ended == 0 else self._last_line(errand)
        return self._do(errand), ""

    def _do_together(self, errand: Errand) -> list[Record]:
        """Let several processes do an errand together and return the record of each."""
        meeting = errand.folder / "meeting"
        shares = [
            replace(errand, folder=errand.folder / f"rank-{rank}", rank=rank, world=WORLD, meeting=meeting)
            for rank in range(WORLD)
        ]
        # Not from the pool of those that compute alone: each waits for the others.
        with ThreadPoolExecutor(WORLD) as pool:
            return [found["shared"] for found in pool.map(self._do, shares)]

    def _do(self, errand: Errand) -> dict[Kind, Any]:
        """Do an errand and return its records; a process that leaves none is a failure of each."""
        ended = self._process(errand)
        if errand.records.exists():
            found: dict[Kind, Any] = pickle.loads(errand.records.read_bytes())
            return found
        cause = f"the process ended with code {ended}: {self._last_line(errand)}"
        return {kind: Record(error=cause) for kind in errand.kinds}

    def _process(self, errand: Errand) -> int:
        errand.folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-P", "-m", "bench_core.conformance.child", errand.to_json()]
        # More threads than asked for would be in the way of the other process.
        environment = os.environ | thread_variables(errand.threads)
        with (errand.folder / "log.txt").open("ab") as log:
            with self._lock:
                if self._stopped:
                    return -1
                process = subprocess.Popen(
                    command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment
                )
                self._running.add(process)
            try:
                return process.wait(TIMEOUT)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                return -1
            finally:
                with self._lock:
                    self._running.discard(process)
                self._advance()

    def _stop(self, pool: ThreadPoolExecutor) -> None:
        with self._lock:
            self._stopped = True
            for process in self._running:
                process.kill()
        pool.shutdown(cancel_futures=True)

    @staticmethod
    def _last_line(errand: Errand) -> str:
        lines = (errand.folder / "log.txt").read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return lines[-1] if lines else "it wrote nothing"


def _observed(
    unbroken: dict[Kind, Any], resumed: dict[Kind, Any] | None, killed: str, together: list[Record]
) -> Observed:
    return Observed(
        whole=unbroken["whole"],
        resumed=None if resumed is None else resumed["whole"],
        killed=killed,
        short={kind: unbroken[kind] for kind in SHORT if not isinstance(unbroken[kind], str)},
        lacking={kind: unbroken[kind] for kind in SHORT if isinstance(unbroken[kind], str)},
        alone=unbroken["shared"],
        together=together,
    )
