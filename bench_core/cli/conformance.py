"""`bench conformance`: trains the same small network under two runners and compares everything."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench_core.cli.common import JSON, PathType, console, print_json
from bench_core.cli.views import duration
from bench_core.errors import BenchError

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

    from bench_core.conformance.settings import Settings
    from bench_core.conformance.verdict import Verdict

DEFAULT_RUNNERS = ("torch", "mmseg")
DEFAULT_MODELS = ('u-net={"width": 4}', 'segformer={"variant": "b0"}')
"""A network of each framework, small."""

MODEL = click.option(
    "--model",
    "models",
    multiple=True,
    metavar="NAME[={OPTIONS}]",
    help="A network, with options as JSON; more of them are compared one after the other.",
)
PLUGIN = click.option("--plugin", "files", multiple=True, type=PathType(), help="Also load this file.")
THREADS = click.option(
    "--threads", type=click.IntRange(min=1), default=1, show_default=True, help="CPU threads."
)
DEVICE = click.option("--device", default="cpu", show_default=True, help="cpu, cuda, cuda:N or mps.")


@click.command()
@click.option(
    "--runner", "runners", multiple=True, metavar="NAME", help="Two of them; torch and mmseg if none."
)
@MODEL
@PLUGIN
@THREADS
@DEVICE
@JSON
@click.pass_context
def command(
    context: click.Context,
    runners: tuple[str, ...],
    models: tuple[str, ...],
    files: tuple[Path, ...],
    threads: int,
    device: str,
    as_json: bool,
) -> None:
    """Train the same small job under two runners and compare them item by item.

    On one CPU thread every item must be equal bit for bit, with more threads or on another device within
    tolerances. Exits with 0 if all is equal, with 1 at any difference, with 2 if nothing could be compared.
    """
    if runners and len(runners) != 2:
        raise click.UsageError(f"two --runner are compared, not {len(runners)}")
    pair = (runners[0], runners[1]) if runners else DEFAULT_RUNNERS
    with failing_with_2():
        code = compare(pair, models or DEFAULT_MODELS, files, threads, device, as_json)
    context.exit(code)


def compare(
    runners: tuple[str, str],
    models: Sequence[str],
    files: tuple[Path, ...],
    threads: int,
    device: str,
    as_json: bool,
) -> int:
    """Compare two runners, print the tables, and return the exit code."""
    from bench_core.conformance.job import parse_subject
    from bench_core.conformance.settings import Settings, check
    from bench_core.plugins.wiring import load_registry

    settings = Settings(
        runners=runners,
        subjects=[parse_subject(text) for text in models],
        plugins=tuple(path.resolve() for path in files),
        threads=threads,
        device=device,
    )
    check(settings, load_registry(settings.plugins))
    from bench_core.conformance.suite import Suite

    started = time.monotonic()
    suite = Suite(settings, lambda: advance())
    with progress(suite.processes, f"{runners[0]} / {runners[1]}", quiet=as_json) as advance:
        verdicts = suite.run()
    seconds = time.monotonic() - started
    if as_json:
        print_json(_data(settings, verdicts, seconds))
    else:
        _print(settings, verdicts, seconds)
    if not all(verdict.tried for verdict in verdicts):
        return 2
    return 0 if all(verdict.equal for verdict in verdicts) else 1


@contextmanager
def failing_with_2() -> Iterator[None]:
    """Let every error end the command with 2: 1 is kept for runners that differ."""
    try:
        yield
    except BenchError as error:
        error.exit_code = 2
        raise


@contextmanager
def progress(total: int, title: str, *, quiet: bool) -> Iterator[Callable[[], None]]:
    """Yield what is called when one of `total` parts has ended; shows nothing when piped."""
    screen = console(stderr=True)
    if quiet or not screen.is_terminal:
        yield lambda: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=screen, transient=True) as progress:
        task = progress.add_task(title, total=total)
        yield lambda: progress.advance(task)


def _data(settings: Settings, verdicts: Sequence[Verdict], seconds: float) -> dict[str, Any]:
    return {
        "runners": list(settings.runners),
        "exact": settings.exact,
        "threads": settings.threads,
        "device": settings.device,
        "seconds": round(seconds, 1),
        "equal": all(verdict.equal for verdict in verdicts),
        "models": [
            {
                "model": verdict.model,
                "equal": verdict.equal,
                "first_difference": verdict.first.item if verdict.first else None,
                "items": [
                    {
                        "item": row.item,
                        "values": row.values,
                        "state": row.state,
                        "note": row.note,
                    }
                    for row in verdict.rows
                ],
            }
            for verdict in verdicts
        ],
    }


def _print(settings: Settings, verdicts: Sequence[Verdict], seconds: float) -> None:
    screen = console()
    if not screen.is_terminal:
        # A file or a log has no width of its own, and tables of 80 columns would be broken.
        screen.width = 160
    for verdict in verdicts:
        if verdict.tried:
            _print_table(screen, settings, verdict)
        else:
            errors = {row.note for row in verdict.rows if row.item == "end"}
            screen.print(f"{verdict.model} could not be trained: {', '.join(errors)}\n", soft_wrap=True)
    equal = sum(verdict.equal for verdict in verdicts)
    how = "bit for bit" if settings.exact else "within the tolerances"
    place = f"{settings.device}, {settings.threads} thread{'s' * (settings.threads > 1)}"
    under = " and ".join(settings.runners)
    line = f"{equal} of {len(verdicts)} networks equal {how} under {under} ({place}), in {duration(seconds)}"
    screen.print(line, soft_wrap=True)


def _print_table(screen: Console, settings: Settings, verdict: Verdict) -> None:
    from rich.table import Table
    from rich.text import Text

    styles = {"equal": "green", "different": "red", "not compared": "yellow"}
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for name in ("item", *settings.runners, "equal, or the first difference"):
        table.add_column(name, overflow="fold", no_wrap=name == "item")
    for row in verdict.rows:
        text = row.note if row.state != "equal" else f"equal ({row.note})" if row.note else "equal"
        table.add_row(row.item, *map(Text, row.values), Text(text, style=styles[row.state]))
    screen.print(Text(verdict.model, style="bold"))
    screen.print(table)
    if verdict.first is not None:
        line = f"first in time: {verdict.first.item}, {verdict.first.note}"
        screen.print(Text(line, style="red"), soft_wrap=True)
    screen.print()
