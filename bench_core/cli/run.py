"""`bench run`: run the jobs of a spec that are not done."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench_core.cli.common import JSON, SET, SPEC, STORE, console, say
from bench_core.cli.summary import summarize
from bench_core.cli.views import JsonView, PlainView, Steady, View
from bench_core.processes.streams import let_go

if TYPE_CHECKING:
    from bench_core.cli.elsewhere import Elsewhere
    from bench_core.cli.prepared import Selection
    from bench_core.execute.executor import Executor
    from bench_core.execute.queue import Order

ONLY = click.option(
    "--only",
    multiple=True,
    metavar="KEY=VALUE[,VALUE]...",
    help="Jobs of this model, dataset, stage, fold or family only; more of them narrow it down.",
)
MORE = click.argument("more", nargs=-1, metavar="")
"""What follows the first value of --only: options of click take one value each."""
RUNNER = click.option("--runner", metavar="NAME", help="Jobs of this runner only.")
WORKERS = click.IntRange(1, 10_000)
"""As `runtime.workers` of a spec."""
THREADS = click.option("--threads", type=click.IntRange(1, 1024), help="CPU threads of one job.")
"""As `runtime.threads` of a spec."""


@click.command()
@SPEC
@MORE
@SET
@ONLY
@RUNNER
@click.option("--workers", type=WORKERS, help="Jobs at a time.")
@click.option("--executor", metavar="NAME", help="Where workers are started; see `bench list executors`.")
@click.option("--detach", is_flag=True, help="With --executor: start the workers, and do not watch them.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:N or mps.")
@THREADS
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
    executor: str | None,
    detach: bool,
    device: str,
    threads: int | None,
    oversubscribe: bool,
    store: Path,
    as_json: bool,
) -> None:
    """Run the jobs of SPEC that are not done, and those whose data, plugins or weights have changed since.

    Jobs that were cut off resume from their last whole epoch, failed ones are tried again, and several `bench
    run` over one store share the work. With --executor workers elsewhere pull the jobs. Exits with 1 if a job
    failed, with 130 after Ctrl-C.
    """
    from bench_core.cli.prepared import select
    from bench_core.declarations.executors import LOCAL

    selection = select(spec, overrides, store, only=only, more=more, runner=runner, as_json=as_json)
    threads = threads or selection.loaded.spec.runtime.threads
    executor = selection.loaded.spec.runtime.executor if executor is None else executor
    if executor == LOCAL:
        if detach:
            raise click.UsageError("--detach leaves workers that an --executor has started")
        _here(context, selection, workers, device, threads, oversubscribe)
    elif oversubscribe:
        raise click.UsageError("--oversubscribe is about this machine, not about workers elsewhere")
    else:
        _elsewhere(context, selection, executor, workers, device, threads, detach)


def _here(
    context: click.Context,
    selection: Selection,
    workers: int | None,
    device: str,
    threads: int,
    oversubscribe: bool,
) -> None:
    from bench_core.cli.prepared import make_ready, order_of
    from bench_core.execute.devices import choose_slots, processes
    from bench_core.execute.local import LocalExecutor
    from bench_core.execute.machine import Machine, check_load, choose_loaders

    loaded, todo = selection.loaded, selection.todo
    asked = loaded.spec.runtime.loader_workers
    fixed = 0 if asked == "auto" else asked
    per_job = loaded.spec.runtime.devices_per_job
    slots = choose_slots(device, workers or loaded.spec.runtime.workers, threads, fixed, per_job)
    devices = slots.devices[: max(1, len(todo))]
    machine = Machine.here()
    loaders = choose_loaders(asked, machine, processes(devices), threads)
    if todo and not oversubscribe:
        check_load(machine, len(devices), threads, loaders, per_job)
    make_ready(selection)
    executor = LocalExecutor(selection.store.path, devices)
    _watch(context, selection, order_of(loaded, threads, loaders), executor)


def _elsewhere(
    context: click.Context,
    selection: Selection,
    name: str,
    workers: int | None,
    device: str,
    threads: int,
    detach: bool,
) -> None:
    from bench_core.cli.elsewhere import outliving_the_terminal, prepare_elsewhere
    from bench_core.cli.prepared import again

    prepared = prepare_elsewhere(selection, name, workers, device, threads, again())
    executor = prepared.gather()
    if detach and selection.todo:
        _leave(prepared)
        return
    try:
        with outliving_the_terminal():
            _watch(context, selection, prepared.batch.order, executor, prepared.tell)
    except KeyboardInterrupt:
        # Before or after the run listens itself: workers elsewhere hear nothing of this terminal.
        executor.stop()
        with suppress(OSError):
            say(f"interrupted; nothing that was finished is lost; resume with:\n  {again()}", err=True)
        context.exit(130)


def _leave(prepared: Elsewhere) -> None:
    """Tell of the workers that were started; where nobody can read it, they work on all the same."""
    try:
        prepared.leave()
        sys.stdout.flush()
    except OSError as error:
        with suppress(OSError):
            say(f"note: nothing can be printed ({error}); the workers were started", err=True)
        let_go(output=True)


def _watch(
    context: click.Context,
    selection: Selection,
    order: Order,
    executor: Executor,
    greet: Callable[[], object] = lambda: None,
) -> None:
    """Run the jobs to their end, show them meanwhile, and sum up; `greet` is told first."""
    from bench_core.cli.prepared import again
    from bench_core.execute.run import InterruptedRunError, run_jobs

    as_json, store = selection.as_json, selection.store.path
    view = Steady(choose_view(selection.plan.name, as_json))
    view.let(greet)
    try:
        with view:
            progress = run_jobs(selection.jobs, selection.store, order, executor, view.watch)
    except InterruptedRunError as error:
        with suppress(OSError):
            for refused in getattr(executor, "refused", ()):
                say(f"note: {refused}", err=True)
            say(f"{error.message}; resume with:\n  {again()}", err=True)
        context.exit(130)
    try:
        if not view.broken:
            summarize(progress, selection.spec, store, selection.damaged, as_json=as_json)
            sys.stdout.flush()
    except OSError as error:
        view.gone(error)
    if view.broken:
        let_go(output=True)
    failed = any(item.status in ("failed", "blocked") for item in progress.jobs.values())
    if selection.damaged or failed:
        context.exit(1)


def choose_view(title: str, as_json: bool) -> View:
    """Return how a run is shown: live on a terminal, else as lines."""
    if as_json:
        return JsonView()
    screen = console()
    if screen.is_terminal and not screen.is_dumb_terminal:
        from bench_core.cli.live import LiveView

        return LiveView(screen, title)
    return PlainView()
