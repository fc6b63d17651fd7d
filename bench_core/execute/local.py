"""Runs jobs on this machine: worker processes, one for each slot, one job each at a time."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import connection
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Literal

from bench_core.execute.executor import Assignment, Ended, Lost, Message
from bench_core.execute.signals import held_back
from bench_core.execute.worker import work

PATIENCE_SECONDS = 30.0
"""How long a worker that has nothing to do may take to end."""


@dataclass(eq=False)
class _Worker:
    process: BaseProcess
    pipe: Connection
    device: str
    digest: str | None = None

    def send(self, message: Assignment | None) -> bool:
        """Send a message; False if the worker has died."""
        try:
            self.pipe.send(message)
        except OSError:
            return False
        return True

    def end(self) -> None:
        """Take leave of a worker that has ended or is about to, and of all that it has started."""
        self.process.join(PATIENCE_SECONDS)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        with suppress(OSError):
            self.pipe.close()

    def kill(self) -> None:
        """End the worker and its process group by force."""
        if self.process.is_alive():
            if self.process.pid is not None and hasattr(os, "killpg"):
                with suppress(OSError):
                    os.killpg(self.process.pid, signal.SIGKILL)
            self.process.kill()


class LocalExecutor:
    """A pool of worker processes over one store (see bench_core.execute.executor.Executor).

    `devices` names one for each worker; a worker that has died is replaced at the next start. Workers are
    spawned, since a framework that has begun to use threads or a GPU does not survive a fork.
    """

    def __init__(
        self, store: Path, devices: Sequence[str], start_method: Literal["spawn", "fork"] = "spawn"
    ) -> None:
        self.slots = len(devices)
        self._store = store.resolve()
        self._devices = list(devices)
        self._start_method = start_method
        self._workers: list[_Worker] = []

    def free(self) -> int:
        """Return how many jobs can be started now."""
        return self.slots - sum(worker.digest is not None for worker in self._workers)

    def start(self, assignment: Assignment) -> str | None:
        """Hand the job to a worker that has none; return its device, None if it died meanwhile."""
        worker = next((worker for worker in self._workers if worker.digest is None), None) or self._hire()
        if not worker.send(assignment):
            self._release(worker)
            return None
        worker.digest = assignment.digest
        return worker.device

    def hear(self, timeout: float) -> Sequence[Message]:
        """Wait for messages, and for workers that end without one."""
        if not self._workers:
            time.sleep(timeout)
            return ()
        # Both: a process that a dead worker has left behind can keep its pipe open.
        ways: dict[Any, _Worker] = {worker.pipe: worker for worker in self._workers}
        ways |= {worker.process.sentinel: worker for worker in self._workers}
        ready = dict.fromkeys(ways[item] for item in connection.wait(list(ways), timeout))
        return [message for worker in ready for message in self._heard(worker)]

    def dismiss(self) -> None:
        """Let idle workers end by themselves."""
        for worker in self._workers:
            worker.send(None)
        for worker in list(self._workers):
            self._release(worker)

    def stop(self, *, kill: bool = False) -> None:
        """Ask every worker to stop, or end them and what they have started by force."""
        for worker in self._workers:
            if kill:
                worker.kill()
            elif worker.process.is_alive():
                worker.process.terminate()

    def stopped(self, timeout: float) -> bool:
        """Say whether all workers have ended."""
        until = time.monotonic() + timeout
        for worker in list(self._workers):
            worker.process.join(max(0.0, until - time.monotonic()))
            if not worker.process.is_alive():
                self._release(worker)
        return not self._workers

    def _hire(self) -> _Worker:
        busy = [worker.device for worker in self._workers]
        device = next(device for device in self._devices if busy.count(device) < self._devices.count(device))
        fork = self._start_method == "fork"
        context = multiprocessing.get_context("fork") if fork else multiprocessing.get_context("spawn")
        mine, theirs = context.Pipe()
        process = context.Process(target=work, args=(theirs, self._store, device), name=f"bench-{device}")
        # The worker hears of them once it knows what to do then.
        with held_back():
            process.start()
        theirs.close()
        worker = _Worker(process, mine, device)
        self._workers.append(worker)
        return worker

    def _heard(self, worker: _Worker) -> Iterator[Message]:
        try:
            while worker in self._workers and worker.pipe.poll():
                message: Message = worker.pipe.recv()
                if isinstance(message, Ended):
                    worker.digest = None
                    if message.retire:
                        self._release(worker)
                yield message
        except (EOFError, OSError):
            self._release(worker)
        if worker in self._workers and not worker.process.is_alive() and not worker.pipe.poll():
            self._release(worker)
        if worker not in self._workers and worker.digest is not None:
            yield Lost(worker.digest, worker.process.exitcode)

    def _release(self, worker: _Worker) -> None:
        self._workers.remove(worker)
        worker.end()
