"""What a plan will be able to detect, from the spread that a finished store has or that somebody assumes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from bench_core.analysis.inference.pilot import Pilot
from bench_core.analysis.inference.power import (
    MARGIN,
    Aim,
    AssumedSpread,
    Folding,
    detectable,
    groups_needed,
)
from bench_core.plan.expand import Plan
from bench_core.plan.job import Job, Train


@dataclass(frozen=True)
class Size:
    """How many images a dataset has, and in how many groups they lie."""

    images: int
    groups: int | None = None
    """None where it is not known: each image counts as one then."""


@dataclass(frozen=True)
class Assumed:
    """What is taken for true before anything is measured."""

    spread: AssumedSpread = field(default_factory=AssumedSpread)
    margin: float = MARGIN / 100
    sizes: Mapping[str, Size] = field(default_factory=dict)
    """By dataset (label): more than its declaration or a store says."""
    declared: Mapping[str, int] = field(default_factory=dict)
    """Images by name of a dataset, as its plugin declares them."""


@dataclass(frozen=True)
class Foreseen:
    """One dataset of a plan, differences as fractions."""

    dataset: str
    models: int
    aim: Aim
    measured: Pilot | None
    """None where the spread is assumed."""
    spread: float
    """Standard deviation of one group's contribution to a difference."""
    per_group: float
    """Images of a group."""
    tested: Size | None
    """What the plan tests; None where the number of images is not known."""
    smallest: float | None
    """Detectable difference; None where it cannot be told, or so few groups prove nothing."""
    needed: int | None
    """Groups that detect the margin; None beyond ten million."""
    folding: Folding | None

    @property
    def images_needed(self) -> int | None:
        """Return how many images these groups have."""
        return None if self.needed is None else math.ceil(self.needed * self.per_group)


def foresee(plan: Plan, assumed: Assumed, pilots: Mapping[str, Pilot]) -> tuple[Foreseen, ...]:
    """Return what each dataset of a plan can show that has at least two models of the shared protocol."""
    jobs: dict[str, list[Job]] = {}
    for job in plan.jobs:
        if job.stage == "evaluate" and isinstance(job.work, Train):
            jobs.setdefault(job.dataset.label, []).append(job)
    found = []
    for label in plan.datasets:
        models = {job.model.label for job in jobs.get(label, ())}
        if len(models) > 1:
            found.append(_foreseen(label, jobs[label], len(models), assumed, pilots))
    return tuple(found)


def _foreseen(
    label: str, jobs: list[Job], models: int, assumed: Assumed, pilots: Mapping[str, Pilot]
) -> Foreseen:
    aim = Aim(models * (models - 1) // 2, assumed.margin)
    name, count = jobs[0].dataset.name, jobs[0].fold.count
    pilot = pilots.get(name)
    whole = assumed.sizes.get(label) or _known(name, assumed, pilot)
    share = len({fold for job in jobs for fold in job.fold.test}) / count
    tested = None if whole is None else _part(whole, share)
    per_group = 1.0
    if tested is not None and tested.groups:
        per_group = tested.images / tested.groups
    elif pilot is not None:
        per_group = pilot.found.images_per_group
    spread = pilot.found.spread if pilot is not None else assumed.spread.of_groups(per_group)
    evenness = pilot.found.evenness if pilot is not None else 1.0
    smallest = None
    if tested is not None:
        smallest = detectable(spread, max(1, round(tested.images / per_group)), aim, evenness)
    folding = pilot.found.folding if pilot is not None else None
    if folding is not None:
        repeats = len({job.repeat for job in jobs})
        folding = replace(folding, repeats=repeats)
    return Foreseen(
        dataset=label,
        models=models,
        aim=aim,
        measured=pilot,
        spread=spread,
        per_group=per_group,
        tested=tested,
        smallest=smallest,
        needed=groups_needed(spread, aim, evenness),
        folding=folding,
    )


def _known(name: str, assumed: Assumed, pilot: Pilot | None) -> Size | None:
    if pilot is not None:
        return _part(Size(pilot.found.images, pilot.found.groups), 1 / pilot.tested)
    images = assumed.declared.get(name)
    return Size(images) if images else None


def _part(size: Size, share: float) -> Size:
    groups = None if size.groups is None else max(1, round(size.groups * share))
    return Size(max(1, round(size.images * share)), groups)
