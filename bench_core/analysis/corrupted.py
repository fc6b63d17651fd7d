"""Networks under corruptions of imaging, as steps left them: who was tested under which conditions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from bench_core.analysis.evidence import Evidence, Finished
from bench_core.analysis.measured import Corrupted
from bench_core.metrics.corrupted import Condition
from bench_core.records import Counts


@dataclass(frozen=True, eq=False)
class CorruptedFold:
    """One fold of a model: its images with their groups, and what was counted under each condition."""

    clean: Counts
    """Of the evaluate job, with ids and groups."""
    corrupted: Corrupted


@dataclass(frozen=True, eq=False)
class CorruptionSet:
    """The models of one dataset under the corruptions of one step."""

    step: str
    """Label of the step."""
    dataset: str
    """Label of the dataset."""
    conditions: tuple[Condition, ...]
    """Kinds with severities; the first is the clean images."""
    models: Mapping[str, Mapping[int, CorruptedFold]]
    """Model label to its finished folds, by fold; in the spec's order."""
    planned: Mapping[str, int]
    """Model label to the number of its jobs; without those of which nothing is planned."""
    example: Finished
    """The first finished job, which holds pictures of an image under each condition."""

    @property
    def whole(self) -> tuple[str, ...]:
        """The models whose jobs are all done."""
        return tuple(label for label, folds in self.models.items() if len(folds) == self.planned[label])


def corruption_sets(evidence: Evidence) -> tuple[CorruptionSet, ...]:
    """Return what is there of each step that leaves counts under corruptions, on each dataset."""
    return tuple(_sets(evidence))


def _sets(evidence: Evidence) -> Iterator[CorruptionSet]:
    jobs_of = Counter((job.stage, *job.cell) for job in evidence.plan.jobs)
    for step in evidence.plan.stages:
        if step in ("search", "evaluate"):
            continue
        for data in evidence.datasets:
            planned = {
                model.label: number
                for model in evidence.models
                if (number := jobs_of[step, model.label, data.label])
            }
            found = {label: _folds(evidence, step, label, data.label) for label in planned}
            done = [pair for folds in found.values() for pair in folds.values()]
            if not done:
                continue
            first, example = done[0]
            conditions = first.corrupted.conditions
            models = {
                label: {
                    index: fold
                    for index, (fold, _) in folds.items()
                    if fold.corrupted.conditions == conditions
                }
                for label, folds in found.items()
            }
            models = {label: folds for label, folds in models.items() if folds}
            yield CorruptionSet(step, data.label, conditions, models, planned, example)


def _folds(
    evidence: Evidence, step: str, model: str, dataset: str
) -> dict[int, tuple[CorruptedFold, Finished]]:
    """Return the folds of which both the step and the evaluate job are there, with the step's job."""
    tested = {fold.job.digest: fold for fold in evidence.finished("evaluate", model, dataset)}
    found = {}
    for done in evidence.finished(step, model, dataset):
        fold = next((tested[need.digest] for need in done.job.needs if need.digest in tested), None)
        if fold is not None and done.tables.corrupted is not None:
            found[done.index] = CorruptedFold(fold.counts, done.tables.corrupted), done
    return found
