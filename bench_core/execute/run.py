"""One `bench run`: hands ready jobs to an executor until nothing more can be done, and ends in order."""

from __future__ import annotations

import signal
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace

from bench_core.declarations import JobEvent
from bench_core.errors import BenchError
from bench_core.execute.board import STALL_SECONDS
from bench_core.execute.death import Tries, give_back, record_death
from bench_core.execute.duty import Duty
from bench_core.execute.executor import (
    Assignment,
    Deaf,
    Ended,
    Executor,
    Lost,
    Message,
    Note,
    Returned,
    Taken,
    Workers,
)
from bench_core.execute.happening import Happening, Watch
from bench_core.execute.known import Known
from bench_core.execute.machine import memory_kills
from bench_core.execute.manners import Manners
from bench_core.execute.progress import FINAL, JobProgress, RunProgress, Status
from bench_core.execute.queue import Order, forget, queue_job, tidy
from bench_core.execute.schedule import Schedule
from bench_core.execute.signals import STOPPED, StopSignals
from bench_core.plan.job import Job
from bench_core.store import sightings
from bench_core.store.files import DiskError
from bench_core.store.result import Failure
from bench_core.store.store import Store
from bench_core.store.taking import sweep

POLL_SECONDS = 0.2
PATIENCE_SECONDS = 30.0
"""How long jobs may take to stop before they are killed; what they have saved is safe either way."""
MOST_BAD = 3
"""Jobs in a row that may die here before a pause, so that a broken machine does not take them all."""
PAUSE_SECONDS = 60.0
"""The first pause; each further one is twice as long."""
LONGEST_PAUSE_SECONDS = 600.0
STALLED = (
    "nothing can be started: what is left waits for jobs that this worker may not run and nobody works on; "
    f"it ends in {STALL_SECONDS / 60:g} min unless somebody does"
)


class InterruptedRunError(BenchError):
    """The user stopped the run."""

    exit_code = 130


def run_jobs(
    jobs: Sequence[Job],
    store: Store,
    order: Order,
    executor: Executor,
    watch: Watch,
    duty: Duty | None = None,
) -> RunProgress:
    """Run every job that is not done, those with `needs` after them, and return how each one ended.

    A failed job stops no other. Jobs that another process runs are waited for, and taken over should it die.
    Raises InterruptedRunError after Ctrl-C, SIGTERM, SIGHUP, SIGUSR1 or SIGUSR2, and DiskError when the store
    cannot be written to.
    """
    return _Run(jobs, store, order, executor, watch, duty or Duty()).run()


class _Run:
    def __init__(
        self,
        jobs: Sequence[Job],
        store: Store,
        order: Order,
        executor: Executor,
        watch: Watch,
        duty: Duty,
    ) -> None:
        self._progress = RunProgress(jobs, executor.slots)
        items = list(self._progress.jobs.values())
        manners = Manners(
            duty.token,
            may=lambda number: duty.may(items[number].job) and duty.limits.may(items[number].job),
            again=lambda number, failure: duty.limits.again(failure),
            leave=duty.leave,
        )
        self._known = Known(store, self._progress, duty.kind)
        self._late = False
        """Whether the deadline is there, or too near for any job that could start."""
        self._schedule = Schedule(self._progress, store, retried=duty.retried, manners=manners)
        self._duty = duty
        self._store, self._order, self._executor, self._watch = store, order, executor, watch
        self._signals = StopSignals()
        self._disk: Failure | None = None
        self._told_of_waiting = False
        self._bad = 0
        """Jobs in a row that a fault of this machine has ended."""
        self._pause_until = float("-inf")
        self._memory_kills = memory_kills()

    def run(self) -> RunProgress:
        if not self._duty.token:
            # It goes through the whole store: one of many workers leaves it to the last.
            sweep(self._store.claims)
            tidy(self._store)
        self._schedule.read()
        with self._signals.listening():
            try:
                while self._going() and not self._schedule.finished():
                    self._tell_of_waiting()
                    self._check_time()
                    self._tell(self._schedule.look())
                    self._tell(self._schedule.settle())
                    self._dispatch()
                    for message in self._executor.hear(POLL_SECONDS):
                        self._hear(message)
                    self._watch(self._progress, None)
                if self._going():
                    # Who takes jobs by itself may have ended all of them before anybody looked.
                    for message in self._executor.hear(0.0):
                        self._hear(message)
                    self._executor.dismiss()
            finally:
                self._stop()
        self._progress.late = self._late
        if self._late:
            self._hand_over()
        for item in self._progress.with_status("todo"):
            item.barred = item.barred or self._duty.limits.lacks(item.job)
        if not self._duty.token:
            tidy(self._store)
        if self._disk is not None:
            raise DiskError(
                self._disk.message, place=self._disk.place, cause=self._disk.cause, fix=self._disk.fix
            )
        if self._signals.count:
            raise InterruptedRunError("interrupted; nothing that was finished is lost")
        return self._progress

    def _going(self) -> bool:
        return self._signals.count == 0 and self._disk is None and not self._late

    def _tell_of_waiting(self) -> None:
        if self._schedule.stalled and not self._told_of_waiting:
            self._told_of_waiting = True
            self._watch(self._progress, Happening("stalled", None, STALLED))

    def _tell(self, changed: Sequence[JobProgress]) -> None:
        for progress in changed:
            self._watch(self._progress, Happening(progress.status, progress))

    def _dispatch(self) -> None:
        if time.monotonic() < self._pause_until:
            return
        with closing(self._schedule.ready()) as ready:
            while self._going() and self._executor.free() and (progress := next(ready, None)) is not None:
                digest = progress.job.digest
                if not self._fits(progress):
                    continue
                retried = self._schedule.known_failure(digest)
                queue_job(self._store, progress.job, replace(self._order, retried=retried))
                assignment = Assignment(
                    digest,
                    silent=sightings.ours().silent(digest),
                    retried=retried,
                    memory=self._duty.limits.memory,
                    most_deaths=self._duty.most_deaths,
                )
                device = self._executor.start(assignment)
                if device is not None:
                    self._schedule.begin(progress, device)

    def _fits(self, progress: JobProgress) -> bool:
        """Say whether a job can still be begun here; one that cannot is left to others."""
        limits = self._duty.limits
        if limits.fits(progress.job, self._known):
            return True
        if limits.too_small(progress.job, self._known):
            # All at once: those that are not ready yet would be waited for.
            for item in self._known.alike(progress.job):
                if item.status == "todo" and (why := limits.too_small(item.job, self._known)):
                    item.barred = why
                    self._schedule.bar(item)
            return False
        self._schedule.bar(progress)
        if limits.deadline is not None and not self._progress.with_status("running"):
            self._late = self._schedule.board.mine == 0
        return False

    def _check_time(self) -> None:
        left = self._duty.limits.seconds_left()
        self._late |= left is not None and left <= 0

    def _hand_over(self) -> None:
        """Note of the jobs that were stopped at the deadline that others resume them."""
        for progress in self._progress.with_status("running"):
            if self._store.is_done(progress.job.digest):
                self._end(progress, "done")
            else:
                self._schedule.give_back(progress)
                self._watch(self._progress, Happening("given back", progress))

    def _hear(self, message: Message) -> None:
        if isinstance(message, Note):
            self._progress[message.digest].note = message.text
        elif isinstance(message, Ended):
            self._ended(message)
        elif isinstance(message, Lost):
            self._lost(message)
        elif isinstance(message, Taken):
            self._taken(message)
        elif isinstance(message, Returned):
            self._returned(message)
        elif isinstance(message, Workers):
            self._progress.workers = message.text
            self._watch(self._progress, Happening("workers", None, message.text))
        elif isinstance(message, Deaf):
            if message.plugin not in self._progress.deaf:
                self._progress.deaf[message.plugin] = message.text
                self._watch(self._progress, Happening("deaf", None, f"{message.plugin}: {message.text}"))
        else:
            self._event(message)

    def _event(self, event: JobEvent) -> None:
        self._progress.event(event)
        if event.kind == "epoch":
            progress = self._progress[event.digest]
            # Whoever has more time is better off with a job that cannot end another epoch here.
            self._late |= progress.left > 0 and not self._duty.limits.epoch_fits(progress.unit_seconds)
        if event.kind not in ("finished", "failed"):
            self._watch(self._progress, Happening(event.kind, self._progress[event.digest]))

    def _taken(self, message: Taken) -> None:
        progress = self._progress[message.digest]
        if progress.status in FINAL:
            # It ended while this run was beginning, by a worker of it all the same.
            progress.ran_here = True
            return
        self._schedule.begin(progress, message.where)
        progress.started -= message.seconds
        progress.note = ""
        self._watch(self._progress, Happening("started", progress))

    def _returned(self, message: Returned) -> None:
        progress = self._progress[message.digest]
        if progress.status == "running":
            self._schedule.give_back(progress)
            self._watch(self._progress, Happening("returned", progress))

    def _ended(self, message: Ended) -> None:
        progress = self._progress[message.digest]
        if progress.status in FINAL and message.outcome != progress.status:
            return
        progress.note = ""
        if message.outcome == "elsewhere":
            self._schedule.leave(progress)
            self._watch(self._progress, Happening("elsewhere", progress))
        elif message.outcome == "again":
            self._again(progress)
        elif message.outcome == "disk":
            self._disk = message.failure
        else:
            progress.failure = message.failure
            self._bad = 0
            self._end(progress, message.outcome)
            if self._duty.token and message.outcome == "done":
                forget(self._store, message.digest)

    def _lost(self, message: Lost) -> None:
        """A worker has died: fail its job with the reason; another takes its place."""
        progress = self._progress[message.digest]
        if message.code == STOPPED:
            # Whoever sent it a signal has most often sent us one, too, which is on its way.
            self._signals.wait(1.0)
        if self._signals.count:
            return
        tries = Tries(self._schedule.known_failure(message.digest), self._duty.most_deaths)
        starved = message.code == -signal.SIGKILL and memory_kills() > self._memory_kills
        self._memory_kills = memory_kills()
        memory = self._duty.limits.memory if starved else None
        failure = record_death(progress.job, self._store, message.code, tries, memory)
        if failure is None:
            self._again(progress)
            return
        progress.failure = failure
        self._end(progress, "failed")

    def _again(self, progress: JobProgress) -> None:
        """Leave a job to whoever tries it again; where job after job dies, others are let go first."""
        self._schedule.give_back(progress)
        self._watch(self._progress, Happening("again", progress))
        self._bad += 1
        if self._bad >= MOST_BAD:
            pause = min(PAUSE_SECONDS * 2 ** min(self._bad - MOST_BAD, 10), LONGEST_PAUSE_SECONDS)
            self._pause_until = time.monotonic() + pause

    def _end(self, progress: JobProgress, status: Status) -> None:
        self._schedule.end(progress, status)
        self._watch(self._progress, Happening(status, progress))

    def _stop(self) -> None:
        """Stop jobs at once: each gives its claim back; a second signal or long silence kills them.

        Whatever else goes wrong on the way, no job is left behind.
        """
        executor, running = self._executor, self._progress.with_status("running")
        self._progress.stopping = bool(running)
        try:
            executor.stop()
            waited = 0.0
            while not executor.stopped(0.1):
                waited += 0.1
                self._watch(self._progress, None)
                if self._signals.count > 1 or waited > PATIENCE_SECONDS:
                    break
        finally:
            executor.stop(kill=True)
            executor.stopped(PATIENCE_SECONDS)
            for progress in running:
                give_back(self._store, progress.job.digest)
