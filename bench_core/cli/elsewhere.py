"""`bench run --executor NAME`: workers elsewhere pull the jobs, and this command watches them or leaves."""

from __future__ import annotations

import re
import shlex
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from bench_core.cli.common import print_json_line, say
from bench_core.errors import BenchError

if TYPE_CHECKING:
    from bench_core.cli.prepared import Selection
    from bench_core.declarations import ExecutorDeclaration, FleetRequest
    from bench_core.execute.batch import Batch
    from bench_core.execute.fleet import FleetExecutor
    from bench_core.execute.fleets import Manned

DEFAULT_WORKERS = 4
"""Where neither the command nor the spec says how many."""
LOADER_CORES = 4
"""Cores that a worker with an accelerator gets for loader processes, whose number is chosen there."""
_LONGEST_NAME = 40


@dataclass
class Elsewhere:
    """One `bench run --executor`: the fleets that it finds, and the one that it starts."""

    selection: Selection
    executor: ExecutorDeclaration
    options: Mapping[str, Any]
    """Complete."""
    workers: int | None
    """As asked for, those that live already included."""
    device: str
    threads: int
    batch: Batch
    again: str
    joined: list[Manned] = field(default_factory=list)
    started: Manned | None = None

    def gather(self) -> FleetExecutor:
        """Join the fleets that do these jobs already, start what lacks, and return all as one executor."""
        from bench_core.execute.fleet import FleetExecutor
        from bench_core.execute.fleets import sweep_fleets
        from bench_core.execute.outlook import Outlook

        store, todo, count = self.selection.store, self.selection.todo, self._count()
        outlook = Outlook(self.selection.jobs, store)
        if todo:
            sweep_fleets(store)
            living = self._join()
            # Whoever does not say how many is content with those that are there.
            if living < count and (self.workers is not None or not living):
                self.started = self._start(count - living)
        fleets = [*self.joined, *([self.started] if self.started else [])]
        more = None if self.started or not todo else lambda: self._start(count)
        return FleetExecutor(store, outlook, self.batch.id, fleets, more, self.again)

    def by_hand(self, folder: str) -> FleetRequest:
        """Return the request that `gather` alone would start, with a folder for workers started by hand.

        Raises DiskError if the store cannot be written to.
        """
        from bench_core.execute.fleets import FLEETS
        from bench_core.execute.queue import FOLDER
        from bench_core.store.files import make_folder

        path = self.selection.store.path / FOLDER / FLEETS / folder
        make_folder(path)
        return replace(self._request(self._count()), folder=path.resolve())

    def tell(self) -> None:
        """Say which fleets work on the jobs."""
        for item in self.joined:
            alive = item.alive()
            count = "workers" if alive is None else f"{alive} worker(s)"
            self._say("joined", item, f"joined {item.label}: {count} work on these jobs already")
        if self.started is not None:
            self._say("started", self.started, f"started {self.started.label}: {_counted(self.started)}")

    def leave(self) -> None:
        """Say how to look at what was started, to join it again and to stop it."""
        self.tell()
        if self.selection.as_json:
            return
        spec = shlex.quote(str(self.selection.spec))
        store = self.selection.store.path
        where = "" if str(store) == "results" else f" --store {shlex.quote(str(store))}"
        say(f"look: bench status {spec}{where}")
        say(f"stop: bench fleets {spec}{where} --stop")

    def _join(self) -> int:
        """Take in the living fleets whose workers do all these jobs alike; return how many they are."""
        from bench_core.execute.fleets import close_fleet, open_fleets

        states = self.selection.store.states()
        at_work = any(states.get(job.digest) == "running" for job in self.selection.todo)
        living = 0
        for item in open_fleets(self.selection.store, self.selection.loaded.registry):
            alive = item.alive()
            if alive == 0:
                close_fleet(self.selection.store, item.record)
            elif self._covered(item):
                if alive is None and not at_work:
                    say(f"note: whether {item.label} has workers left is not known"
                        + (f" ({item.why})" if item.why else "")
                        + "; should it have some, they share the work", err=True)  # fmt: skip
                    continue
                self.joined.append(item)
                living += item.record.workers if alive is None else alive
        return living

    def _covered(self, item: Manned) -> bool:
        """Say whether a fleet's batch holds every job to do, with the same code and options."""
        from bench_core.errors import StoreError
        from bench_core.execute.batch import read_batch
        from bench_core.execute.queue import order_to_json

        if item.record.executor != self.executor.name:
            return False
        if item.record.batch == self.batch.id:
            return True
        try:
            other = read_batch(self.selection.store, item.record.batch)
        except StoreError:
            return False
        orders = [order_to_json(batch.order) for batch in (other, self.batch)]
        for order in orders:
            order["context"]["command"] = ""
        digests = {job.digest for job in other.jobs}
        return orders[0] == orders[1] and all(job.digest in digests for job in self.selection.todo)

    def _count(self) -> int:
        asked = self.workers or self.selection.loaded.spec.runtime.workers or DEFAULT_WORKERS
        return min(asked, len(self.selection.todo))

    def _start(self, count: int) -> Manned:
        from bench_core.execute.fleets import start_fleet

        return start_fleet(
            self.selection.store, self.executor, self.options, self.batch.id, self._request(count)
        )

    def _request(self, count: int) -> FleetRequest:
        from bench_core.declarations import FleetRequest

        store = self.selection.store.path.resolve()
        device, processes = self._device(), self.batch.order.options.devices_per_job
        devices = processes if device == "cuda" else 0
        loaders = self.batch.loaders if self.batch.loaders != "auto" else LOADER_CORES * bool(devices)
        needed = [found.memory for found in self.batch.requirements.values() if found.memory is not None]
        return FleetRequest(
            name=scheduler_name(self.batch.name),
            store=store,
            # -P: a folder in which a worker happens to be started brings no modules.
            command=(
                sys.executable, "-P", "-m", "bench_core.cli.main", "worker", str(store),
                "--batch", self.batch.id, "--device", device,
            ),
            workers=count,
            devices=devices,
            cores=processes * (self.threads + loaders),
            memory=max(needed, default=None) if not devices else None,
        )  # fmt: skip

    def _device(self) -> str:
        """Return the workers' --device: without a wish, an accelerator where this machine has one, too."""
        from bench_core.execute.devices import has_gpu

        return "cuda" if self.device == "auto" and has_gpu() else self.device

    def _say(self, kind: str, item: Manned, text: str) -> None:
        if not self.selection.as_json:
            say(text)
            return
        record = item.record
        print_json_line(
            {
                "event": "fleet",
                "kind": kind,
                "id": record.id,
                "executor": record.executor,
                "label": item.label,
                "workers": record.workers,
            }
        )


def prepare_elsewhere(
    selection: Selection,
    name: str,
    workers: int | None,
    device: str,
    threads: int,
    again: str,
    *,
    here: bool = True,
) -> Elsewhere:
    """Refuse what cannot run, prepare data and weights, and queue the jobs for workers elsewhere.

    With `here` false the workers are not started from this machine, which may lack what that takes.
    """
    from bench_core.cli.prepared import make_ready, order_of, queue_selection
    from bench_core.execute.batch import Batch
    from bench_core.execute.devices import has_gpu
    from bench_core.execute.fleets import require
    from bench_core.options import complete_options

    executor = selection.loaded.registry.executor(name)
    if here:
        require(executor)
    if device not in ("auto", "cpu", "cuda", "mps"):
        raise BenchError(
            f"--device {device} cannot be asked for of workers elsewhere",
            cause="which of its GPUs a machine gives to a worker is for the executor to say",
            fix="write --device cuda, cpu or auto",
        )
    options = complete_options(executor.options, selection.loaded.spec.runtime.executors.get(name, {}))
    make_ready(selection)
    if selection.todo and device == "auto" and not has_gpu():
        say("note: workers are asked for without accelerators, as this machine has none; for GPUs add "
            "--device cuda", err=True)  # fmt: skip
    if selection.todo:
        batch = queue_selection(selection, threads)
    else:
        batch = Batch(selection.plan.name, selection.jobs, order_of(selection.loaded, threads, 0))
    return Elsewhere(selection, executor, options, workers, device, threads, batch, again)


@contextmanager
def outliving_the_terminal() -> Iterator[None]:
    """Watch on when the terminal closes: a lost connection stops no workers elsewhere."""
    number = getattr(signal, "SIGHUP", None)
    if number is None:
        yield
        return
    before = signal.signal(number, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(number, before)


def scheduler_name(text: str) -> str:
    """Return a study's name as every scheduler takes it: small letters, digits and hyphens."""
    plain = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    return f"segtrial-{plain}"[:_LONGEST_NAME].rstrip("-")


def _counted(item: Manned) -> str:
    return f"{item.record.workers} worker(s)"
