"""`bench run`: run the jobs of a spec that are not done."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench_core.cli.common import JSON, SET, SPEC, STORE, console, print_json_line, say
from bench_core.cli.summary import summarize
from bench_core.cli.views import JsonView, PlainView, Steady, View
from bench_core.errors import BenchError
from bench_core.processes.streams import let_go

if TYPE_CHECKING:
    from bench_core.execute.fresh import Freshness
    from bench_core.execute.queue import Order
    from bench_core.plan.expand import Plan
    from bench_core.plan.job import Job
    from bench_core.plugins.registry import Registry
    from bench_core.spec.load import LoadedSpec
    from bench_core.store.store import Store

ONLY = click.option(
    "--only",
    multiple=True,
    metavar="KEY=VALUE[,VALUE]...",
    help="Jobs of this model, dataset, stage, fold or family only; more of them narrow it down.",
)
MORE = click.argument("more", nargs=-1, metavar="")
"""What follows the first value of --only: options of click take one value each."""
RUNNER = click.option("--runner", metavar="NAME", help="Jobs of this runner only.")


@click.command()
@SPEC
@MORE
@SET
@ONLY
@RUNNER
@click.option("--workers", type=click.IntRange(min=1), help="Jobs at a time.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:N or mps.")
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads of one job.")
@click.option("--oversubscribe", is_flag=True, help="Run more processes than the machine has room for.")
@STORE
@JSON
@click.pass_context
def command(
    context: click.Context,
    spec: Path,
    overrides: tuple[str, ...],
    more: tuple[str, ...],
    only: tuple[str, ...],
    runner: str | None,
    workers: int | None,
    device: str,
    threads: int | None,
    oversubscribe: bool,
    store: Path,
    as_json: bool,
) -> None:
    """Run the jobs of SPEC that are not done, and those whose data, plugins or weights have changed since.

    Jobs that were cut off resume from their last whole epoch, failed ones are tried again, and several `bench
    run` over one store share the work. Exits with 1 if a job failed, with 130 after Ctrl-C.
    """
    from bench_core.cli.data import cache_folder, open_datasets, warn
    from bench_core.cli.fresh import ground_of, stale_events, tell
    from bench_core.execute.devices import choose_slots
    from bench_core.execute.fresh import freshness, set_aside
    from bench_core.execute.local import LocalExecutor
    from bench_core.execute.machine import Machine, check_load, choose_loaders
    from bench_core.execute.preflight import preflight
    from bench_core.execute.run import InterruptedRunError, run_jobs
    from bench_core.execute.select import select_jobs
    from bench_core.plan.load import load_plan
    from bench_core.store.store import Store

    if more and not only:
        raise click.UsageError(f"unexpected {' '.join(more)!r}; to choose jobs write --only {' '.join(more)}")
    loaded, plan = load_plan(spec, overrides)
    jobs = select_jobs(plan.jobs, (*only, *more), runner)
    opened = Store(store)
    states = opened.states()
    ground = ground_of(loaded.registry, opened)
    found = freshness(_with_needed(jobs, plan), opened, ground)
    damaged = list(found.damaged.values())
    todo = [job for job in jobs if states.get(job.digest) != "done" or job.digest in found.stale]
    if found.stale or found.unknown:
        tell(jobs, found, spec, store, running=True)
        if as_json:
            for event in stale_events(jobs, found):
                print_json_line(event)
        _refuse_mixing(jobs, todo, found, plan)
    threads = threads or loaded.spec.runtime.threads
    asked = loaded.spec.runtime.loader_workers
    fixed = 0 if asked == "auto" else asked
    slots = choose_slots(device, workers or loaded.spec.runtime.workers, threads, fixed)
    devices = slots.devices[: max(1, len(todo))]
    machine = Machine.here()
    loaders = choose_loaders(asked, machine, devices, threads)
    if todo and not oversubscribe:
        check_load(machine, len(devices), threads, loaders)
    if todo:
        if os.environ.get("SEGTRIAL_DOWNLOAD") == "1":
            _get_weights(todo, loaded.registry)
        preflight(todo, loaded.registry)
        opened = Store(store, create=True)
        cache = cache_folder() or opened.cache
        warn(open_datasets(todo, loaded.registry, cache, plan.by_digest), as_json=as_json)
        # Only opening the images tells which of them are copies, and with that what the samples are.
        ground = ground_of(loaded.registry, opened)
        again = freshness(_with_needed(jobs, plan), opened, ground)
        if set(again.stale) - set(found.stale):
            found = again
            tell(jobs, found, spec, store, running=True)
            if as_json:
                for event in stale_events(jobs, found):
                    print_json_line(event)
            _refuse_mixing(jobs, todo, found, plan)
        set_aside(jobs, opened, ground, found)
    _keep(loaded, plan, opened, spec, overrides, needed=bool(todo))
    executor = LocalExecutor(store, devices)
    view = Steady(_view(plan.name, as_json))
    try:
        with view:
            progress = run_jobs(jobs, opened, _order(loaded, threads, loaders), executor, view.watch)
    except InterruptedRunError as error:
        with suppress(OSError):
            say(f"{error.message}; resume with:\n  {_again()}", err=True)
        context.exit(130)
    try:
        if not view.broken:
            summarize(progress, spec, store, damaged, as_json=as_json)
            sys.stdout.flush()
    except OSError as error:
        view.gone(error)
    if view.broken:
        let_go(output=True)
    if damaged or any(item.status in ("failed", "blocked") for item in progress.jobs.values()):
        context.exit(1)


def _with_needed(jobs: Sequence[Job], plan: Plan) -> list[Job]:
    """Return the jobs after those that they need, selected or not."""
    wanted = {job.digest for job in jobs} | {need.digest for job in jobs for need in job.needs}
    return [job for job in plan.jobs if job.digest in wanted]


def _refuse_mixing(jobs: Sequence[Job], todo: Sequence[Job], found: Freshness, plan: Plan) -> None:
    """Raise BenchError where a job would be built on one that is stale and not part of this run."""
    selected = {job.digest for job in jobs}
    for job in todo:
        for need in job.needs:
            if need.digest in found.stale and need.digest not in selected:
                needed = plan.by_digest[need.digest]
                changed = "; ".join(str(change) for change in found.stale[need.digest])
                raise BenchError(
                    f"{job.name} needs {needed.name}, which is stale and not part of this run",
                    cause=changed,
                    fix="run the same command without --only",
                )


def _keep(
    loaded: LoadedSpec, plan: Plan, store: Store, spec: Path, overrides: Sequence[str], *, needed: bool
) -> None:
    """Keep in the store what is run in it; a store in which nothing is left to do may be a read-only one."""
    from bench_core.errors import StoreError
    from bench_core.export.kept import keep
    from bench_core.store.files import DiskError

    if not (store.path / "store.json").exists():
        return
    try:
        keep(loaded, plan, store.path, spec, overrides)
    except DiskError:
        if needed:
            raise
    except StoreError as error:
        say(f"note: {error.message}: {error.cause}; `bench verify` has to be given the spec", err=True)


def _get_weights(jobs: Iterable[Job], registry: Registry) -> None:
    """Download what is missing; what cannot be had is for the preflight to refuse."""
    from bench_core.cli.weights import get_files
    from bench_core.execute.weights import needs_of_jobs

    missing = [need for need in needs_of_jobs(jobs, registry) if need.place is None]
    get_files(missing, err=True)


def _order(loaded: LoadedSpec, threads: int, loaders: int) -> Order:
    from bench_core.cli.data import cache_folder
    from bench_core.execute.provenance import RunContext
    from bench_core.execute.queue import Order
    from bench_core.options import complete_options
    from bench_core.protocol.run_options import RunOptions

    runtime, registry = loaded.spec.runtime, loaded.registry
    text = json.dumps(loaded.spec.model_dump(mode="json"))
    return Order(
        plugins=tuple(Path(path) for path in registry.plugins.values() if Path(path).is_absolute()),
        context=RunContext(
            spec_name=loaded.spec.name,
            spec_sha256=hashlib.sha256(text.encode()).hexdigest(),
            command=_again(),
            plugins={name: _origin(origin) for name, origin in registry.plugins.items()},
        ),
        options=RunOptions(
            threads=threads,
            loader_workers=loaders,
            channels_last=runtime.channels_last,
            compile=runtime.compile,
            runners={
                name: complete_options(registry.runner(name).options, given)
                for name, given in runtime.runners.items()
            },
        ),
        cache=cache_folder(),
    )


def _origin(text: str) -> str:
    """Return where a plugin comes from; of a file its content counts and not its place."""
    path = Path(text)
    if not path.is_absolute():
        return text
    return f"{path.name}, sha256 {hashlib.sha256(path.read_bytes()).hexdigest()}"


def _again() -> str:
    return shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])


def _view(title: str, as_json: bool) -> View:
    if as_json:
        return JsonView()
    screen = console()
    if screen.is_terminal and not screen.is_dumb_terminal:
        from bench_core.cli.live import LiveView

        return LiveView(screen, title)
    return PlainView()
