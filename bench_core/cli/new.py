"""`bench new`: begins a plugin with files that work."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import click
from click.core import ParameterSource

from bench_core.cli.common import PathType, say
from bench_core.declarations.executors import LOCAL
from bench_core.errors import PluginError
from bench_core.scaffold.files import KINDS, RUNNERS, write_plugin


@click.command()
@click.argument("kind", type=click.Choice(KINDS))
@click.argument("name")
@click.option(
    "--runner",
    type=click.Choice(RUNNERS),
    default="torch",
    show_default=True,
    help="What a model is built with: plain PyTorch, or a config of MMSegmentation.",
)
@click.option(
    "--folder",
    type=PathType(file_okay=False),
    default=Path(),
    help="Where the files are written; the current folder if not given.",
)
@click.pass_context
def command(context: click.Context, kind: str, name: str, runner: str, folder: Path) -> None:
    """Write a working plugin file of a KIND called NAME, and its test.

    Nothing is overwritten.
    """
    from bench_core.plugins.wiring import load_registry

    if kind != "model" and context.get_parameter_source("runner") is not ParameterSource.DEFAULT:
        raise click.UsageError("--runner is what a model is built with; other kinds have none", context)
    registry = load_registry()
    declared: dict[str, list[Mapping[str, object]]] = {
        "model": [registry.models],
        "dataset": [registry.datasets],
        "step": [registry.steps],
        "metric": [registry.metrics],
        # Its model is called after it.
        "runner": [registry.runners, registry.models],
        "executor": [registry.executors, {LOCAL: None}],
        "analysis": [registry.analyses],
    }
    if any(name in names for names in declared[kind]):
        raise PluginError(f"the name {name!r} is taken by another plugin", fix="choose another name")
    plugin, test = write_plugin(kind, name, folder, runner)
    say(f"wrote {plugin} and {test}")
    say(f"try it: bench test {name} --plugin {plugin}")
