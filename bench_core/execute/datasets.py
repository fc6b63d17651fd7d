"""The datasets of jobs: as sources to open, and all of them opened once before the first job starts."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from bench_core.data.check import Dealing, Prepared, Progress, Roles, Wanted, prepare
from bench_core.data.opening import Source
from bench_core.data.resize import Fit
from bench_core.plan.job import Job, JobDataset, fold_seed
from bench_core.plugins import Registry


def source_of(dataset: JobDataset, registry: Registry) -> Source:
    """Return a job's dataset as what can be opened."""
    return Source(
        label=dataset.label,
        declared=registry.dataset(dataset.name),
        task=dataset.task,
        root=dataset.root,
        options=dataset.options,
        folds=dataset.folds,
        folds_content=dataset.folds_content,
    )


def fit_of(job: Job) -> Fit:
    """Return the square that a job's images are brought to."""
    return Fit(job.pixels.image_size, job.pixels.resize, job.pixels.padding)


def wanted_by(jobs: Iterable[Job], registry: Registry) -> list[Wanted]:
    """Return each dataset that the jobs need once for each size, with all folds that they use."""
    found: dict[tuple[str, Fit], tuple[Source, dict[tuple[int, int], dict[Roles, None]]]] = {}
    for job in jobs:
        dataset = job.dataset
        options = json.dumps(
            [dataset.label, dataset.name, dataset.root, dict(dataset.options), dataset.folds]
        )
        _, dealings = found.setdefault((options, fit_of(job)), (source_of(dataset, registry), {}))
        fold = job.fold
        roles = Roles(fold.index, fold.train, fold.validation, fold.test)
        dealings.setdefault((fold.count, fold_seed(job)), {})[roles] = None
    return [
        Wanted(source, fit, tuple(Dealing(*dealing, _roles(roles)) for dealing, roles in dealings.items()))
        for (_, fit), (source, dealings) in found.items()
    ]


def _roles(roles: Iterable[Roles]) -> tuple[Roles, ...]:
    """Leave out what a search uses of a fold that is evaluated, too."""
    listed = list(roles)
    tested = {(item.index, item.train, item.validation) for item in listed if item.test}
    return tuple(
        item for item in listed if item.test or (item.index, item.train, item.validation) not in tested
    )


def prepare_datasets(
    jobs: Iterable[Job], registry: Registry, cache: Path, progress: Progress | None = None
) -> list[Prepared]:
    """Open every dataset of the jobs, build missing caches, cut folds and look for leaks.

    Raises DataError with the problems of all datasets, StoreError if the cache cannot be written.
    """
    return prepare(wanted_by(jobs, registry), cache, progress)
