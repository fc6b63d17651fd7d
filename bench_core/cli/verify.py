"""`bench verify`: show from a finished store that what was compared was one experiment."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench_core.cli.common import JSON, SET, SPEC, STORE, console, print_json, say

if TYPE_CHECKING:
    from rich.table import Table

    from bench_core.analysis.verify.checks import Outcome, Verification

SOON = 1.0
"""Seconds after which a progress bar appears."""
MOST_LISTED = 5
"""Findings of one check that are printed; --json has all."""


@click.command()
@SPEC
@SET
@click.option("--data", "with_data", is_flag=True, help="Open the data, and count every job again.")
@click.option(
    "--predict",
    is_flag=True,
    help="With the data, load the weights and predict some images of each job again.",
)
@click.option(
    "--images",
    type=click.IntRange(min=1),
    default=8,
    show_default=True,
    help="For --predict: at most so many images of each job.",
)
@click.option(
    "--draw",
    type=click.IntRange(0, 2**32),
    default=0,
    show_default=True,
    help="For --predict: seed by which the images are drawn; choose one that nobody knows.",
)
@STORE
@JSON
@click.pass_context
def command(
    context: click.Context,
    spec: Path,
    overrides: tuple[str, ...],
    with_data: bool,
    predict: bool,
    images: int,
    draw: int,
    store: Path,
    as_json: bool,
) -> None:
    """Check the finished jobs of SPEC against its protocol and against each other.

    Reads traces, results, counts, label maps and checksums; needs neither data nor a framework. With --data
    it opens the datasets as a run does, and counts every job again; with --predict it also runs the networks
    on some images, so that label maps need not be believed either. A partial study is checked as far as it
    is finished. Exit codes: 0 nothing found but warnings, 1 findings or an invalid spec, 2 could not run.
    """
    from bench_core.analysis.verify.audit import open_audit
    from bench_core.analysis.verify.predicted import Sampling
    from bench_core.analysis.verify.run import CHECKS, recounting, verify
    from bench_core.analysis.verify.steps import believed
    from bench_core.cli.data import cache_folder
    from bench_core.cli.fresh import ground_of
    from bench_core.errors import StoreError
    from bench_core.execute.fresh import MOST_NEW_BYTES
    from bench_core.plan.load import load_plan
    from bench_core.store.store import Store

    loaded, plan = load_plan(spec, overrides)
    opened = Store(store)
    with_data = with_data or predict
    ground = ground_of(loaded.registry, opened, None if with_data else MOST_NEW_BYTES)
    audit = open_audit(loaded.spec, plan, loaded.registry, opened, ground)
    if not audit.subjects:
        raise StoreError(
            f"no job of {plan.name!r} is finished",
            place=str(store),
            cause=f"none of its {len(plan.jobs)} jobs has a result in this store",
            fix=f"bench run {shlex.quote(str(spec))} --store {shlex.quote(str(store))}",
        )
    with _progress() as progress:
        sampling = Sampling(images, draw) if predict else None
        more = recounting(cache_folder() or opened.cache, sampling) if with_data else ()
        found = verify(audit, (*CHECKS, *more), progress)
    steps = list(believed(audit, with_data=with_data))
    for name in steps:
        say(f"note: the numbers of step {name} are believed: it does not say how it is asked", err=True)
    notes = [f"{what} could not be compared: {why}" for what, why in ground.unknown.items()]
    for text in notes:
        say(f"note: {text}", err=True)
    if as_json:
        print_json(_data(plan.name, store, found) | {"not_compared": notes, "believed": steps})
    else:
        _print(plan.name, found)
    if not found.ok:
        context.exit(1)


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """Yield what hears of the jobs that were looked at; a bar appears on a terminal when it takes long."""
    from rich.progress import Progress

    screen = console(stderr=True)
    bar = Progress(console=screen, transient=True)
    task = bar.add_task("verifying", total=None)
    started = time.monotonic()
    shown = False

    def hear(done: int, total: int) -> None:
        nonlocal shown
        if not shown and screen.is_terminal and time.monotonic() - started > SOON:
            bar.start()
            shown = True
        bar.update(task, completed=done, total=total)

    try:
        yield hear
    finally:
        bar.stop()


def _data(name: str, store: Path, found: Verification) -> dict[str, Any]:
    return {
        "name": name,
        "store": str(store),
        "ok": found.ok,
        "complete": found.complete,
        "jobs": {"done": found.done, "planned": found.planned},
        "checks": [
            {
                "name": outcome.check.name,
                "proves": outcome.check.proves,
                "jobs": outcome.jobs,
                "left_out": outcome.left_out,
                "findings": [asdict(finding) for finding in outcome.findings],
            }
            for outcome in found.outcomes
        ],
    }


def _print(name: str, found: Verification) -> None:
    from rich.text import Text

    out = console()
    state = f"{found.done} jobs" if found.complete else f"partial: {found.done} of {found.planned} jobs"
    out.print(Text(f"{name}: {state} looked at", style="bold"))
    out.print()
    out.print(_table(found))
    for outcome in found.outcomes:
        for finding in outcome.findings[:MOST_LISTED]:
            style = "red" if finding.level == "error" else "yellow"
            out.print()
            out.print(
                Text(f"{outcome.check.name}: {finding.job}: {finding.message}", style=style), soft_wrap=True
            )
            out.print(Text(f"  {finding.place}"), soft_wrap=True)
        if len(outcome.findings) > MOST_LISTED:
            out.print(f"  and {len(outcome.findings) - MOST_LISTED} more (--json has all)", markup=False)
    out.print()
    for line in _left_out(found):
        out.print(Text(line), soft_wrap=True)
    out.print(Text(_verdict(found)), soft_wrap=True)


def _table(found: Verification) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("check", no_wrap=True)
    table.add_column("jobs", justify="right", no_wrap=True)
    table.add_column("found", no_wrap=True)
    table.add_column("what holds when nothing is found")
    for outcome in found.outcomes:
        table.add_row(outcome.check.name, str(outcome.jobs), _state(outcome), outcome.check.proves)
    return table


def _left_out(found: Verification) -> Iterator[str]:
    """Yield which checks were not put to how many jobs, since their kind of work has nothing of the sort."""
    groups: dict[int, list[str]] = {}
    for outcome in found.outcomes:
        if outcome.left_out:
            groups.setdefault(outcome.left_out, []).append(outcome.check.name)
    for number, checks in groups.items():
        jobs = "1 job that does" if number == 1 else f"{number} jobs that do"
        what = "not train under the shared protocol" if "order" in checks else "not test a model itself"
        yield f"not asked of {jobs} {what}: {', '.join(checks)}"


def _state(outcome: Outcome) -> str:
    if not outcome.jobs:
        return "nothing to see"
    errors = sum(finding.level == "error" for finding in outcome.findings)
    warnings = len(outcome.findings) - errors
    parts = [
        f"{number} {noun}{'s' if number > 1 else ''}"
        for number, noun in ((errors, "finding"), (warnings, "warning"))
        if number
    ]
    return ", ".join(parts) or "ok"


def _verdict(found: Verification) -> str:
    jobs = {finding.digest for finding in found.findings if finding.level == "error"}
    if jobs:
        return f"not verified: {len(jobs)} of {found.done} jobs are not as they have to be"
    left = (
        "" if found.complete else f"; {found.planned - found.done} jobs are not finished and were not checked"
    )
    return f"verified: everything that was looked at holds{left}"
