"""Asked once before the first job: are the images of another dataset none that networks were trained on?"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench_core.data.opening import open_arrays
from bench_core.data.overlap import seen_in, told, too_many
from bench_core.errors import DataError
from bench_core.execute.datasets import fit_of, source_of
from bench_core.plan.job import Apply, Job
from bench_core.plugins.registry import Registry

DROP = "drop"
"""Value of a step's option `overlap` under which it leaves copies out of its scores itself."""


@dataclass(frozen=True)
class _Meeting:
    """A step's job and the job that it needs, for all that look at the same two datasets."""

    job: Job
    needed: Job
    drops: bool


def unseen_needs(jobs: Iterable[Job], planned: Mapping[str, Job], registry: Registry) -> list[Job]:
    """Return the jobs whose datasets are held against those that steps look at, one for each meeting."""
    return [item.needed for item in _meetings(jobs, planned, registry)]


def check_unseen(
    jobs: Iterable[Job], planned: Mapping[str, Job], registry: Registry, cache: Path
) -> list[tuple[str, str]]:
    """Hold the datasets that steps look at against those that their networks were trained on.

    `planned` has the needed jobs by digest. Returns warnings, each with the label of the dataset that it is
    about. Raises DataError with all copies that are not to be left out, and where nothing else is left.
    """
    warnings: list[tuple[str, str]] = []
    problems: list[str] = []
    places: list[str] = []
    for item in _meetings(jobs, planned, registry):
        job, needed = item.job, item.needed
        there = open_arrays(source_of(job.dataset, registry), fit_of(job), cache)
        trained = open_arrays(source_of(needed.dataset, registry), fit_of(needed), cache)
        seen, count = seen_in(trained, there), len(there.ids)
        label, home = job.dataset.label, needed.dataset.label
        if too_many(trained, there):
            warnings.append(
                (label, f"only images with equal pixels were looked for in {home}: there are too many")
            )
        if not seen:
            continue
        what = f"{len(seen)} of its {count} images are copies of images of {home}: {told(seen)}"
        if item.drops and len(seen) < count:
            warnings.append((label, f"{what}; step {job.stage} leaves them out of its scores"))
            continue
        problems.append(f"{label}: {what}" + ("; none is left to be scored" if item.drops else ""))
        places.append(job.stage)
    if problems:
        steps = ", ".join(dict.fromkeys(places))
        raise DataError(
            "a dataset holds images that networks were trained on:\n  " + "\n  ".join(problems),
            place=f"step {steps}",
            cause="a score on them would be one of memory",
            fix="write `options: {overlap: drop}` for the step, which leaves these images out of its scores "
            "and says so, or take the dataset out of its `of`",
        )
    return warnings


def _meetings(jobs: Iterable[Job], planned: Mapping[str, Job], registry: Registry) -> Iterator[_Meeting]:
    known: set[str] = set()
    for job in jobs:
        work = job.work
        if not isinstance(work, Apply) or not registry.step(work.step).unseen:
            continue
        needed = next((planned[need.digest] for need in job.needs if need.digest in planned), None)
        if needed is None:
            continue
        plain = [job.to_json()["dataset"], needed.to_json()["dataset"], dict(work.options), job.stage]
        key = json.dumps(plain, sort_keys=True)
        if key not in known:
            known.add(key)
            yield _Meeting(job, needed, work.options.get("overlap") == DROP)
