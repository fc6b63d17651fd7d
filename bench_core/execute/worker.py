"""A worker process: loads plugins and framework once, then runs the queued jobs it is sent.

`python -m bench_core.execute.worker STORE DIGEST [DEVICE[,DEVICE...]]` runs one queued job without any other
worker, and `torchrun --standalone --nproc-per-node 2 -m bench_core.execute.worker STORE DIGEST cuda` in
processes that torchrun starts. Workers that pull jobs start the processes that share them themselves, and do
not look at what a torchrun or srun around them says.
"""

from __future__ import annotations

import gc
import os
import sys
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from multiprocessing import parent_process
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING

from bench_core.declarations import JobEvent
from bench_core.errors import StoreError
from bench_core.execute.executor import Assignment, Deaf, Ended, Message, Note
from bench_core.execute.signals import STOPPED, end_on_signals
from bench_core.execute.threads import thread_variables
from bench_core.processes.parentage import children_die_with_us, die_with_parent, guard_group
from bench_core.processes.streams import open_standard_files

if TYPE_CHECKING:
    from bench_core.execute.crew import Crew
    from bench_core.execute.crew_messages import Start
    from bench_core.execute.death import Tries
    from bench_core.execute.queue import Order
    from bench_core.execute.ranks import OutsideTeam, Team
    from bench_core.plan.job import Job
    from bench_core.plugins.registry import Registry
    from bench_core.store.store import Store

Send = Callable[[Message], None]


def work(pipe: Connection, store: Path, device: str) -> None:
    """Run assignments from `pipe` until it sends None or closes; answers with messages."""
    _stand_alone()
    # What a forked process finds was made by its parent: taking apart a thread that is not here aborts it.
    gc.freeze()

    def send(message: Message) -> None:
        try:
            pipe.send(message)
        except OSError:
            # Nobody listens any more: the job is no worse for it, and another run resumes it.
            _give_back()
            os._exit(STOPPED)

    with closing(Worker(store, device, send)) as worker:
        while (assignment := _next(pipe)) is not None:
            ended = worker.run(assignment)
            send(ended)
            if ended.retire:
                return


@dataclass
class Worker:
    """Runs queued jobs of a store on one device, or several with commas between them."""

    path: Path
    device: str
    send: Send
    outside: OutsideTeam | None = None
    """The processes of the job, where others than this one start them."""
    _crew: Crew | None = None
    """The processes that share its jobs, where it has several devices."""
    _registries: dict[tuple[Path, ...], Registry] = field(default_factory=dict)
    _noted: float = 0.0
    _settled: bool = False

    def run(self, assignment: Assignment) -> Ended:
        """Run a queued job to its end and say how it ended."""
        from bench_core.execute.death import Tries
        from bench_core.execute.failures import describe, nameless
        from bench_core.execute.provenance import memory_of
        from bench_core.execute.queue import queued
        from bench_core.store.store import Store

        digest, store = assignment.digest, Store(self.path, create=True)
        try:
            job, order = queued(store, digest)
        except StoreError as error:
            if store.is_done(digest):
                return Ended(digest, "elsewhere")
            # No other job of this store is safer from what has happened to this one's files.
            return Ended(digest, "disk", nameless(digest, error))
        # Libraries read these when they are first imported, which has not happened before the first job.
        os.environ.update(thread_variables(order.options.threads))
        try:
            if order.plugins not in self._registries:
                from bench_core.plugins.wiring import load_registry

                self._registries[order.plugins] = load_registry(order.plugins)
            tries = Tries(assignment.retried or order.retried, assignment.most_deaths, assignment.memory)
            registry = self._registries[order.plugins]
            ended = self._run(job, order, store, registry, tries, assignment.silent)
        except Exception as error:
            failure = describe(job, error, attempts=1, memory=assignment.memory or memory_of(self.device))
            # After an error on a GPU its context may be broken for good, and its memory stays taken.
            ended = Ended(digest, "failed", failure, retire=self.device != "cpu")
        gc.collect()
        if not self._settled:
            # What the first job has imported stays: going through it again after each job takes 0.3 s.
            gc.freeze()
            self._settled = True
        return ended

    def close(self) -> None:
        """End the processes that share its jobs."""
        if self._crew is not None:
            self._crew.close()
            self._crew = None

    def _run(
        self, job: Job, order: Order, store: Store, registry: Registry, tries: Tries, silent: str | None
    ) -> Ended:
        from bench_core.execute.failures import describe
        from bench_core.execute.job import run_job
        from bench_core.store.claim import ClaimLostError
        from bench_core.store.files import DiskError

        devices = self._devices(job, registry)
        try:
            outcome = run_job(
                job,
                store,
                registry,
                replace(order.options, device=devices[0], devices=devices if len(devices) > 1 else ()),
                self._listeners(job, store, registry),
                context=order.context,
                cache=order.cache,
                capture=True,
                tries=tries,
                silent=silent,
                note=lambda text: self._note(job.digest, text),
                team=self._team(job, order, store, devices),
            )
        except ClaimLostError:
            return Ended(job.digest, "elsewhere")
        except DiskError as error:
            return Ended(job.digest, "disk", describe(job, error, attempts=1))
        # After an error of a machine its GPU may be lost to this process.
        return Ended(job.digest, outcome, retire=outcome == "again")

    def _devices(self, job: Job, registry: Registry) -> tuple[str, ...]:
        """Return the devices that a job can use."""
        from bench_core.plan.job import Train

        devices = tuple(self.device.split(","))
        several = isinstance(job.work, Train) and registry.runner(job.model.runner).several_devices
        return devices if several else devices[:1]

    def _team(self, job: Job, order: Order, store: Store, devices: tuple[str, ...]) -> Callable[[], Team]:
        from bench_core.execute.crew_messages import Start
        from bench_core.execute.ranks import OwnTeam, Team

        if len(devices) == 1:
            return Team

        def together() -> Team:
            crew = self._crew_for(Start(devices, order.options.threads, order.plugins))
            return OwnTeam(crew, job, order.options, (order.cache or store.cache).resolve())

        outside = self.outside
        return together if outside is None else lambda: outside

    def _crew_for(self, start: Start) -> Crew:
        """Return processes that were started so: those of the job before, if they can be used."""
        from bench_core.execute.crew import Crew

        if self._crew is None or not self._crew.usable(start):
            self.close()
            self._crew = Crew(start)
        return self._crew

    def _listeners(self, job: Job, store: Store, registry: Registry) -> Callable[[JobEvent], None]:
        """Return what tells the run and every listening plugin; a listener that fails harms nobody."""
        from bench_core.execute.events import describe_event

        def emit(event: JobEvent) -> None:
            full = describe_event(event, job, store)
            self.send(full)
            for plugin, error in registry.event(full):
                self.send(Deaf(plugin, error))

        return emit

    def _note(self, digest: str, text: str) -> None:
        now = time.monotonic()
        if now - self._noted > 0.2:
            self._noted = now
            self.send(Note(digest, text))


def _next(pipe: Connection) -> Assignment | None:
    try:
        assignment: Assignment | None = pipe.recv()
    except (EOFError, OSError):
        return None
    return assignment


def _stand_alone() -> None:
    """Lead a process group of its own, hear of Ctrl-C from the main process alone, and never outlive it."""
    with suppress(OSError, AttributeError):
        os.setsid()
    parent = parent_process()
    if parent is not None and parent.pid is not None:
        guard_group(parent.pid)
        die_with_parent(parent.pid)
    # The main process hears of Ctrl-C and tells its workers.
    end_on_signals(_give_back, ctrl_c=False)
    children_die_with_us()
    open_standard_files()
    # What a plugin prints while it is loaded is not part of what the run prints.
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.close(quiet)


def _give_back() -> None:
    import logging

    from bench_core.store.claim import release_all

    with suppress(Exception):
        logging.getLogger(__name__).info("interrupted; the next run resumes from the last whole epoch")
    release_all()


def main(arguments: list[str]) -> int:
    """Run one queued job in this process and return an exit code."""
    from bench_core.execute.ranks import OutsideTeam, outside

    store, digest, *rest = arguments
    device, rank = rest[0] if rest else "cpu", outside()
    team = None
    if rank is not None:
        device = f"cuda:{os.environ['LOCAL_RANK']}" if device == "cuda" else device
        if rank > 0:
            from bench_core.execute.follow import follow

            follow(Path(store), digest, device, direct=device.startswith("cuda"))
            return 0
        team = OutsideTeam(device)
        device = ",".join([device] * int(os.environ["WORLD_SIZE"]))
    end_on_signals(_give_back)
    children_die_with_us()
    with closing(Worker(Path(store), device, lambda message: None, team)) as worker:
        ended = worker.run(Assignment(digest))
    if ended.failure is not None:
        print(f"{ended.failure.name}: {ended.failure.message}", file=sys.stderr)
    failed = ended.outcome not in ("done", "elsewhere")
    if team is not None:
        team.end(failed=failed)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
