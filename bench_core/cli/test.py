"""`bench test`: tries a plugin's runner against everything that its kind owes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from bench_core.cli.common import JSON
from bench_core.cli.conformance import DEFAULT_MODELS, DEVICE, MODEL, PLUGIN, THREADS, compare, failing_with_2
from bench_core.errors import UnknownNameError

REFERENCE = "torch"
"""The runner that others are compared with."""

Test = Callable[[str, tuple[str, ...], tuple[Path, ...], int, str, bool], int]


@click.command()
@click.argument("target", metavar="runner:NAME")
@MODEL
@PLUGIN
@THREADS
@DEVICE
@JSON
@click.pass_context
def command(
    context: click.Context,
    target: str,
    models: tuple[str, ...],
    files: tuple[Path, ...],
    threads: int,
    device: str,
    as_json: bool,
) -> None:
    """Try a plugin: runner:NAME compares a runner with torch, as `bench conformance` does.

    Exits with 0 if it passes, with 1 if not, with 2 if it could not be tried.
    """
    kind, colon, name = target.partition(":")
    with failing_with_2():
        if not colon or kind not in TESTS:
            raise UnknownNameError(
                f"there is no test of {target!r}",
                cause=f"what can be tested: {', '.join(f'{known}:NAME' for known in TESTS)}",
                fix=f"bench test runner:{REFERENCE}",
            )
        code = TESTS[kind](name, models, files, threads, device, as_json)
    context.exit(code)


def _runner(
    name: str, models: tuple[str, ...], files: tuple[Path, ...], threads: int, device: str, as_json: bool
) -> int:
    return compare((REFERENCE, name), models or DEFAULT_MODELS, files, threads, device, as_json)


TESTS: dict[str, Test] = {"runner": _runner}
"""What stands before the colon, and the test."""
