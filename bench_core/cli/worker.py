"""`bench worker`: one process of many that pull jobs from a store until nothing is left to do."""

from __future__ import annotations

import os
import socket
import sys
import time
import uuid
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench_core.cli.common import JSON, SET, STORE, print_json_line, say
from bench_core.cli.reading import TRUST
from bench_core.cli.run import MORE, ONLY, RUNNER, THREADS
from bench_core.cli.summary import summarize
from bench_core.cli.views import JsonView, PlainView, Steady, View
from bench_core.errors import BenchError, StoreError
from bench_core.execute.limits import size_in_bytes
from bench_core.processes.streams import let_go

if TYPE_CHECKING:
    from bench_core.execute.batch import Batch
    from bench_core.execute.progress import RunProgress
    from bench_core.execute.queue import Order
    from bench_core.store.store import Store


MOST_DEATHS = 3
"""Attempts at a job that may die in a row before an epoch is finished."""


@click.command()
@click.argument("target", metavar="SPEC|STORE", type=click.Path(path_type=Path))
@MORE
@SET
@ONLY
@RUNNER
@click.option("--batch", "name", metavar="ID", help="The queued study of STORE to work on.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:N or mps.")
@click.option("--until", metavar="TIME", help="End by then: a duration (3h50m, 90m) or a time (23:30).")
@click.option("--memory", metavar="SIZE", help="Memory of the device, or on a CPU of the job: 40GB.")
@click.option("--leave", is_flag=True, help="End when all that is left is at work elsewhere.")
@THREADS
@STORE
@TRUST
@JSON
@click.pass_context
def command(
    context: click.Context,
    target: Path,
    overrides: tuple[str, ...],
    more: tuple[str, ...],
    only: tuple[str, ...],
    runner: str | None,
    name: str | None,
    device: str,
    until: str | None,
    memory: str | None,
    leave: bool,
    threads: int | None,
    store: Path,
    trust_code: bool,
    as_json: bool,
) -> None:
    """Pull and run one job after the other, beside any number of other workers, until none is left.

    With SPEC it prepares and queues the study as `bench run` does, with STORE it works on what is queued
    there. Exits with 0 when nothing is left that it may do, with 1 if a job that it ran failed, with 2 if it
    could not work, with 130 where it stopped before that, at a signal or its deadline: its job then resumes
    from its last whole epoch elsewhere.
    """
    from bench_core.cli.studies import is_store
    from bench_core.execute.batch import has_ended
    from bench_core.execute.devices import choose_slots, device_memory
    from bench_core.execute.duty import Duty
    from bench_core.execute.limits import Limits, seconds_until
    from bench_core.execute.local import LocalExecutor
    from bench_core.execute.progress import FINAL
    from bench_core.execute.run import InterruptedRunError, run_jobs
    from bench_core.execute.select import select_jobs
    from bench_core.store.store import Store

    if more and not only:
        raise click.UsageError(f"unexpected {' '.join(more)!r}; to choose jobs write --only {' '.join(more)}")
    deadline = None if until is None else time.monotonic() + seconds_until(until, datetime.now())
    room = None if memory is None else size_in_bytes(memory, "--memory")
    if room == 0:
        raise BenchError(f"--memory {memory} is none", fix="leave it out, and every job may be tried")
    if is_store(target):
        if overrides:
            raise click.UsageError("--set is for a spec; a queued study is as it was queued")
        store = target
        if name is not None and has_ended(Store(store), name):
            if as_json:
                print_json_line({"event": "summary", "batch": name, "ended": True})
            else:
                say("all jobs of this batch are done")
            return
        batch = _queued(Store(store, create=True), name, trust_code)
    else:
        if name is not None and not target.exists():
            raise StoreError(
                f"there is no store {target} on {socket.gethostname()}",
                fix="mount it there under this path, or name another one",
            )
        if name is not None:
            raise click.UsageError(f"--batch names a study in a store, and {target} is not one")
        batch = prepare_batch(target, overrides, store, device, threads, as_json=as_json)
    opened = Store(store, create=True)
    chosen = {job.digest for job in select_jobs(batch.jobs, (*only, *more), runner)}
    order = _order_here(batch, device, threads)
    (place,) = choose_slots(
        device, 1, order.options.threads, per_job=order.options.devices_per_job, queued=True
    ).devices

    if room is None and place.startswith("cuda"):
        room = device_memory(place)

    def needs(digest: str) -> tuple[int | None, int]:
        asked = batch.requirement(digest)
        return asked.memory, asked.devices

    duty = Duty(
        token=_token(),
        may=lambda job: job.digest in chosen,
        retried=batch.retried,
        most_deaths=MOST_DEATHS,
        limits=Limits(deadline, room, place.count(",") + 1, needs),
        kind=place.partition(",")[0].partition(":")[0],
        leave=leave,
    )
    executor = LocalExecutor(store, [place])
    view = Steady(_view(as_json))
    try:
        with view:
            progress = run_jobs(batch.jobs, opened, order, executor, view.watch, duty)
    except InterruptedRunError as error:
        with suppress(OSError):
            say(f"{error.message}; another worker resumes the job", err=True)
        context.exit(130)
    _tidy(opened, batch, progress)
    try:
        if not view.broken:
            summarize(progress, target, store, [], as_json=as_json)
            sys.stdout.flush()
    except OSError as error:
        view.gone(error)
    if view.broken:
        let_go(output=True)
    if progress.late and any(item.status not in FINAL for item in progress.jobs.values()):
        context.exit(130)
    if any(item.status == "failed" and item.ran_here for item in progress.jobs.values()):
        context.exit(1)


def prepare_batch(
    spec: Path, overrides: tuple[str, ...], store: Path, device: str, threads: int | None, *, as_json: bool
) -> Batch:
    """Prepare all jobs of a spec as `bench run` does, and queue them as one batch.

    Raises DeviceError before anything is prepared where this worker could run none of them.
    """
    from bench_core.cli.prepared import make_ready, queue_selection, select
    from bench_core.execute.devices import choose_slots

    selection = select(spec, overrides, store, as_json=as_json)
    runtime = selection.loaded.spec.runtime
    choose_slots(device, 1, threads or runtime.threads, per_job=runtime.devices_per_job)
    make_ready(selection)
    return queue_selection(selection)


def _queued(store: Store, name: str | None, trust_code: bool) -> Batch:
    """Return the batch that is named, or the only one; its plugins are run if it is named or trusted."""
    from bench_core.execute.batch import batch_ids, read_batch
    from bench_core.execute.queue import check_plugins

    if name is not None:
        batch = read_batch(store, name)
        check_plugins(batch.order)
        return batch
    known = batch_ids(store)
    if len(known) != 1:
        raise StoreError(
            "nothing is queued in this store" if not known else "several studies are queued in this store",
            place=str(store.path),
            cause=", ".join(known) or None,
            fix="name one with --batch" if known else "give the spec instead: bench worker SPEC",
        )
    batch = read_batch(store, known[0])
    if batch.order.plugins and not trust_code:
        raise StoreError(
            "the queued study brings code of its own",
            place=str(store.path),
            cause=", ".join(str(path) for path in batch.order.plugins),
            fix=f"read it, then name the study with --batch {batch.id}",
        )
    check_plugins(batch.order)
    return batch


def _order_here(batch: Batch, device: str, threads: int | None) -> Order:
    """Return the batch's order with the threads and loaders of this machine."""
    from bench_core.execute.devices import choose_slots
    from bench_core.execute.machine import Machine, choose_loaders

    options = batch.order.options
    threads = threads or options.threads
    devices = choose_slots(device, 1, threads, per_job=options.devices_per_job, queued=True).processes
    loaders = choose_loaders(batch.loaders, Machine.here(), devices, threads)
    return replace(batch.order, options=replace(options, threads=threads, loader_workers=loaders))


def _tidy(store: Store, batch: Batch, progress: RunProgress) -> None:
    """Remove a batch whose jobs are all done, and what is left of them in the queue."""
    from bench_core.execute.batch import remove_batch
    from bench_core.execute.queue import tidy
    from bench_core.store.taking import sweep

    if all(item.status == "done" for item in progress.jobs.values()):
        remove_batch(store, batch.id)
        tidy(store)
        sweep(store.claims)


def _token() -> str:
    """Return a name of this process that no other worker has."""
    return f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex}"


def _view(as_json: bool) -> View:
    return JsonView() if as_json else PlainView()
