"""Networks of one dataset on another, as steps `transfer` left them: who was scored on which images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from bench_core.analysis.evidence import DatasetFacts, Evidence, Finished
from bench_core.analysis.measured import Elsewhere, Transferred
from bench_core.plugins.quantities import ENSEMBLE, TRANSFER
from bench_core.spec.rules.labels import label_of


@dataclass(frozen=True, eq=False)
class TransferSet:
    """The models of one dataset on another one."""

    step: str
    """Label of the step."""
    source: str
    """Label of the dataset that they were trained on."""
    target: DatasetFacts
    classes: tuple[str, ...]
    """Those that are scored."""
    unscored: tuple[str, ...]
    """Classes of the target that no class of the networks stands for."""
    map: str
    """What becomes of what, in words; empty where the results do not say."""
    ids: tuple[str, ...]
    groups: tuple[str, ...]
    """Of the scored images."""
    left_out: Mapping[str, str]
    """Images that are not scored, and the training images that they are copies of."""
    fingerprint: str
    models: Mapping[str, Mapping[int, Transferred]]
    """Model label to what each of its finished folds left, by fold; in the spec's order."""
    planned: Mapping[str, int]
    """Model label to the number of its jobs; without those of which nothing is planned."""

    @property
    def whole(self) -> tuple[str, ...]:
        """The models whose jobs are all done."""
        return tuple(label for label, folds in self.models.items() if len(folds) == self.planned[label])


@dataclass(frozen=True, eq=False)
class VoteSet:
    """Votes of each model's folds on another dataset, beside what the folds score there one by one."""

    step: str
    source: str
    target: DatasetFacts
    views: str
    """What votes of an image, in words: as it is, horizontal."""
    votes: Mapping[str, tuple[tuple[int, Elsewhere], ...]]
    """Model label to its finished jobs, one per repeat: how many networks vote, and what they scored."""
    single: TransferSet | None
    """The same images and classes, network by network; None where no step `transfer` has them."""


def vote_sets(evidence: Evidence, singles: Sequence[TransferSet]) -> tuple[VoteSet, ...]:
    """Return what is there of each step `ensemble` and each dataset that networks were trained on."""
    facts = {item.label: item for item in evidence.elsewhere}
    found = []
    for step in evidence.spec.steps:
        if step.name != ENSEMBLE or step.dataset is None:
            continue
        label, target = label_of(step), facts[label_of(step.dataset)]
        for data in evidence.datasets:
            votes: dict[str, tuple[tuple[int, Elsewhere], ...]] = {}
            views = ""
            for model in evidence.models:
                jobs = [job for job in evidence.finished(label, model.label, data.label) if job.tables.voted]
                if jobs:
                    views = str(jobs[0].result.values.get("views", ""))
                    votes[model.label] = tuple(
                        (len(job.job.needs), job.tables.voted) for job in jobs if job.tables.voted
                    )
            if votes:
                first = next(iter(votes.values()))[0][1]
                same = (
                    item
                    for item in singles
                    if (item.source, item.target.label) == (data.label, target.label)
                    and (item.ids, item.groups, item.classes) == _scored(first)
                )
                found.append(VoteSet(label, data.label, target, views, votes, next(same, None)))
    return tuple(found)


def transfer_sets(evidence: Evidence) -> tuple[TransferSet, ...]:
    """Return what is there of each step `transfer` and each dataset that networks were trained on."""
    return tuple(_sets(evidence))


def _sets(evidence: Evidence) -> Iterator[TransferSet]:
    targets = {
        label_of(step): label_of(step.dataset)
        for step in evidence.spec.steps
        if step.name == TRANSFER and step.dataset is not None
    }
    facts = {item.label: item for item in evidence.elsewhere}
    jobs_of = Counter((job.stage, *job.cell) for job in evidence.plan.jobs)
    for step, target in targets.items():
        for data in evidence.datasets:
            planned = {
                model.label: number
                for model in evidence.models
                if (number := jobs_of[step, model.label, data.label])
            }
            found = {label: evidence.finished(step, label, data.label) for label in planned}
            first = next((item for jobs in found.values() for item in jobs), None)
            if first is None or first.tables.transferred is None:
                continue
            seen = first.tables.transferred
            yield TransferSet(
                step=step,
                source=data.label,
                target=facts[target],
                classes=seen.there.classes,
                unscored=seen.unscored,
                map=str(first.result.values.get("map", "")),
                ids=seen.there.ids,
                groups=seen.there.groups,
                left_out=seen.left_out,
                fingerprint=first.result.data.fingerprint,
                models={label: _folds(jobs, seen) for label, jobs in found.items() if jobs},
                planned=planned,
            )


def _folds(jobs: tuple[Finished, ...], first: Transferred) -> dict[int, Transferred]:
    """Return the folds that are scored on the images and classes of the first: all, but for damage."""
    found = {}
    for job in jobs:
        mine = job.tables.transferred
        if mine is not None and _scored(mine) == _scored(first):
            found[job.index] = mine
    return found


def _scored(found: Elsewhere) -> tuple[tuple[str, ...], ...]:
    return found.there.ids, found.there.groups, found.there.classes
