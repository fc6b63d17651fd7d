"""What subcommands share: consoles that respect pipes and NO_COLOR, JSON output, common options."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console

SPEC = click.argument("spec", type=click.Path(path_type=Path))
SET = click.option(
    "--set", "overrides", multiple=True, metavar="PATH=VALUE", help="Override a value: protocol.batch_size=4."
)
STORE = click.option(
    "--store",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("results"),
    show_default=True,
    envvar="SEGTRIAL_STORE",
    help="Folder of results.",
)
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")


def console(*, stderr: bool = False) -> Console:
    """Return a rich console: no colors or boxes of its own when piped or with NO_COLOR set."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, soft_wrap=False)


def print_json(data: Any) -> None:
    """Print data as JSON with sorted keys, byte-stable for equal data."""
    click.echo(json.dumps(data, indent=2, sort_keys=True, ensure_ascii=False))
