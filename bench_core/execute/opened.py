"""All datasets of jobs, opened once before the first job starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from bench_core.data.check import Prepared, Progress, prepare
from bench_core.execute.datasets import wanted_by
from bench_core.execute.unseen import check_unseen, unseen_needs
from bench_core.plan.job import Job
from bench_core.plugins.registry import Registry


def prepare_datasets(
    jobs: Sequence[Job],
    registry: Registry,
    cache: Path,
    progress: Progress | None = None,
    planned: Mapping[str, Job] | None = None,
) -> list[Prepared]:
    """Open every dataset of the jobs, build missing caches, cut folds, look for leaks and for seen images.

    `planned` has jobs by digest that the jobs may need without being among them. Raises DataError with the
    problems of all datasets, StoreError if the cache cannot be written.
    """
    known = {**(planned or {}), **{job.digest: job for job in jobs}}
    needs = unseen_needs(jobs, known, registry)
    ready = prepare(wanted_by([*jobs, *needs], registry), cache, progress)
    said: dict[str, list[str]] = {}
    for label, text in check_unseen(jobs, known, registry, cache):
        said.setdefault(label, []).append(text)
    return [replace(item, warnings=(*item.warnings, *said.pop(item.label, ()))) for item in ready]
