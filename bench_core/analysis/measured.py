"""What steps left about the test images of evaluate jobs, read once and checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bench_core.errors import StoreError
from bench_core.metrics.tables import (
    NATIVE_COUNTS,
    SCORES,
    ImageScores,
    TableError,
    read_counts,
    read_scores,
)
from bench_core.plan.job import Apply, Job
from bench_core.plugins.quantities import MEASURE, NATIVE
from bench_core.records import Counts
from bench_core.store.folder import fix_for
from bench_core.store.store import Store


@dataclass(frozen=True, eq=False)
class StepTables:
    """The numbers per image and class that a step job left; empty for steps that leave none."""

    scores: Mapping[str, ImageScores] = field(default_factory=dict)
    """By metric; images and classes in the order of the evaluate job's counts."""
    native_counts: NDArray[np.int64] | None = None
    """[N, K, 3] at the images' original sizes, in the same order."""


def read_tables(job: Job, store: Store, counts: Counts) -> StepTables:
    """Return the tables of a done step job; `counts` are those of the evaluate job that it needs.

    Raises StoreError for a table that is missing, damaged or about other images.
    """
    step = job.work.step if isinstance(job.work, Apply) else ""
    name = {MEASURE: SCORES, NATIVE: NATIVE_COUNTS}.get(step)
    if name is None:
        return StepTables()
    rows = store.records(job.digest, name)
    try:
        if step == NATIVE:
            return StepTables(native_counts=read_counts(rows, counts.ids, counts.classes))
        return StepTables(scores=read_scores(rows, counts.ids, counts.classes))
    except TableError as error:
        folder = store.folder(job.digest)
        place = str(folder / "records" / f"{name}.csv")
        fix = fix_for(folder)
        raise StoreError("damaged file in the store", place=place, cause=str(error), fix=fix) from error
