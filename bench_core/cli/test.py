"""`bench test`: tries architectures, or a runner, against everything that their kind owes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench_core.cli.candidates import ALL, chosen, try_all
from bench_core.cli.common import JSON
from bench_core.cli.conformance import (
    DEFAULT_MODELS,
    DEVICE,
    MODEL,
    PLUGIN,
    THREADS,
    compare,
    failing_with_2,
)
from bench_core.errors import PluginError

if TYPE_CHECKING:
    from bench_core.plugins.registry import Registry

REFERENCE = "torch"
"""The runner that others are compared with."""
RUNNER = "runner:"


@click.command()
@click.argument("targets", nargs=-1, required=True, metavar="NAME...|all|runner:NAME")
@click.option("--small", is_flag=True, help="Under the options that an architecture declares for trials.")
@click.option("--options", "given", metavar="JSON", help="One architecture's options: '{\"width\": 4}'.")
@MODEL
@PLUGIN
@THREADS
@DEVICE
@JSON
@click.pass_context
def command(
    context: click.Context,
    targets: tuple[str, ...],
    small: bool,
    given: str | None,
    models: tuple[str, ...],
    files: tuple[Path, ...],
    threads: int,
    device: str,
    as_json: bool,
) -> None:
    """Try plugins: architectures by their properties, or runner:NAME against torch, item by item.

    Architectures are tried at full size, one after the other; `all` are those that `bench list models` lists
    by name. With --small they have the options that they declare for trials, where they declare any. --json
    prints an object for one, a list for several. Exits with 0 if all pass, with 1 if one does not, with 2 if
    something could not be tried.
    """
    with failing_with_2():
        runners = [target for target in targets if target.startswith(RUNNER)]
        if runners:
            if len(targets) > 1:
                raise click.UsageError("a runner is tried alone")
            if given is not None or small:
                raise click.UsageError(
                    "--options and --small are an architecture's; a runner's networks are --model"
                )
            pair = (REFERENCE, runners[0].removeprefix(RUNNER))
            code = compare(pair, models or DEFAULT_MODELS, files, threads, device, as_json)
        else:
            if models or device != "cpu":
                raise click.UsageError("--model and --device are for runner:NAME")
            if given is not None and (len(targets) > 1 or ALL in targets):
                raise click.UsageError("--options are of one architecture, and several are named")
            candidates = chosen(targets, _parsed(given), small, _registry(files))
            code = 0 if try_all(candidates, threads, as_json=as_json) else 1
    context.exit(code)


def _registry(files: tuple[Path, ...]) -> Registry:
    from bench_core.plugins.wiring import load_registry

    return load_registry([path.resolve() for path in files])


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
