"""`bench slurm`: the script that `bench run --executor slurm` submits, for those who submit by hand."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import click

from bench_core.cli.common import SET, SPEC, STORE, json_stream, keep_stdout_for_json, say
from bench_core.cli.run import MORE, ONLY, RUNNER, THREADS, WORKERS

FOLDER = "by-hand"
"""Of the logs of workers that are submitted by hand, beside those of fleets."""


@click.command("slurm")
@SPEC
@MORE
@SET
@ONLY
@RUNNER
@click.option("--workers", type=WORKERS, help="Elements of the array that run at a time.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@THREADS
@STORE
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
    store: Path,
) -> None:
    """Print the script whose array of workers does the jobs of SPEC under Slurm: bench slurm SPEC | sbatch.

    Data and weights are prepared and the jobs are queued as by `bench run --executor slurm`, which submits
    the same script. All else goes to stderr. Where nothing is left to do, no script is printed.
    """
    from bench_core.cli.elsewhere import prepare_elsewhere
    from bench_core.cli.prepared import again, select
    from bench_executors.slurm.commands import largest_index, overriding
    from bench_executors.slurm.fleet import arrays
    from bench_executors.slurm.script import elements_of, script, write_script

    # Whatever else is printed, by plugins say, would be part of the script.
    keep_stdout_for_json(context)
    selection = select(spec, overrides, store, only=only, more=more, runner=runner)
    threads = threads or selection.loaded.spec.runtime.threads
    prepared = prepare_elsewhere(selection, "slurm", workers, device, threads, again(), here=False)
    if not selection.todo:
        say("nothing is left to do", err=True)
        return
    request, options, largest = prepared.by_hand(FOLDER), prepared.options, largest_index()
    text = script(request, options, largest)
    path = write_script(request.folder, text)
    parts = arrays(elements_of(request, options), request.workers, largest)
    if len(parts) > 1:
        say(f"note: an array has at most {largest} elements here; submit it {len(parts)} times:", err=True)
        for part in parts:
            say(f"  sbatch {part} {shlex.quote(str(path))}", err=True)
    if against := overriding(text, os.environ):
        say(
            f"note: sbatch would follow {', '.join(against)} of this shell rather than the script; "
            f"before you submit it:\n  unset {' '.join(against)}",
            err=True,
        )
    stream = json_stream()
    stream.write(text)
    stream.flush()
