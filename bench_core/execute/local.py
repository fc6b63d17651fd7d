"""Runs jobs on this machine: worker processes, one job each at a time, in the plan's order."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from multiprocessing import connection
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any

from bench_core.declarations import JobEvent
from bench_core.errors import BenchError
from bench_core.execute.attempts import Attempts
from bench_core.execute.board import FINAL, Board, Progress
from bench_core.execute.provenance import environment
from bench_core.execute.signals import StopSignals, explain_death
from bench_core.execute.worker import Ended, Note, Setup, Task, work
from bench_core.plan.job import Job
from bench_core.store.claim import sweep, take_claim
from bench_core.store.files import DiskError
from bench_core.store.result import Failure
from bench_core.store.store import Store

POLL_SECONDS = 0.2
LOOK_SECONDS = 2.0
"""How often jobs that other processes run are looked up."""
PATIENCE_SECONDS = 30.0
"""How long a worker may take to stop before it is killed; what it has saved is safe either way."""

Watch = Callable[[Board, "Happening | None"], None]
"""Hears of everything that happens, and with None a few times a second in between."""


@dataclass(frozen=True)
class Happening:
    """A change worth a line."""

    kind: str
    """started, epoch, testing, done, failed, elsewhere, blocked."""
    progress: Progress


@dataclass
class _Worker:
    process: SpawnProcess
    pipe: Connection
    device: str
    digest: str | None = None
    told_to_stop: float | None = None


class InterruptedRunError(BenchError):
    """The user stopped the run."""

    exit_code = 130


def run_jobs(jobs: Sequence[Job], store: Store, setup: Setup, devices: Sequence[str], watch: Watch) -> Board:
    """Run every job that is not done, those with `needs` after them, and return how each one ended.

    A failed job stops no other. Jobs that another process runs are waited for, and taken over should it die.
    Raises InterruptedRunError after Ctrl-C, SIGTERM or SIGHUP, DiskError when the store cannot be written to.
    """
    return LocalRun(jobs, store, setup, devices, watch).run()


class LocalRun:
    """One `bench run`: dispatches ready jobs to workers until nothing more can be done."""

    def __init__(
        self, jobs: Sequence[Job], store: Store, setup: Setup, devices: Sequence[str], watch: Watch
    ) -> None:
        self.board = Board(jobs, len(devices))
        self._store = store
        self._setup = setup
        self._devices = list(devices)
        self._watch = watch
        self._workers: list[_Worker] = []
        self._signals = StopSignals()
        self._looked = 0.0
        self._disk: Failure | None = None
        self._known_failures: dict[str, Failure | None] = {}
        self._outside: dict[str, str] = {}
        """State in the store of needed jobs that are not selected."""

    def run(self) -> Board:
        """Run until every job has ended or waits for something that this run does not do."""
        self._read_store()
        with self._signals.listening():
            try:
                while self._signals.count == 0 and self._disk is None and not self._finished():
                    self._look_outside()
                    self._settle()
                    self._dispatch()
                    self._receive(POLL_SECONDS)
                    self._watch(self.board, None)
                if self._signals.count == 0 and self._disk is None:
                    self._dismiss()
            finally:
                self._stop_all()
        if self._disk is not None:
            raise DiskError(
                self._disk.message, place=self._disk.place, cause=self._disk.cause, fix=self._disk.fix
            )
        if self._signals.count:
            raise InterruptedRunError("interrupted; nothing that was finished is lost")
        return self.board

    def _read_store(self) -> None:
        sweep(self._store.claims)
        states = self._store.states()
        for digest, progress in self.board.progress.items():
            state = states.get(digest, "todo")
            if state == "done":
                progress.status, progress.epochs_done = "done", progress.job.training.epochs
            elif state == "running":
                progress.status = "elsewhere"
            elif state == "failed":
                self._known_failures[digest] = self._store.failure(digest)
        for progress in self.board.progress.values():
            for need in progress.job.needs:
                if need not in self.board.progress:
                    self._outside[need] = states.get(need, "todo")

    def _finished(self) -> bool:
        return all(progress.status in FINAL for progress in self.board.progress.values())

    def _look_outside(self) -> None:
        """See what other processes have done with the jobs that this one leaves to them."""
        if time.monotonic() - self._looked < LOOK_SECONDS:
            return
        self._looked = time.monotonic()
        for progress in self.board.with_status("elsewhere"):
            digest = progress.job.digest
            state = self._store.state(digest)
            if state == "done":
                self._end(progress, "done")
            elif state == "todo":
                progress.status = "todo"
            elif state == "failed":
                failure = self._store.failure(digest)
                if failure == self._known_failures.get(digest):
                    progress.status = "todo"
                else:
                    progress.failure = failure
                    self._end(progress, "failed")
        for digest, seen in self._outside.items():
            if seen != "done":
                self._outside[digest] = self._store.state(digest)

    def _settle(self) -> None:
        """Find jobs that can never start in this run."""
        for progress in self.board.with_status("todo"):
            needs = [(need, self._state_of(need)) for need in progress.job.needs]
            broken = [need for need, state in needs if state in ("failed", "blocked")]
            if needs and all(state == "diverged" for _, state in needs):
                broken = [need for need, _ in needs]
            if broken:
                progress.because = f"its search job {self._name(broken[0])} failed"
                self._end(progress, "blocked")
                continue
            missing = [need for need, state in needs if state in ("missing", "waiting")]
            if missing:
                progress.because = f"waiting for {len(missing)} search job(s) that are not part of this run"
                self._end(progress, "waiting")

    def _state_of(self, digest: str) -> str:
        """Return a needed job's state; "diverged" has ended too, as a rate that is no candidate."""
        if digest in self.board.progress:
            progress = self.board[digest]
            lost = progress.status == "failed" and progress.failure is not None and progress.failure.diverged
            return "diverged" if lost else progress.status
        state = self._outside[digest]
        if state == "failed":
            failure = self._store.failure(digest)
            return "diverged" if failure is not None and failure.diverged else "missing"
        # A job outside the selection that failed before may be mended by whoever runs it.
        return state if state in ("done", "running") else "missing"

    def _name(self, digest: str) -> str:
        return self.board[digest].job.name if digest in self.board.progress else digest[:12]

    def _dispatch(self) -> None:
        ready = self._ready()
        while (progress := next(ready, None)) is not None:
            worker = next((worker for worker in self._workers if worker.digest is None), None)
            if worker is None:
                if len(self._workers) >= len(self._devices):
                    return
                worker = self._hire()
            digest = progress.job.digest
            task = Task(progress.job.to_json(), self._known_failures.get(digest))
            try:
                worker.pipe.send(task)
            except OSError:
                self._lost(worker)
                continue
            worker.digest = digest
            progress.status, progress.ran_here, progress.device = "running", True, worker.device
            progress.started, progress.note = time.monotonic(), "starting"

    def _ready(self) -> Iterator[Progress]:
        for progress in self.board.with_status("todo"):
            if all(self._state_of(need) in ("done", "diverged") for need in progress.job.needs):
                yield progress

    def _hire(self) -> _Worker:
        busy = [worker.device for worker in self._workers]
        device = next(device for device in self._devices if busy.count(device) < self._devices.count(device))
        context = multiprocessing.get_context("spawn")
        mine, theirs = context.Pipe()
        setup = replace(self._setup, options={**self._setup.options, "device": device})
        process = context.Process(target=work, args=(theirs, setup), name=f"bench-{device}")
        process.start()
        theirs.close()
        worker = _Worker(process, mine, device)
        self._workers.append(worker)
        return worker

    def _receive(self, timeout: float) -> None:
        pipes: dict[Any, _Worker] = {worker.pipe: worker for worker in self._workers}
        if not pipes:
            time.sleep(timeout)
            return
        for pipe in connection.wait(list(pipes), timeout):
            worker = pipes[pipe]
            try:
                while worker in self._workers and worker.pipe.poll():
                    self._hear(worker, worker.pipe.recv())
            except (EOFError, OSError):
                self._lost(worker)

    def _hear(self, worker: _Worker, message: Any) -> None:
        if isinstance(message, Note):
            self.board[message.digest].note = message.text
        elif isinstance(message, Ended):
            self._ended(worker, message)
        elif isinstance(message, JobEvent):
            self.board.event(message)
            if message.kind in ("started", "epoch", "testing"):
                self._watch(self.board, Happening(message.kind, self.board[message.digest]))

    def _ended(self, worker: _Worker, message: Ended) -> None:
        worker.digest = None
        progress = self.board[message.digest]
        progress.note = ""
        if message.outcome == "elsewhere":
            progress.status, progress.ran_here = "elsewhere", False
            self._looked = 0.0
            self._watch(self.board, Happening("elsewhere", progress))
        elif message.outcome == "disk":
            self._disk = message.failure
        else:
            progress.failure = message.failure
            self._end(progress, message.outcome)
        if message.retire:
            self._release(worker)

    def _end(self, progress: Progress, status: Any) -> None:
        progress.status = status
        self._watch(self.board, Happening(status, progress))

    def _lost(self, worker: _Worker) -> None:
        """A worker has died: fail its job with the reason, and let another take its place."""
        self._release(worker)
        if worker.digest is None or worker.told_to_stop is not None:
            return
        progress, code = self.board[worker.digest], worker.process.exitcode
        job = progress.job
        cause, fix = explain_death(code)
        progress.failure = Failure(
            digest=job.digest,
            name=job.name,
            kind="WorkerDied",
            message="the worker process died",
            cause=cause,
            fix=fix,
            time=datetime.now(UTC).isoformat(timespec="milliseconds"),
            host=str(environment()["host"]),
            attempts=max(1, Attempts(self._store.running / job.digest).count),
            resumable=True,
        )
        claim = take_claim(self._store.claims, job.digest)
        if claim is not None:
            self._store.fail(job, progress.failure)
            claim.release()
        self._end(progress, "failed")

    def _release(self, worker: _Worker) -> None:
        self._workers.remove(worker)
        worker.process.join(PATIENCE_SECONDS)
        worker.pipe.close()

    def _dismiss(self) -> None:
        """Let idle workers end by themselves."""
        for worker in self._workers:
            try:
                worker.pipe.send(None)
            except OSError:
                continue
        for worker in self._workers:
            worker.process.join(PATIENCE_SECONDS)

    def _stop_all(self) -> None:
        """Stop workers at once: each gives its claim back; a second signal or long silence kills them."""
        self.board.stopping = any(worker.process.is_alive() for worker in self._workers)
        for worker in self._workers:
            if worker.process.is_alive():
                worker.told_to_stop = time.monotonic()
                worker.process.terminate()
        while any(worker.process.is_alive() for worker in self._workers):
            for worker in self._workers:
                waited = time.monotonic() - (worker.told_to_stop or 0.0)
                if self._signals.count > 1 or waited > PATIENCE_SECONDS:
                    worker.process.kill()
                worker.process.join(0.1)
            self._watch(self.board, None)
        for worker in self._workers:
            worker.pipe.close()
        self._workers.clear()
