"""`bench new`: begins a plugin with files that work."""

from __future__ import annotations

from pathlib import Path

import click

from bench_core.cli.common import PathType, say
from bench_core.errors import PluginError
from bench_core.scaffold.model import RUNNERS, write_model


@click.command()
@click.argument("kind", type=click.Choice(["model"]))
@click.argument("name")
@click.option(
    "--runner",
    type=click.Choice(RUNNERS),
    default="torch",
    show_default=True,
    help="What the network is built with: plain PyTorch, or a config of MMSegmentation.",
)
@click.option(
    "--folder",
    type=PathType(file_okay=False),
    default=Path(),
    help="Where the files are written; the current folder if not given.",
)
def command(kind: str, name: str, runner: str, folder: Path) -> None:
    """Write a working plugin file for an architecture NAME, and its test.

    Nothing is overwritten.
    """
    from bench_core.plugins import load_registry

    if name in load_registry().models:
        raise PluginError(f"there is an architecture {name!r} already", fix="choose another name")
    plugin, test = write_model(name, runner, folder)
    say(f"wrote {plugin} and {test}")
    say(f"try it: bench test {name} --plugin {plugin}")
