"""The processes beside a worker's own for jobs with several devices: they live as long as it does.

They take one job after another, so that imports, CUDA contexts and caches are paid once. A thread listens to
them: it hears that they live, passes on what they print, and notices where one ends or hangs.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import connection, util
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench_core import errors
from bench_core.errors import BenchError
from bench_core.execute.death import explain_death
from bench_core.execute.failures import RankLostError
from bench_core.execute.threads import thread_variables
from bench_core.processes.pulse import Patience

if TYPE_CHECKING:
    from bench_core.plan.job import Job
    from bench_core.protocol.run_options import RunOptions

log = logging.getLogger(__name__)
LOOK_SECONDS = 10.0
"""How often each process says that it lives, and how often that is looked at."""
SILENT_LOOKS = 9
"""After so many looks in a row without a sign of life a process is given up: in a minute and a half."""
GRACE_SECONDS = 5.0
"""How long processes may take for what they do at once as a rule."""
_STAGES = ("told", "here", "done", "idle")
"""What a process does, in order: told of a job, here at the meeting, done with its share, idle."""
_MOST_PRINTED = 1 << 20
"""Bytes; more than a pipe holds."""


@dataclass(frozen=True)
class Start:
    """What the processes are started with: a job with another start needs other ones."""

    devices: tuple[str, ...]
    """Of all processes of a job; the first is the worker's own."""
    threads: int
    plugins: tuple[Path, ...]


@dataclass(frozen=True)
class Task:
    """A job as it is told to the processes that share it."""

    job: Job
    options: RunOptions
    cache: Path
    direct: bool
    """CUDA tensors travel by nccl."""
    port: int
    """Where the processes meet for this job."""


@dataclass(frozen=True)
class Call:
    """Asks the processes whether they are there; each that is sends it back."""

    number: int


@dataclass(frozen=True)
class Report:
    """What a process says of the exception that it ends with."""

    kind: str
    known: bool
    """Whether it is a BenchError."""
    exchange: bool
    """Whether an exchange failed, as it does where another process has ended."""
    message: str
    place: str | None
    cause: str | None
    fix: str | None
    traceback: str
    time: float
    """By the clock of the machine that never goes back."""


class _Member:
    """One of the processes, as the listening thread sees it."""

    def __init__(self, start: Start, rank: int, look_seconds: float) -> None:
        from bench_core.execute.rank_process import serve

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


class Crew:
    """Processes that a worker has started, for one job at a time; its methods are for the worker's thread."""

    def __init__(self, start: Start, look_seconds: float = LOOK_SECONDS) -> None:
        self.start = start
        self._look_seconds = look_seconds
        self._changed = threading.Condition()
        self._closed = self._at_work = False
        self._on_loss: Callable[[], None] | None = None
        self._meeting: object = None
        self._calls = 0
        self._ear, self._mouth = multiprocessing.Pipe(duplex=False)
        self._members: list[_Member] = []
        # Whoever forgets to close it would wait for them for ever when the interpreter ends.
        self._end = util.Finalize(self, _end_all, args=(self._members,), exitpriority=10)
        for rank in range(1, len(start.devices)):
            self._members.append(_Member(start, rank, look_seconds))
        threading.Thread(target=self._listen, daemon=True, name="bench-ranks").start()

    def usable(self, start: Start) -> bool:
        """Say whether a job with this start can be told to them, once they have left the last one.

        Each must answer: one that is being killed does so no more, and its end shows later only.
        """
        if self._closed or start != self.start:
            return False
        with self._changed:
            self._calls += 1
            self._send(Call(self._calls))
            answered = self._changed.wait_for(lambda: self._lost() or self._all_there(), GRACE_SECONDS)
            return answered and not self._lost()

    def tell(self, task: Task, meeting: object, on_loss: Callable[[], None]) -> None:
        """Tell them of a job; `on_loss` is called in a thread of its own once one of them is lost to it.

        `meeting`, where they meet, is held until they have left it.
        """
        with self._changed:
            self._meeting = meeting
            self._on_loss, self._at_work = on_loss, True
            for member in self._members:
                member.stage = "told"
            self._send(task)
        # So that a loss from before is seen, too.
        self._mouth.send(None)

    def wait(self, stage: str, seconds: float | None = None) -> bool:
        """Wait until all are so far or further, at most so long; False where one is lost or late."""
        reached = _STAGES[_STAGES.index(stage) :]

        def so_far() -> bool:
            return all(member.stage in reached for member in self._members)

        with self._changed:
            self._changed.wait_for(lambda: self._lost() or so_far(), seconds)
            return so_far() and not self._lost()

    def failure(self, seconds: float = 0.0) -> BenchError | None:
        """Return why the job has lost one of them; None where none is lost within so many seconds."""
        with self._changed:
            if not self._changed.wait_for(self._lost, seconds):
                return None
            # The end of one makes others fail, which may be heard of first.
            self._changed.wait_for(lambda: all(member.ended for member in self._members), min(1.0, seconds))
            lost = [member for member in self._members if member.lost]
            return min(lost, key=_Member.blame).failure()

    def release(self) -> None:
        """The job is over: what they print and whether they live matters to no job."""
        with self._changed:
            self._on_loss, self._at_work = None, False

    def close(self) -> None:
        """End the processes by force."""
        with self._changed:
            self._on_loss, self._closed = None, True
        with suppress(OSError):
            self._mouth.send(None)
        self._end()
        for member in self._members:
            member.process.join(GRACE_SECONDS)

    def _send(self, something: Task | Call) -> None:
        for member in self._members:
            # One that has ended is noticed by its end.
            with suppress(OSError):
                member.pipe.send(something)

    def _all_there(self) -> bool:
        return all(member.answered == self._calls for member in self._members)

    def _lost(self) -> bool:
        return any(member.lost for member in self._members)

    def _listen(self) -> None:
        due = time.monotonic() + self._look_seconds
        while True:
            ways = {way: member for member in self._members for way in member.ways}
            ready = connection.wait([*ways, self._ear], max(0.0, due - time.monotonic()))
            if self._ear in ready:
                self._ear.recv()
            with self._changed:
                if self._closed:
                    break
                for member in dict.fromkeys(ways[way] for way in ready if way in ways):
                    member.listen(pass_on=self._at_work)
                if time.monotonic() >= due:
                    due = time.monotonic() + self._look_seconds
                    for member in self._members:
                        member.look()
                self._changed.notify_all()
                if self._on_loss is not None and self._lost():
                    threading.Thread(target=self._on_loss, daemon=True, name="bench-ranks-lost").start()
                    self._on_loss = None
        for member in self._members:
            member.pipe.close()
            member.printed.close()


def _end_all(members: list[_Member]) -> None:
    for member in members:
        member.end()


def environment(start: Start, rank: int) -> Mapping[str, str]:
    """Return what a process finds in its environment, as torchrun would set it, but for the port."""
    values = {"RANK": rank, "WORLD_SIZE": len(start.devices), "LOCAL_RANK": rank, "MASTER_ADDR": "127.0.0.1"}
    return thread_variables(start.threads) | {name: str(value) for name, value in values.items()}
