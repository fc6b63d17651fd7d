"""What a finished store, of any study, tells of the spread between models on its datasets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping
from dataclasses import dataclass

from bench_core.analysis.evidence import Finished
from bench_core.analysis.inference.compare import Settings, judge
from bench_core.analysis.inference.detection import Detection, detection
from bench_core.analysis.inference.field import field_of_folds
from bench_core.analysis.inference.power import Aim
from bench_core.analysis.quantity import pooled
from bench_core.declarations import Metric
from bench_core.errors import BenchError
from bench_core.plan.job import Job, Train
from bench_core.store.store import Store

_RESAMPLES = 200
"""Only the jackknife is asked for here."""


@dataclass(frozen=True)
class Pilot:
    """A dataset of the store."""

    found: Detection
    models: tuple[str, ...]
    tested: float
    """Share of its folds that are tested."""


def read_pilots(store: Store, metric: Metric) -> tuple[Mapping[str, Pilot], int]:
    """Return what is measured by name of the dataset, and how many results could not be read.

    Compared are models that were trained by the shared protocol under settings of their own each, and tested
    on the same folds; of several such sets on one dataset that of most results is taken.
    """
    sets: dict[str, dict[Hashable, dict[str, list[Finished]]]] = {}
    damaged = 0
    for digest, state in sorted(store.states().items()):
        if state != "done":
            continue
        try:
            job = store.job(digest)
            if job.stage != "evaluate" or not isinstance(job.work, Train):
                continue
            done = Finished(job, store.result(digest), store)
            _ = done.counts
        except BenchError:
            damaged += 1
            continue
        alike = (done.result.data.fingerprint, job.fold.count, job.fold.layout, repr(job.pixels), job.seed)
        models = sets.setdefault(job.dataset.name, {}).setdefault(alike, {})
        models.setdefault(_model(job), []).append(done)
    found = {}
    for name, candidates in sets.items():
        largest = max(candidates.values(), key=lambda models: sum(map(len, models.values())))
        pilot = _pilot(name, largest, metric)
        if pilot is not None:
            found[name] = pilot
    return found, damaged


def _model(job: Job) -> str:
    """Return what tells networks under their settings apart, the label first."""
    assert isinstance(job.work, Train)
    training, label = job.work.training.model_dump_json(), job.model.label
    return f"{label} {sorted(job.model.options.items())} {job.scoring!r} {training}"


def _pilot(name: str, models: Mapping[str, list[Finished]], metric: Metric) -> Pilot | None:
    ordered = {key: sorted(folds, key=lambda fold: fold.index) for key, folds in models.items()}
    counted = Counter(tuple(fold.index for fold in folds) for folds in ordered.values())
    held = [(len(folds), number, folds) for folds, number in counted.items() if number > 1]
    if not held:
        return None
    shared = max(held)[2]
    used = {key: folds for key, folds in ordered.items() if tuple(fold.index for fold in folds) == shared}
    field = field_of_folds(name, pooled(metric), used, dict.fromkeys(used, ""))
    if field is None:
        return None
    judged = judge(field, "pooled", Settings(samples=_RESAMPLES))
    found = detection(field, judged, Aim(len(judged.pairs))) if judged is not None else None
    if found is None:
        return None
    jobs = used[next(iter(field.models))]
    tested = {fold for done in jobs for fold in done.job.fold.test}
    labels = tuple(dict.fromkeys(used[key][0].job.model.label for key in field.models))
    return Pilot(found, labels, len(tested) / jobs[0].job.fold.count)
