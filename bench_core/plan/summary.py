"""What a plan amounts to, as plain data: stages, cells, deviations, and its JSON form."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from bench_core.plan.expand import Plan
from bench_core.plan.identity import IDENTITY_FORMAT
from bench_core.plan.job import Apply, Job, JobDeviation, Train

PLAN_FORMAT = 2


@dataclass(frozen=True)
class StageSummary:
    """The jobs of one stage together."""

    stage: str
    jobs: int
    folds: tuple[int, ...]
    learning_rates: tuple[float, ...]
    """Empty where the rate is chosen by the search."""
    epochs_each: tuple[int, ...]
    epochs: int
    """At most: early stopping makes them fewer."""


@dataclass(frozen=True)
class ListedDeviation:
    """What one model takes differently, and on which datasets (labels)."""

    model: str
    deviation: JobDeviation
    datasets: tuple[str, ...]


def stages_of(plan: Plan) -> tuple[StageSummary, ...]:
    """Return the stages that have jobs, in order."""
    found = []
    for stage in plan.stages:
        jobs = [job for job in plan.jobs if job.stage == stage]
        if not jobs:
            continue
        rates = {job.learning_rate for job in jobs if job.learning_rate is not None}
        found.append(
            StageSummary(
                stage=stage,
                jobs=len(jobs),
                folds=tuple(sorted({job.fold.index for job in jobs})),
                learning_rates=tuple(sorted(rates, reverse=True)),
                epochs_each=tuple(sorted({job.epochs for job in jobs if job.epochs})),
                epochs=sum(job.epochs for job in jobs),
            )
        )
    return tuple(found)


def max_epochs(plan: Plan) -> int:
    """Return how many epochs the plan trains if nothing stops early."""
    return sum(job.epochs for job in plan.jobs)


def cell_counts(
    plan: Plan, states: Mapping[str, str] | None = None, state: str = ""
) -> Counter[tuple[str, str]]:
    """Return the number of jobs by model and dataset label: all, or those of one state."""
    return Counter(job.cell for job in plan.jobs if states is None or states.get(job.digest) == state)


def deviations_of(plan: Plan) -> tuple[ListedDeviation, ...]:
    """Return each model's deviations, in the spec's order of models."""
    # Jobs of a cell share their model: ask each cell once.
    cells = {job.cell: job.model for job in plan.jobs}
    table: dict[tuple[str, str], ListedDeviation] = {}
    for (label, dataset), model in cells.items():
        for deviation in model.deviations:
            # Values may be lists or mappings, which no dictionary takes as keys.
            key = (label, repr(deviation))
            known = table.get(key)
            datasets = (*known.datasets, dataset) if known else (dataset,)
            table[key] = ListedDeviation(label, deviation, datasets)
    return tuple(table.values())


def plan_json(plan: Plan, states: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return the plan as plain data: equal plans give equal data, on every machine.

    `jobs` is an iterator, since the rows of a large plan take gigabytes together.
    Settings that many jobs share stand once under `settings`, and jobs refer to them by number. `states`
    (digest to state, of a store) is added to the jobs where it is given.
    """
    settings: dict[str, int] = {}
    numbers: dict[int, int] = {}
    for job in plan.jobs:
        # Jobs of a cell share the object, cells of a dataset often its content.
        if id(job.work) not in numbers:
            text = json.dumps(_settings(job), sort_keys=True)
            numbers[id(job.work)] = settings.setdefault(text, len(settings))
    models = {job.model.label: job for job in plan.jobs}
    datasets = {job.dataset.label: job for job in plan.jobs if not isinstance(job.work, Apply)}
    return {
        "format": PLAN_FORMAT,
        "identity_format": IDENTITY_FORMAT,
        "name": plan.name,
        "stages": [asdict(stage) for stage in stages_of(plan)],
        "epochs": max_epochs(plan),
        "models": [_model_row(models[label]) for label in plan.models if label in models],
        "datasets": [_dataset_row(datasets[label]) for label in plan.datasets if label in datasets],
        "excluded": [asdict(cell) for cell in plan.excluded],
        "passed_over": [asdict(item) for item in plan.passed_over],
        "deviations": [asdict(item) for item in deviations_of(plan)],
        "unavailable": dict(plan.unavailable),
        "settings": [json.loads(text) for text in settings],
        "jobs": _job_rows(plan, numbers, states),
    }


def _job_rows(
    plan: Plan, numbers: Mapping[int, int], states: Mapping[str, str] | None
) -> Iterator[dict[str, Any]]:
    for job in plan.jobs:
        row = _job_row(job, numbers[id(job.work)])
        if states is not None:
            row["state"] = states.get(job.digest, "todo")
        yield row


def _settings(job: Job) -> dict[str, Any]:
    """Return what decides a job's work and the grid that it is scored on."""
    grid = {"pixels": job.pixels.model_dump(mode="json"), "scoring": job.scoring.model_dump(mode="json")}
    if isinstance(job.work, Train):
        return grid | {"training": job.work.training.model_dump(mode="json")}
    return grid | asdict(job.work)


def _job_row(job: Job, settings: int) -> dict[str, Any]:
    return {
        "digest": job.digest,
        "name": job.name,
        "stage": job.stage,
        "model": job.model.label,
        "dataset": job.cell[1],
        "runner": job.model.runner,
        "fold": job.fold.index,
        "train": list(job.fold.train),
        "validation": list(job.fold.validation),
        "test": list(job.fold.test),
        "learning_rate": job.learning_rate,
        "repeat": job.repeat,
        "epochs": job.epochs,
        "settings": settings,
        "needs": [{"digest": need.digest, "role": need.role} for need in job.needs],
    }


def _model_row(job: Job) -> dict[str, Any]:
    model = job.model
    names = ("label", "name", "family", "version", "runner", "pretrained")
    row: dict[str, Any] = {name: getattr(model, name) for name in names}
    departures = [asdict(departure) for departure in model.departures]
    return row | {"options": dict(model.options), "departures": departures}


def _dataset_row(job: Job) -> dict[str, Any]:
    dataset = job.dataset
    return {
        "label": dataset.label,
        "name": dataset.name,
        "version": dataset.version,
        "classes": list(dataset.task.classes),
        "channels": dataset.task.channels,
        "options": dict(dataset.options),
    }
