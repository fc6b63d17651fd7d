"""The datasets of jobs: as sources to open, each once for each size, with all folds that are used."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from bench_core.data.arrays import CachedArrays
from bench_core.data.check import Dealing, Roles, Wanted
from bench_core.data.grouping import Duplicates
from bench_core.data.opening import Source, open_arrays
from bench_core.data.resize import Fit
from bench_core.plan.job import Job, JobDataset, fold_seed
from bench_core.plugins.registry import Registry
from bench_core.samples import dealing_name, given_name


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
        duplicates=Duplicates(dataset.duplicates, dataset.duplicates_rule),
        stratify=dataset.stratify,
    )


def fit_of(job: Job) -> Fit:
    """Return the square that a job's images are brought to."""
    return Fit(job.pixels.image_size, job.pixels.resize, job.pixels.padding)


def arrays_of(job: Job, registry: Registry, cache: Path) -> CachedArrays:
    """Open the dataset of a job through the cache, which is built if it is missing; needs no framework."""
    return open_arrays(source_of(job.dataset, registry), fit_of(job), cache)


def folds_name(job: Job) -> str:
    """Return the name under which `Samples.folds` keeps the job's folds."""
    given = job.dataset.folds_content
    if given:
        return given_name(given)
    # A step looks at a whole dataset, which is one fold however folds are dealt.
    strata = job.dataset.stratify if job.fold.count > 1 else ()
    return dealing_name(job.fold.count, fold_seed(job), strata)


def roles_of(job: Job) -> Roles:
    """Return which folds train, validate and test in a job."""
    return Roles(job.fold.index, job.fold.train, job.fold.validation, job.fold.test)


def wanted_by(jobs: Iterable[Job], registry: Registry) -> list[Wanted]:
    """Return each dataset that the jobs need once for each size, with all folds that they use."""
    found: dict[tuple[str, Fit], tuple[Source, dict[tuple[int, int], dict[Roles, None]]]] = {}
    for job in jobs:
        dataset = job.dataset
        source = source_of(dataset, registry)
        asked = [dataset.folds, dataset.duplicates, dataset.duplicates_rule, *dataset.stratify]
        options = json.dumps([dataset.label, dataset.name, dataset.root, dict(dataset.options), asked])
        _, dealings = found.setdefault((options, fit_of(job)), (source, {}))
        dealings.setdefault((job.fold.count, fold_seed(job)), {})[roles_of(job)] = None
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
