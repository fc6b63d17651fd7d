"""`bench test`: tries an architecture or a runner against everything that its kind owes."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench_core.cli.common import JSON, console, print_json
from bench_core.cli.conformance import (
    DEFAULT_MODELS,
    DEVICE,
    MODEL,
    PLUGIN,
    THREADS,
    compare,
    failing_with_2,
    progress,
)
from bench_core.cli.views import duration
from bench_core.errors import MissingDependencyError, PluginError, UnknownNameError

if TYPE_CHECKING:
    from bench_core.conformance.models import Finding

REFERENCE = "torch"
"""The runner that others are compared with."""
RUNNER = "runner:"


@click.command()
@click.argument("target", metavar="NAME|runner:NAME")
@click.option("--options", "given", metavar="JSON", help="The architecture's options: '{\"width\": 4}'.")
@MODEL
@PLUGIN
@THREADS
@DEVICE
@JSON
@click.pass_context
def command(
    context: click.Context,
    target: str,
    given: str | None,
    models: tuple[str, ...],
    files: tuple[Path, ...],
    threads: int,
    device: str,
    as_json: bool,
) -> None:
    """Try a plugin: an architecture by its properties, or runner:NAME against torch, item by item.

    Exits with 0 if it passes, with 1 if not, with 2 if it could not be tried.
    """
    with failing_with_2():
        if target.startswith(RUNNER):
            if given is not None:
                raise click.UsageError("--options are an architecture's; a runner's networks are --model")
            pair = (REFERENCE, target.removeprefix(RUNNER))
            code = compare(pair, models or DEFAULT_MODELS, files, threads, device, as_json)
        else:
            if models or device != "cpu":
                raise click.UsageError("--model and --device are for runner:NAME")
            code = _try(target, _parsed(given), files, threads, as_json)
    context.exit(code)


def _parsed(text: str | None) -> dict[str, Any]:
    try:
        options = json.loads(text or "{}")
    except ValueError as error:
        raise PluginError(
            "--options are no JSON", cause=str(error), fix="write --options '{\"width\": 4}'"
        ) from error
    if not isinstance(options, dict):
        raise PluginError("--options are no JSON object", fix="write --options '{\"width\": 4}'")
    return options


def _try(name: str, options: dict[str, Any], files: tuple[Path, ...], threads: int, as_json: bool) -> int:
    """Try one architecture, print the table, and return the exit code."""
    from bench_core.options import complete_options
    from bench_core.plugins import load_registry

    declared = load_registry([path.resolve() for path in files]).model(name)
    if declared.build is None:
        raise PluginError(f"{name} cannot be built yet", cause=declared.unavailable)
    try:
        complete_options(declared.options, options)
    except ValueError as error:
        raise UnknownNameError(f"{name} cannot take these options", cause=str(error)) from error
    try:
        import bench_core.conformance.models as suite
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            f"architectures are tried with {error.name}, which is not installed",
            fix="pip install 'segbench[torch]'",
        ) from error
    suite.use_threads(threads)
    candidate = suite.Candidate(declared, options)
    found = []
    with warnings.catch_warnings(), progress(len(suite.PROPERTIES), name, quiet=as_json) as advance:
        warnings.simplefilter("ignore")  # of libraries, among themselves
        for item in suite.PROPERTIES:
            found.append(suite.judge(item, candidate))
            advance()
    passed = all(finding.state != "wrong" for finding in found)
    if as_json:
        print_json(_data(name, options, found, passed))
    else:
        _print(name, options, found)
    return 0 if passed else 1


def _data(name: str, options: dict[str, Any], found: Sequence[Finding], passed: bool) -> dict[str, Any]:
    return {
        "model": name,
        "options": options,
        "passed": passed,
        "properties": [
            {
                "property": finding.name,
                "state": finding.state,
                "note": finding.note,
                "seconds": round(finding.seconds, 2),
            }
            for finding in found
        ],
    }


def _print(name: str, options: dict[str, Any], found: Sequence[Finding]) -> None:
    from rich.table import Table
    from rich.text import Text

    screen = console()
    if not screen.is_terminal:
        # A file or a log has no width of its own, and tables of 80 columns would be broken.
        screen.width = 160
    styles = {"ok": "green", "wrong": "red", "skipped": "yellow"}
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for title in ("property", "verdict", "s"):
        table.add_column(
            title,
            overflow="fold",
            no_wrap=title != "verdict",
            justify="right" if title == "s" else "left",
        )
    for finding in found:
        text = f"{finding.state}: {finding.note}" if finding.note else finding.state
        table.add_row(finding.name, Text(text, style=styles[finding.state]), f"{finding.seconds:.1f}")
    title = f"{name} {json.dumps(options)}" if options else name
    screen.print(Text(title, style="bold"))
    screen.print(table)
    states = [str(finding.state) for finding in found]
    line = f"{states.count('ok')} of {len(found)} properties hold"
    for state, word in (("wrong", "wrong"), ("skipped", "not applicable")):
        line += f", {states.count(state)} {word}" * (state in states)
    screen.print(f"{line}, in {duration(sum(finding.seconds for finding in found))}", soft_wrap=True)
