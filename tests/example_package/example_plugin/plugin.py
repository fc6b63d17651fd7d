"""Declares what is in this package; imports no framework."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

from bench_core import Architecture, Dataset, JobEvent, Option, Task, hookimpl

EVENTS = "EXAMPLE_PLUGIN_EVENTS"
"""Environment variable that names the file into which what happens in jobs is written."""


@hookimpl
def bench_models() -> list[Architecture]:
    """Return the one architecture."""
    return [
        Architecture(
            name="example-net",
            family="own",
            runner="torch",
            version=1,
            build="example_plugin.network:build",
            parameters={1: 481, 3: 515},
            options={"width": Option(type=int, default=16, minimum=1, help="channels")},
            cam_layers=("body",),
        )
    ]


@hookimpl
def bench_datasets() -> list[Dataset]:
    """Return the one dataset."""
    return [
        Dataset(
            name="example-squares",
            version=1,
            task=Task(classes=("square",), channels=1),
            open="example_plugin.squares:open_squares",
            license="CC0-1.0",
            needs_root=False,
            options={"samples": Option(type=int, default=8, minimum=4, help="number of images")},
        )
    ]


@hookimpl
def bench_commands() -> list[click.Command]:
    """Return the one command of `bench`."""

    @click.command("example-area")
    @click.argument("side", type=int)
    def area(side: int) -> None:
        """Print the area of a square."""
        click.echo(side * side)

    return [area]


@hookimpl
def bench_event(event: JobEvent) -> None:
    """Write a line an event."""
    path = os.environ.get(EVENTS)
    if path:
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(json.dumps({"kind": event.kind, "epoch": event.epoch}) + "\n")
