"""Every metric of one job: of its counts, and of the steps that looked at it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench_core.analysis.measured import StepTables, read_tables
from bench_core.declarations import Metric
from bench_core.errors import StoreError
from bench_core.metrics import declared
from bench_core.metrics.counts import mean_defined
from bench_core.metrics.declared import KnownUnit
from bench_core.metrics.scale import Scale, scale_of
from bench_core.plan.job import Apply, Job
from bench_core.plugins.quantities import measured_names, native_name
from bench_core.records import Counts
from bench_core.store.store import Store


@dataclass(frozen=True)
class JobMetric:
    """One metric of a job's test images."""

    name: str
    scale: Scale | None
    """None for a metric that no plugin here declares: its direction is not known then."""
    how: str
    """How one number comes of many images and classes."""
    value: float
    """NaN where undefined, as are those of classes."""
    classes: Mapping[str, float]
    unit: KnownUnit


@dataclass(frozen=True)
class StepOn:
    """A step that looked at a job."""

    job: Job
    values: Mapping[str, Any]
    """Numbers that it left."""
    problem: str = ""
    """Why its table could not be read."""


def metrics_of(
    store: Store, job: Job, metrics: Mapping[str, Metric]
) -> tuple[tuple[JobMetric, ...], tuple[StepOn, ...]]:
    """Return every metric of a done job, and the steps that looked at it; of a step's job what it left.

    Raises StoreError where the job's own result is damaged.
    """
    if isinstance(job.work, Apply):
        source = next((need.digest for need in job.needs), "")
        if not store.is_done(source):
            return (), ()
        counts = store.counts(source)
        return tuple(_of_steps({job.stage: read_tables(job, store, counts)}, counts, metrics)), ()
    counts = store.counts(job.digest)
    steps, tables = [], {}
    for step in _steps_on(store, job):
        try:
            tables[step.stage] = read_tables(step, store, counts)
            steps.append(StepOn(step, store.result(step.digest).values))
        except StoreError as error:
            steps.append(StepOn(step, {}, str(error)))
    found = (*_of_counts(counts, counts.values, metrics), *_of_steps(tables, counts, metrics))
    return found, tuple(steps)


def _steps_on(store: Store, job: Job) -> list[Job]:
    """Return the done jobs of steps that looked at a job; those whose own files are damaged are left out."""
    found = []
    for digest, state in store.states().items():
        if state == "done":
            with suppress(StoreError):
                other = store.job(digest)
                if isinstance(other.work, Apply) and job.digest in other.looked_at:
                    found.append(other)
    return sorted(found, key=lambda step: (step.stage, step.digest))


def _of_counts(
    counts: Counts,
    values: NDArray[np.int64],
    metrics: Mapping[str, Metric],
    label: str = "",
    where: str = "",
) -> Iterator[JobMetric]:
    for metric in metrics.values():
        if metric.needs != "counts":
            continue
        classes = map(float, declared.per_class(metric, values))
        scale = scale_of(metric)
        yield JobMetric(
            name=native_name(metric.name, label) if label else metric.name,
            scale=scale,
            how=f"pooled over images and classes{where}",
            value=declared.micro(metric, values),
            classes=dict(zip(counts.classes, classes, strict=True)),
            unit=scale.unit,
        )


def _of_steps(
    tables: Mapping[str, StepTables], counts: Counts, metrics: Mapping[str, Metric]
) -> Iterator[JobMetric]:
    scores = {label: found.scores for label, found in tables.items() if found.scores}
    for label, measured, name in measured_names({label: list(found) for label, found in scores.items()}):
        found = scores[label][measured]
        metric = metrics.get(measured)
        scale = None if metric is None else Scale(found.unit, metric.better)
        yield JobMetric(
            name=name,
            scale=scale,
            how="mean over classes, then images",
            value=float(mean_defined(mean_defined(found.values))),
            classes=dict(zip(counts.classes, map(float, mean_defined(found.values.T)), strict=True)),
            unit=found.unit,
        )
    for label, step in tables.items():
        if step.native_counts is not None:
            yield from _of_counts(counts, step.native_counts, metrics, label, ", at original size")
        elsewhere = step.transferred or step.voted
        if elsewhere is not None:
            there = elsewhere.there
            yield from _of_counts(there, there.values, metrics, label, ", on another dataset")
