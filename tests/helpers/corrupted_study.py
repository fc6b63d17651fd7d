"""A study whose step `corruption` was written straight into the store, with planted losses."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
from PIL import Image

from bench_core.metrics.corrupted import Condition, corruption_rows, corruption_values
from bench_core.plan.job import Apply, Job
from bench_core.records import Counts
from bench_core.store.result import Result
from tests.helpers.fake_study import Study, fake_counts, write_study

STEP = "{name: corruption, of: [moles, polyps], options: {kinds: [gaussian-noise, bubbles]}}"
LOST = {"broad": 0.05, "wide": 0.03, "ring": 0.004}
"""By model, for each step of severity under noise: the leaders lose most."""

Loss = Callable[[Job, Condition], float]


def planted(job: Job, condition: Condition) -> float:
    """Return the share of hits that a model loses under a condition; bubbles cost nothing."""
    kind, severity = condition
    return LOST[job.model.name] * severity if kind == "gaussian-noise" else 0.0


def conditions_of(job: Job) -> tuple[Condition, ...]:
    assert isinstance(job.work, Apply)
    kinds, severities = job.work.options["kinds"], job.work.options["severities"]
    return (("clean", 0), *((kind["name"], severity) for kind in kinds for severity in severities))


def corrupted_counts(counts: Counts, job: Job, loss: Loss) -> np.ndarray:
    """Return counts [X, N, K, 3]: hits become misses, what is added stays."""
    tables = []
    for condition in conditions_of(job):
        hits = np.round(counts.values[..., 0] * (1 - loss(job, condition))).astype(np.int64)
        size = counts.values[..., 0] + counts.values[..., 2]
        tables.append(np.stack([hits, counts.values[..., 1], size - hits], axis=-1))
    return np.stack(tables)


def write_corrupted(
    folder: Path,
    steps: str = f"[{STEP}]",
    loss: Loss = planted,
    keep: Callable[[Job], bool] = lambda job: True,
    datasets: Collection[str] = ("moles", "polyps"),
) -> Study:
    """Write the evaluate jobs on these datasets, and those of the step on them that are to `keep`."""
    study = write_study(
        folder,
        keep=lambda job: job.stage == "evaluate" and job.dataset.name in datasets,
        more=f"steps: {steps}\n",
    )
    by_digest = study.plan.by_digest
    with mock.patch("os.fsync"):
        for job in study.plan.jobs:
            if isinstance(job.work, Apply) and job.dataset.name in datasets and keep(job):
                _write(study, job, by_digest[job.needs[0].digest], loss)
    return study


def _write(study: Study, job: Job, source: Job, loss: Loss) -> None:
    counts = fake_counts(source)
    names, values = conditions_of(job), corrupted_counts(counts, job, loss)
    folder = study.store.prepare(job)
    _table(
        folder / "records" / "corruption-counts.csv",
        corruption_rows(names, counts.ids, counts.classes, values),
    )
    shown = ({"kind": kind, "severity": severity, "image": counts.ids[0]} for kind, severity in names)
    _table(folder / "records" / "corruption-examples.csv", shown)
    (folder / "artifacts").mkdir(exist_ok=True)
    tone = np.repeat(np.arange(len(names), dtype=np.uint8)[:, None] * 20 + 40, 24, axis=0)
    picture = np.broadcast_to(tone[:, :, None], (len(tone), 24, 3))
    Image.fromarray(np.ascontiguousarray(picture)).save(folder / "artifacts" / "examples.jpg", quality=95)
    evaluated = study.store.result(source.digest)
    artifacts = ("records/corruption-counts.csv", "records/corruption-examples.csv", "artifacts/examples.jpg")
    result = replace(
        evaluated,
        digest=job.digest,
        training=None,
        network=None,
        files={},
        values=corruption_values(names, values),
        artifacts=artifacts,
    )
    assert isinstance(result, Result)
    study.store.complete(job.digest, result)
    study.store.seal(job.digest)


def _table(path: Path, rows: object) -> None:
    path.parent.mkdir(exist_ok=True)
    listed = list(rows)  # type: ignore[call-overload]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(listed[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(listed)
    path.write_text(text.getvalue())
