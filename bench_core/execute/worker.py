"""A worker process: loads plugins and framework once, then runs the jobs it is sent, one after another."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import connection, parent_process
from multiprocessing.connection import Connection
from pathlib import Path
from types import FrameType
from typing import Any, Literal, NoReturn

from bench_core.declarations import JobEvent
from bench_core.execute.provenance import RunContext
from bench_core.plan.job import Job
from bench_core.store.result import Failure


@dataclass(frozen=True)
class Setup:
    """What a worker needs before its first job."""

    store: Path
    plugins: tuple[Path, ...]
    """The spec's own plugin files."""
    context: RunContext
    options: dict[str, Any]
    """Fields of RunOptions; as plain data, so that the main process needs no framework."""
    cache: Path | None = None


@dataclass(frozen=True)
class Task:
    """A job to run."""

    job: dict[str, Any]
    """`Job.to_json`."""
    known_failure: Failure | None = None


@dataclass(frozen=True)
class Note:
    """What a job is doing before its first epoch."""

    digest: str
    text: str


@dataclass(frozen=True)
class Ended:
    """The end of a job as its worker saw it."""

    digest: str
    outcome: Literal["done", "elsewhere", "failed", "disk"]
    failure: Failure | None = None
    retire: bool = False
    """The worker ends itself: what failed may have left the process in a state that harms the next job."""


@dataclass
class _Channel:
    """The way back to the main process; from the job's thread only."""

    pipe: Connection
    last_note: float = field(default=0.0)

    def send(self, message: Any) -> None:
        self.pipe.send(message)

    def note(self, digest: str, text: str) -> None:
        now = time.monotonic()
        if now - self.last_note > 0.2:
            self.last_note = now
            self.pipe.send(Note(digest, text))


def work(pipe: Connection, setup: Setup) -> None:
    """Run tasks from `pipe` until it sends None or closes; answers with JobEvent, Note and Ended."""
    _leave_terminal()
    # Libraries read these when they are first imported, which has not happened yet.
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(setup.options.get("threads", 1))
    from bench_core.plugins import load_registry
    from bench_core.protocol.contract import RunOptions
    from bench_core.store.store import Store

    registry, store = load_registry(setup.plugins), Store(setup.store, create=True)
    options, channel = RunOptions(**setup.options), _Channel(pipe)
    while (task := _next(pipe)) is not None:
        job = Job.from_json(task.job)

        def emit(event: JobEvent) -> None:
            channel.send(event)
            try:
                registry.event(event)
            except Exception:
                import logging

                logging.getLogger(__name__).exception("a listener of events failed; the job goes on")

        ended = _run(job, store, registry, options, emit, setup, task.known_failure, channel)
        gc.collect()
        channel.send(ended)
        if ended.retire:
            return


def _run(
    job: Job,
    store: Any,
    registry: Any,
    options: Any,
    emit: Any,
    setup: Setup,
    known_failure: Failure | None,
    channel: _Channel,
) -> Ended:
    from bench_core.execute.job import describe, run_job
    from bench_core.store.claim import ClaimLostError
    from bench_core.store.files import DiskError

    def note(text: str) -> None:
        channel.note(job.digest, text)

    try:
        outcome = run_job(
            job,
            store,
            registry,
            options,
            emit,
            context=setup.context,
            cache=setup.cache,
            capture=True,
            known_failure=known_failure,
            note=note,
        )
    except ClaimLostError:
        return Ended(job.digest, "elsewhere")
    except DiskError as error:
        return Ended(job.digest, "disk", describe(job, error, attempts=1))
    except Exception as error:
        failure = describe(job, error, attempts=1)
        # After an error on a GPU its context may be broken for good, and its memory stays taken.
        return Ended(job.digest, "failed", failure, retire=options.device != "cpu")
    return Ended(job.digest, outcome)


def _next(pipe: Connection) -> Task | None:
    try:
        task: Task | None = pipe.recv()
    except (EOFError, OSError):
        return None
    return task


def _leave_terminal() -> None:
    """Hear of Ctrl-C from the main process alone, and never outlive it."""
    with suppress(OSError, AttributeError):
        os.setsid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _stop)
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_die_with, args=(parent.sentinel,), daemon=True).start()


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    sys.exit(130)


def _die_with(sentinel: int) -> None:
    connection.wait([sentinel])
    os._exit(1)
