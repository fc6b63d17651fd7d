"""A process beside a worker's own: shares one job after another that the worker's tells it of."""

from __future__ import annotations

import gc
import os
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from multiprocessing.connection import Connection
from typing import Any

from bench_core.errors import BenchError
from bench_core.execute.crew_messages import Call, Report, Start, Task
from bench_core.execute.failures import summary
from bench_core.execute.follow import share, stand_back
from bench_core.execute.threads import thread_variables

_NO_FIX = "see the log for the traceback; this looks like a bug in a plugin"
_MOST_TEXT = 4000
"""Characters of a text in a report, so that it goes through the pipe as one message."""


class _Voice:
    """What this process says to the worker's, from any thread."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe, self._lock = pipe, threading.Lock()

    def say(self, something: Any) -> None:
        with self._lock:
            try:
                self._pipe.send(something)
            except OSError:
                # Nobody is there any more, and without the first process there is nothing to do.
                os._exit(1)

    def beat_every(self, seconds: float) -> None:
        """Say that this process lives; it does not where it is stopped."""
        while True:
            time.sleep(seconds)
            self.say(None)


def serve(pipe: Connection, prints: Connection, start: Start, rank: int, look_seconds: float) -> None:
    """Share the jobs that come through `pipe` until it closes, or one fails; never returns.

    Says through it what it does, and by a Report why it ends. What is printed goes into `prints`.
    """
    stand_back()
    os.dup2(prints.fileno(), 2)
    prints.close()
    os.environ.update(_environment(start, rank))
    voice = _Voice(pipe)
    threading.Thread(target=voice.beat_every, args=(look_seconds,), daemon=True, name="bench-lives").start()
    try:
        _share_all(pipe, voice, start, rank)
    except BaseException as error:
        voice.say(_report(error))
        pipe.close()
        os._exit(1)
    # Without what libraries do at the end: some of it waits for the other processes.
    os._exit(0)


def _share_all(pipe: Connection, voice: _Voice, start: Start, rank: int) -> None:
    from torch import cuda, distributed

    from bench_core.execute.ranks import use_loopback
    from bench_core.plugins.wiring import load_registry

    use_loopback()
    registry, first = load_registry(start.plugins), True
    while (task := _next(pipe, voice)) is not None:
        os.environ["MASTER_PORT"] = str(task.port)
        share(
            task.job,
            registry,
            task.options,
            task.cache,
            start.devices[rank],
            direct=task.direct,
            ready=lambda: voice.say("here"),
        )
        voice.say("done")
        # By nccl the processes leave together: the first one waits for that word alone.
        distributed.destroy_process_group()
        gc.collect()
        if first:
            # What the first job has imported stays.
            gc.freeze()
            first = False
        if cuda.is_initialized():  # type: ignore[no-untyped-call]
            # On a GPU that several processes share, another one's next job may need what this one has kept.
            cuda.empty_cache()
        voice.say("idle")


def _environment(start: Start, rank: int) -> Mapping[str, str]:
    """Return what a process finds in its environment, as torchrun would set it, but for the port."""
    values = {"RANK": rank, "WORLD_SIZE": len(start.devices), "LOCAL_RANK": rank, "MASTER_ADDR": "127.0.0.1"}
    return thread_variables(start.threads) | {name: str(value) for name, value in values.items()}


def _next(pipe: Connection, voice: _Voice) -> Task | None:
    """Return the next job, and answer calls until it comes; None where nobody is there any more."""
    try:
        while isinstance(said := pipe.recv(), Call):
            voice.say(said)
    except (EOFError, OSError):
        return None
    task: Task = said
    return task


def _report(error: BaseException) -> Report:
    known = error if isinstance(error, BenchError) else None
    text = str(error).lower()
    distributed = sys.modules.get("torch.distributed")
    kinds = (getattr(distributed, "DistError", ()),)

    def bounded(words: str | None) -> str | None:
        return None if words is None else words[:_MOST_TEXT]

    return Report(
        kind=type(error).__name__,
        known=known is not None,
        exchange=isinstance(error, kinds) or (isinstance(error, RuntimeError) and "gloo" in text),
        message=summary(error)[:_MOST_TEXT],
        place=bounded(known.place) if known else None,
        cause=bounded(known.cause) if known else None,
        fix=bounded(known.fix) if known else _NO_FIX,
        # Its end tells most.
        traceback="".join(traceback.format_exception(error))[-_MOST_TEXT:],
        time=time.monotonic(),
    )
