"""Everything that a plugin can tell segtrial, on one page.

A plugin is a module (one file in a spec's `plugins:`, or a package with an entry point in the group
`segtrial`) with functions of these names, each marked `@hookimpl` from `bench_core`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pluggy

from bench_core.declarations import (
    Analysis,
    Architecture,
    Dataset,
    ExecutorDeclaration,
    JobEvent,
    Metric,
    ModelSource,
    RunnerDeclaration,
    Step,
)

if TYPE_CHECKING:
    import click

hookspec = pluggy.HookspecMarker("segtrial")
hookimpl = pluggy.HookimplMarker("segtrial")


@hookspec
def bench_models() -> Sequence[Architecture]:  # type: ignore[empty-body]
    """Architectures that a spec can name."""


@hookspec
def bench_model_sources() -> Sequence[ModelSource]:  # type: ignore[empty-body]
    """Prefixes such as `smp:` that turn any name behind them into an architecture."""


@hookspec
def bench_datasets() -> Sequence[Dataset]:  # type: ignore[empty-body]
    """Datasets that a spec can name."""


@hookspec
def bench_runners() -> Sequence[RunnerDeclaration]:  # type: ignore[empty-body]
    """What trains and tests a job: under the contract, or by a procedure of its own."""


@hookspec
def bench_executors() -> Sequence[ExecutorDeclaration]:  # type: ignore[empty-body]
    """Where the workers of a study can be started."""


@hookspec
def bench_metrics() -> Sequence[Metric]:  # type: ignore[empty-body]
    """Numbers of pixel counts or of label maps, with their unit and direction."""


@hookspec
def bench_analyses() -> Sequence[Analysis]:  # type: ignore[empty-body]
    """Parts of the report that a spec's `analyses:` can name."""


@hookspec
def bench_steps() -> Sequence[Step]:  # type: ignore[empty-body]
    """Work on finished jobs that a spec's `steps:` can name."""


@hookspec
def bench_event(event: JobEvent) -> None:
    """Hear what happens in jobs (started, each epoch, finished, failed), for trackers; runs in the worker."""


@hookspec
def bench_commands() -> Sequence[click.Command]:  # type: ignore[empty-body]
    """Subcommands of `bench` (click commands) that an installed package adds."""
