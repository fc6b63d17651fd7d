"""`bench run`: run the jobs of a spec that are not done."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path

import click

from bench_core.cli.common import JSON, SET, SPEC, STORE, console, say
from bench_core.cli.summary import summarize
from bench_core.cli.views import JsonView, PlainView, Steady, View
from bench_core.processes.streams import let_go

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
    from bench_core.cli.prepared import again, make_ready, order_of, select
    from bench_core.execute.devices import choose_slots, processes
    from bench_core.execute.local import LocalExecutor
    from bench_core.execute.machine import Machine, check_load, choose_loaders
    from bench_core.execute.run import InterruptedRunError, run_jobs

    selection = select(spec, overrides, store, only=only, more=more, runner=runner, as_json=as_json)
    loaded, todo = selection.loaded, selection.todo
    threads = threads or loaded.spec.runtime.threads
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
    damaged = selection.damaged
    executor = LocalExecutor(store, devices)
    view = Steady(choose_view(selection.plan.name, as_json))
    try:
        with view:
            order = order_of(loaded, threads, loaders)
            progress = run_jobs(selection.jobs, selection.store, order, executor, view.watch)
    except InterruptedRunError as error:
        with suppress(OSError):
            say(f"{error.message}; resume with:\n  {again()}", err=True)
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


def choose_view(title: str, as_json: bool) -> View:
    """Return how a run is shown: live on a terminal, else as lines."""
    if as_json:
        return JsonView()
    screen = console()
    if screen.is_terminal and not screen.is_dumb_terminal:
        from bench_core.cli.live import LiveView

        return LiveView(screen, title)
    return PlainView()
