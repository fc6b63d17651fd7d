"""What listeners hear of a job: its events, with all by which a tracker names its run."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from bench_core.declarations import JobEvent
from bench_core.errors import StoreError

if TYPE_CHECKING:
    from bench_core.plan.job import Job
    from bench_core.store.store import Store


def describe_event(event: JobEvent, job: Job, store: Store) -> JobEvent:
    """Return the event with its job's name and place; of a finished job with its test metrics."""
    metrics = event.metrics
    if event.kind == "finished" and not metrics:
        metrics = _tested(job, store)
    epoch = event.kind == "epoch"
    return replace(
        event,
        job=job.name,
        model=job.model.label,
        dataset=job.dataset.label,
        fold=job.fold.index,
        repeat=job.repeat,
        stage=job.stage,
        store=str(store.path),
        metrics=metrics,
        done=event.epoch + 1 if epoch else event.done,
        total=event.epochs if epoch else event.total,
    )


def _tested(job: Job, store: Store) -> Mapping[str, float]:
    from bench_core.metrics.counts import micro

    with suppress(StoreError):
        return micro(store.counts(job.digest).values)
    return {}
