"""Two plans side by side: the jobs that they share, those that only one has, and why."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench_core.plan.expand import Plan
from bench_core.plan.identity import identity_of
from bench_core.plan.job import Job
from bench_core.plan.renames import counterparts, renames

Cell = tuple[str, str]


@dataclass(frozen=True)
class FieldChange:
    """One field of a job's identity that two plans give differently."""

    field: str
    """Dotted, for example training.batch_size."""
    left: Any
    right: Any


@dataclass(frozen=True)
class CellDiff:
    """One model on one dataset (labels) in two plans."""

    model: str
    dataset: str
    shared: int
    """Jobs that both plans have: one result serves both."""
    changed: int
    """Jobs in the same place (stage, fold, learning rate) of both plans with different identities."""
    only_left: int
    only_right: int
    changes: tuple[FieldChange, ...]
    """Why jobs changed: of each stage, where the first changed job differs. `needs` (other search jobs) is
    listed only where it is the whole reason."""
    reasons: tuple[str, ...]
    """Why jobs are in one plan alone."""
    right_model: str = ""
    """The model's label in the right plan; empty where the cell is in the left plan alone."""
    right_dataset: str = ""
    notes: tuple[str, ...] = ()
    """What is called otherwise in the right plan, and whether that counts."""


@dataclass(frozen=True)
class PlanDiff:
    """The left plan against the right one."""

    left: str
    right: str
    shared: int
    only_left: int
    """Jobs of the left plan that the right one does not have, changed ones included."""
    only_right: int
    cells: tuple[CellDiff, ...]
    """Every cell that either plan has, in the left plan's order, then the right's."""


def compare(left: Plan, right: Plan, names: tuple[str, str] | None = None) -> PlanDiff:
    """Return what two plans share and why they differ elsewhere.

    `names` are what the two are called in it, by default the plans' own names.
    """
    names = names or (left.name, right.name)
    shared = left.by_digest.keys() & right.by_digest.keys()
    sides = (_by_cell(left), _by_cell(right))
    there = counterparts(*sides)
    met = set(there.values())
    cells: list[tuple[Cell | None, Cell | None]] = [(cell, there.get(cell)) for cell in sides[0]]
    cells += [(None, cell) for cell in sides[1] if cell not in met]
    return PlanDiff(
        left=names[0],
        right=names[1],
        shared=len(shared),
        only_left=len(left.jobs) - len(shared),
        only_right=len(right.jobs) - len(shared),
        cells=tuple(_compare_cell(pair, (left, right), names, sides) for pair in cells),
    )


def _by_cell(plan: Plan) -> dict[Cell, list[Job]]:
    cells: dict[Cell, list[Job]] = {}
    for job in plan.jobs:
        cells.setdefault(job.cell, []).append(job)
    return cells


def _compare_cell(
    pair: tuple[Cell | None, Cell | None],
    plans: tuple[Plan, Plan],
    names: tuple[str, str],
    sides: tuple[Mapping[Cell, list[Job]], Mapping[Cell, list[Job]]],
) -> CellDiff:
    here, there = (side.get(cell, []) if cell else [] for side, cell in zip(sides, pair, strict=True))
    cell = pair[0] or pair[1] or ("", "")
    digests = {job.digest for job in here} & {job.digest for job in there}
    rest_here = {_place(job): job for job in here if job.digest not in digests}
    rest_there = {_place(job): job for job in there if job.digest not in digests}
    pairs = [(job, rest_there[place]) for place, job in rest_here.items() if place in rest_there]
    alone_here = [job for place, job in rest_here.items() if place not in rest_there]
    alone_there = [job for place, job in rest_there.items() if place not in rest_here]
    return CellDiff(
        model=cell[0],
        dataset=cell[1],
        shared=len(digests),
        changed=len(pairs),
        only_left=len(alone_here),
        only_right=len(alone_there),
        changes=changes_of(pairs),
        reasons=(
            *_reasons(alone_here, there, cell, plans[1], names[1]),
            *_reasons(alone_there, here, cell, plans[0], names[0]),
        ),
        right_model=pair[1][0] if pair[1] else "",
        right_dataset=pair[1][1] if pair[1] else "",
        notes=renames(here, there, names[1]) if pair[0] and pair[1] else (),
    )


def _place(job: Job) -> tuple[str, int, int, float | None]:
    return (job.stage, job.fold.index, job.repeat, job.learning_rate if job.stage == "search" else None)


def changes_of(pairs: Sequence[tuple[Job, Job]]) -> tuple[FieldChange, ...]:
    """Return where jobs of one cell differ from their counterparts in what counts for identity."""
    # Within a cell and stage, jobs differ from their counterparts in the same way: ask one pair of each.
    first = {left.stage: (left, right) for left, right in reversed(pairs)}
    found: dict[str, FieldChange] = {}
    for left, right in (first[stage] for stage in sorted(first, reverse=True)):
        before, after = _values(left), _values(right)
        for key in sorted({*before, *after}):
            if before.get(key) != after.get(key):
                change = FieldChange(key, before.get(key), after.get(key))
                found.setdefault(json.dumps([key, change.left, change.right], sort_keys=True), change)
    # A search job that changed changes every job that needs it: that is not a reason of its own.
    own = tuple(change for change in found.values() if change.field != "needs")
    return own or tuple(found.values())


def _values(job: Job) -> dict[str, Any]:
    """Return what counts for identity by dotted name, defaults included."""
    data = identity_of(job, complete=True)
    return _flat({key: value for key, value in data.items() if key != "work"} | data["work"])


def _flat(data: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in data.items():
        if isinstance(value, Mapping) and value:
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def _reasons(alone: list[Job], others: list[Job], cell: Cell, other: Plan, name: str) -> tuple[str, ...]:
    if not alone:
        return ()
    if others:
        return tuple(dict.fromkeys(f"{name} has no {_missing(job, others)}" for job in alone))
    model, dataset = cell
    for excluded in other.excluded:
        if (excluded.model, excluded.dataset) == cell:
            return (f"{name} excludes it: {excluded.because}",)
    if model not in other.models:
        return (f"{name} has no model {model}",)
    return (f"{name} has no dataset {dataset}",)


def _missing(job: Job, others: list[Job]) -> str:
    stage = [other for other in others if other.stage == job.stage]
    if not stage:
        return f"{job.stage} stage"
    if job.fold.index not in {other.fold.index for other in stage}:
        return f"{job.stage} fold {job.fold.index}"
    return f"learning rate {job.learning_rate!r} in its {job.stage}"
