"""One network under two runners: what the framework itself does to the numbers."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np

from bench_core.analysis.evidence import Evidence, Finished
from bench_core.plan.identity import canonical
from bench_core.plan.job import Job


@dataclass(frozen=True)
class Twins:
    """Two entries of a spec that differ in their runner alone, and the folds that both have finished."""

    model: str
    reference: str
    """The one that the spec lists first."""
    runner: str
    reference_runner: str
    folds: int
    """Pairs of finished folds, all datasets together."""
    same: int
    """Those of them with equal rates, losses, validation metrics, tested epochs and pixel counts."""


def twins(evidence: Evidence) -> tuple[Twins, ...]:
    """Return every such pair, each network's first entry against its others, in the order of the spec."""
    first: dict[str, Job] = {}
    found = []
    for facts in evidence.models:
        jobs = [
            job for (model, _), cell in evidence.cells.items() if model == facts.label for job in cell.planned
        ]
        if not jobs:
            continue
        reference = first.setdefault(_network(jobs[0]), jobs[0]).model
        if reference.runner == facts.runner:
            continue
        pairs = [
            (mine, theirs)
            for data in evidence.datasets
            for mine in evidence.cell(facts.label, data.label).folds
            for theirs in evidence.cell(reference.label, data.label).folds
            if mine.index == theirs.index
        ]
        same = sum(_same(mine, theirs) for mine, theirs in pairs)
        found.append(Twins(facts.label, reference.label, facts.runner, reference.runner, len(pairs), same))
    return tuple(found)


def _network(job: Job) -> str:
    """Return everything that makes the network and its training, but the runner, the dataset and labels."""
    model = job.model
    changes = [(item.setting, item.value) for item in model.deviations]
    parts = [model.name, model.version, model.pretrained, model.content, dict(model.options), changes]
    return json.dumps(canonical(parts), sort_keys=True)


def _same(mine: Finished, theirs: Finished) -> bool:
    return (
        mine.counts.ids == theirs.counts.ids
        and np.array_equal(mine.counts.values, theirs.counts.values)
        and _history(mine) == _history(theirs)
    )


def _history(fold: Finished) -> list[tuple[str, ...]]:
    training = fold.training
    if training is None:
        return []
    # As text, in which undefined numbers are equal, too.
    return [
        (repr(record.learning_rate), repr(record.loss), repr(sorted(record.validation.items())))
        for record in training.history
    ] + [(repr(training.chosen_epoch),)]
