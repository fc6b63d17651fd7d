"""Did a network learn at all, and what is unusual about its data? Warnings that finished jobs give."""

from __future__ import annotations

import math
from collections.abc import Iterable

from bench_core.analysis.evidence import Evidence
from bench_core.plan.job import Job
from bench_core.records import Counts, TrainingRecord
from bench_core.store.result import Result


def not_learned(job: Job, result: Result, counts: Counts | None = None) -> tuple[str, ...]:
    """Return the signs that a network learned nothing: what it scored in validation, what it predicted.

    Without `counts` only the training is looked at.
    """
    found: list[str] = []
    if result.training is not None and result.training.history:
        found += _monitored(result.training)
    if counts is not None and len(counts.ids):
        found += _constant(job, counts)
    return tuple(found)


def _monitored(training: TrainingRecord) -> Iterable[str]:
    values = [record.validation.get(training.monitor, math.nan) for record in training.history]
    number = len(values)
    epochs = "its only epoch" if number == 1 else f"all {number} epochs"
    if all(math.isnan(value) for value in values):
        yield f"validation {training.monitor} is undefined in {epochs}"
    elif all(math.isnan(value) or value == 0 for value in values):
        yield f"validation {training.monitor} is 0 in {epochs}"


def _constant(job: Job, counts: Counts) -> Iterable[str]:
    """Say whether every pixel of every image got the same class, which TP + FP of each class tells."""
    painted = counts.values[..., 0] + counts.values[..., 1]
    number = len(counts.ids)
    images = "the only test image" if number == 1 else f"all {number} test images"
    if not painted.any():
        yield f"it predicts background alone on {images}"
    elif job.pixels.padding == "background":
        # Ignored padding is not counted, so that a whole image has fewer pixels than the grid.
        for index, name in enumerate(counts.classes):
            if (painted[:, index] == job.pixels.image_size**2).all():
                yield f"it predicts {name} alone on {images}"


def unlearned(evidence: Evidence) -> tuple[str, ...]:
    """Return the signs of all finished jobs that trained or tested a network, after the jobs' names."""
    found = [
        (fold.job, text)
        for fold in evidence.folds
        for text in not_learned(fold.job, fold.result, fold.counts)
    ]
    found += [
        (trial.job, text)
        for cell in evidence.cells.values()
        for trial in cell.trials
        for text in not_learned(trial.job, trial.result)
    ]
    return tuple(f"{job.name}: {text}" for job, text in found)


def data_warnings(evidence: Evidence) -> tuple[str, ...]:
    """Return what the finished jobs were told of their data, once for each dataset."""
    found = ((done.job.dataset.label, text) for done in evidence.done for text in done.result.data.warnings)
    return tuple(f"{_title(evidence, label)}: {text}" for label, text in dict.fromkeys(found))


def _title(evidence: Evidence, label: str) -> str:
    """Return a dataset's title; a step's own dataset has its label alone."""
    return next((item.title for item in evidence.datasets if item.label == label), label)
