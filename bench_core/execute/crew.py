"""The processes beside a worker's own for jobs with several devices: they live as long as it does.

They take one job after another, so that imports, CUDA contexts and caches are paid once. A thread listens to
them: it hears that they live, passes on what they print, and notices where one ends or hangs.
"""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import connection, util

from bench_core.errors import BenchError
from bench_core.execute.crew_messages import Call, Start, Task
from bench_core.execute.member import GRACE_SECONDS, Member

LOOK_SECONDS = 10.0
"""How often each process says that it lives, and how often that is looked at."""
_STAGES = ("told", "here", "done", "idle")
"""What a process does, in order: told of a job, here at the meeting, done with its share, idle."""


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
        self._members: list[Member] = []
        # Whoever forgets to close it would wait for them for ever when the interpreter ends.
        self._end = util.Finalize(self, _end_all, args=(self._members,), exitpriority=10)
        for rank in range(1, len(start.devices)):
            self._members.append(Member(start, rank, look_seconds))
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
            return min(lost, key=Member.blame).failure()

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


def _end_all(members: list[Member]) -> None:
    for member in members:
        member.end()
