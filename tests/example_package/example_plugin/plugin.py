"""Declares what is in this package; imports no framework."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

from bench_core import (
    Architecture,
    Dataset,
    JobEvent,
    Layers,
    Metric,
    Option,
    RunnerDeclaration,
    Step,
    Task,
    hookimpl,
)

EVENTS = "EXAMPLE_PLUGIN_EVENTS"
"""Environment variable that names the file into which what happens in jobs is written."""


@hookimpl
def bench_models() -> list[Architecture]:
    """Return a network, and a model that is not a network: its runner has a procedure of its own."""
    return [
        Architecture(
            name="example-net",
            family="own",
            runner="torch",
            version=1,
            build="example_plugin.network:build",
            parameters={1: 481, 3: 515},
            options={"width": Option(type=int, default=16, minimum=1, help="channels")},
            explained=Layers(encoder=("body",)),
        ),
        Architecture(name="example-threshold", family="baseline", runner="example-threshold", version=1),
    ]


@hookimpl
def bench_runners() -> list[RunnerDeclaration]:
    """Return the one runner."""
    return [
        RunnerDeclaration(
            name="example-threshold",
            fit="example_plugin.threshold:fit",
            help="labels by one brightness, chosen on the validation images",
            protocol="own",
            version=1,
            options={"levels": Option(type=int, default=16, minimum=1, help="levels that are tried")},
        )
    ]


@hookimpl
def bench_steps() -> list[Step]:
    """Return the one step."""
    return [
        Step(
            name="example-flip",
            version=1,
            run="example_plugin.flip:run",
            help="whether a network says the same of mirrored images",
            needs="weights",
            options={
                "direction": Option(
                    type=str, default="horizontal", choices=("horizontal", "vertical"), help="how"
                )
            },
        )
    ]


@hookimpl
def bench_metrics() -> list[Metric]:
    """Return the one metric."""
    return [
        Metric(
            name="example-area",
            title="Area ratio",
            version=1,
            needs="labels",
            compute="example_plugin.area:area_ratio",
            definition="The smaller of the areas in truth and prediction through the larger one.",
            empty="undefined where neither has it; 0 where only one of truth and prediction has it",
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
