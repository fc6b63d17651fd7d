"""`bench test`: tries a plugin of any kind against everything that its kind owes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench_core.cli.candidates import ALL, KINDS, Wish, candidates, kind_of
from bench_core.cli.common import JSON, PathType
from bench_core.cli.conformance import (
    DEFAULT_MODELS,
    DEVICE,
    MODEL,
    PLUGIN,
    THREADS,
    compare,
    failing_with_2,
)
from bench_core.cli.trials import try_all
from bench_core.errors import PluginError

if TYPE_CHECKING:
    from bench_core.plugins.registry import Registry

REFERENCE = "torch"
"""The runner that others are compared with."""
RUNNER = "runner:"


@click.command()
@click.argument("targets", nargs=-1, required=True, metavar="NAME...|all|runner:NAME")
@click.option(
    "--kind", type=click.Choice(KINDS), help="What the names are, where plugins of several kinds have them."
)
@click.option("--small", is_flag=True, help="Under the options that an architecture declares for trials.")
@click.option("--options", "given", metavar="JSON", help='Options of the one that is named: {"width": 4}.')
@click.option("--root", type=PathType(file_okay=False), help="Folder of a dataset's files.")
@MODEL
@PLUGIN
@THREADS
@DEVICE
@JSON
@click.pass_context
def command(
    context: click.Context,
    targets: tuple[str, ...],
    kind: str | None,
    small: bool,
    given: str | None,
    root: Path | None,
    models: tuple[str, ...],
    files: tuple[Path, ...],
    threads: int,
    device: str,
    as_json: bool,
) -> None:
    """Try plugins by their properties: models, datasets, steps, metrics, analyses, runners and executors.

    Architectures are tried at full size, one after the other; `all` are those that `bench list models` lists
    by name, or with --kind all of that kind. With --small they have the options that they declare for trials,
    where they declare any. A runner of the shared protocol (runner:NAME) is compared with torch, item by
    item; one with a procedure of its own has properties. --json prints an object for one, a list for several.
    Exits with 0 if all pass, with 1 if one does not, with 2 if something could not be tried.
    """
    with failing_with_2():
        named = [target.removeprefix(RUNNER) for target in targets]
        if any(target.startswith(RUNNER) for target in targets):
            if len(targets) > 1:
                raise click.UsageError("a runner is tried alone")
            kind = "runner"
        registry = _registry(files)
        if kind is None and ALL in named:
            kind = "model"
        kinds = {name: kind_of(name, kind, registry) for name in named}
        shared = [
            name for name in named if kinds[name] == "runner" and registry.runner(name).protocol == "shared"
        ]
        if shared and len(named) > 1:
            raise click.UsageError("a runner is tried alone")
        _check_words(set(kinds.values()), named, given, small, root, models, device)
        if shared:
            pair = (REFERENCE, shared[0])
            code = compare(pair, models or DEFAULT_MODELS, files, threads, device, as_json)
        else:
            wish = Wish(registry, _parsed(given), small, root, threads)
            groups: dict[str, list[str]] = {}
            for name in named:
                groups.setdefault(kinds[name], []).append(name)
            found = [each for key, names in groups.items() for each in candidates(key, names, wish)]
            code = 0 if try_all(found, as_json=as_json) else 1
    context.exit(code)


def _check_words(
    kinds: set[str],
    names: list[str],
    given: str | None,
    small: bool,
    root: Path | None,
    models: tuple[str, ...],
    device: str,
) -> None:
    """Raise UsageError for words that do not go together."""
    if small and kinds != {"model"}:
        raise click.UsageError("--small is an architecture's: a runner's networks are --model")
    if (models or device != "cpu") and kinds != {"runner"}:
        raise click.UsageError("--model and --device are for runner:NAME")
    if root is not None and kinds != {"dataset"}:
        raise click.UsageError("--root is the folder of a dataset")
    if given is not None and (len(names) > 1 or ALL in names):
        raise click.UsageError("--options are of one plugin, and several are named")


def _registry(files: tuple[Path, ...]) -> Registry:
    from bench_core.plugins.wiring import load_registry

    return load_registry([path.resolve() for path in files])


def _parsed(text: str | None) -> dict[str, Any]:
    try:
        options = json.loads(text or "{}")
    except ValueError as error:
        raise PluginError(
            "--options are not JSON", cause=str(error), fix="write --options '{\"width\": 4}'"
        ) from error
    if not isinstance(options, dict):
        raise PluginError("--options are not a JSON object", fix="write --options '{\"width\": 4}'")
    return options
