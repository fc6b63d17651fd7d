"""What this package declares."""

from __future__ import annotations

from collections.abc import Sequence

import click

from bench_core import ExecutorDeclaration, hookimpl
from bench_executors import ray
from bench_executors.slurm.command import command
from bench_executors.slurm.declaration import SLURM


@hookimpl
def bench_executors() -> Sequence[ExecutorDeclaration]:
    """Return the executors of this package."""
    return [ray.RAY, SLURM]


@hookimpl
def bench_commands() -> Sequence[click.Command]:
    """Return the commands of this package."""
    return [command]
