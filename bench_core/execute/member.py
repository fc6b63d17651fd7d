"""A process beside a worker's own, as the worker sees it: what it says and prints, and how it ends."""

from __future__ import annotations

import logging
import multiprocessing
import os
from contextlib import suppress
from multiprocessing import connection
from multiprocessing.process import BaseProcess
from typing import Any

from bench_core import errors
from bench_core.errors import BenchError
from bench_core.execute.crew_messages import Call, Report, Start
from bench_core.execute.death import explain_death
from bench_core.execute.failures import RankLostError
from bench_core.execute.rank_process import serve
from bench_core.processes.pulse import Patience

log = logging.getLogger(__name__)
SILENT_LOOKS = 9
"""After so many looks in a row without a sign of life a process is given up: in a minute and a half."""
GRACE_SECONDS = 5.0
"""How long processes may take for what they do at once as a rule."""
_MOST_PRINTED = 1 << 20
"""Bytes; more than a pipe holds."""


class Member:
    """One of the processes, as the listening thread sees it."""

    def __init__(self, start: Start, rank: int, look_seconds: float) -> None:
        context = multiprocessing.get_context("spawn")
        self.rank, self.device, self._world = rank, start.devices[rank], len(start.devices)
        self.pipe, theirs = context.Pipe()
        self.printed, prints = context.Pipe(duplex=False)
        self.process: BaseProcess = context.Process(
            target=serve,
            args=(theirs, prints, start, rank, look_seconds),
            name=f"bench-{self.device}-{rank}",
        )
        self.process.start()
        theirs.close()
        prints.close()
        os.set_blocking(self.printed.fileno(), False)
        self._patience = Patience(self.process.pid or 0)
        self._beaten = False
        self.stage = "idle"
        self.answered = 0
        """Number of the last call that it has answered."""
        self.report: Report | None = None
        self.ended = self.hangs = False

    @property
    def lost(self) -> bool:
        """True where it takes part in no job any more."""
        return self.ended or self.hangs or self.report is not None

    @property
    def ways(self) -> tuple[Any, ...]:
        """Whatever can become ready while it lives."""
        return () if self.ended else (self.pipe, self.printed, self.process.sentinel)

    def listen(self, *, pass_on: bool) -> None:
        """Take what it has said, after what it has printed before."""
        try:
            while self.pipe.poll():
                said = self.pipe.recv()
                self._pass(pass_on)
                self._beaten = True
                if isinstance(said, Report):
                    self.report = said
                elif isinstance(said, Call):
                    self.answered = said.number
                elif said is not None:
                    self.stage = said
        except (EOFError, OSError):
            # Its end of the pipe is closed: it has ended or is about to.
            self.process.join(GRACE_SECONDS)
        self._pass(pass_on)
        if connection.wait([self.process.sentinel], timeout=0):
            self.process.join(GRACE_SECONDS)
            self.ended = True

    def look(self) -> None:
        """See whether it gets anywhere; end it by force where it does not."""
        if self._patience.look(heard=self._beaten) >= SILENT_LOOKS and not self.lost:
            self.hangs = True
            self.process.kill()
        self._beaten = False

    def failure(self) -> BenchError:
        """Return what its end means for the job."""
        place = f"process {self.rank + 1} of {self._world}, on {self.device}"
        report = self.report
        if self.hangs:
            return RankLostError(
                "a process of the job does not answer",
                place=place,
                cause="it was stopped, or waits for a file system or device that hangs; it was killed",
                fix="the same command resumes from the last epoch",
            )
        if report is None:
            cause, fix = explain_death(self.process.exitcode)
            return RankLostError("a process of the job died", place=place, cause=cause, fix=fix)
        log.error("%s:\n%s", place, report.traceback)
        kind: Any = getattr(errors, report.kind, None)
        known = isinstance(kind, type) and issubclass(kind, BenchError) and report.known
        return (kind if known else BenchError)(
            report.message, place=report.place or place, cause=report.cause, fix=report.fix
        )

    def blame(self) -> tuple[int, float]:
        """Return what sorts those that are lost: first whose end explains the ends of others."""
        if self.hangs:
            return 0, 0.0
        if self.report is None:
            return 2, 0.0
        return (3 if self.report.exchange else 1), self.report.time

    def end(self) -> None:
        """End it by force: it has nothing that is not elsewhere."""
        if self.process.is_alive():
            self.process.kill()

    def _pass(self, wanted: bool) -> None:
        with suppress(OSError):
            text = os.read(self.printed.fileno(), _MOST_PRINTED)
            while wanted and text:
                text = text[os.write(2, text) :]
