"""Cells of two plans that are the same model on the same dataset under other labels."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from bench_core.plan.identity import identity_of
from bench_core.plan.job import Job

Cell = tuple[str, str]


def counterparts(left: Mapping[Cell, Sequence[Job]], right: Mapping[Cell, Sequence[Job]]) -> dict[Cell, Cell]:
    """Return for cells of the left plan (labels to jobs) the cells of the right one that are the same.

    Equal jobs come first, then labels, then equal models and datasets whose settings differ.
    """
    found: dict[Cell, Cell] = {}
    taken: set[Cell] = set()
    digests = {job.digest: cell for cell, jobs in right.items() for job in jobs}
    for cell, jobs in left.items():
        same = next((digests[job.digest] for job in jobs if job.digest in digests), None)
        if same is not None and same not in taken:
            found[cell] = same
            taken.add(same)
    for cell in left:
        if cell not in found and cell in right and cell not in taken:
            found[cell] = cell
            taken.add(cell)
    alike: dict[str, list[Cell]] = {}
    for cell, jobs in right.items():
        if cell not in taken:
            alike.setdefault(_content(jobs[0]), []).append(cell)
    for cell, jobs in left.items():
        others = alike.get(_content(jobs[0]), []) if cell not in found else []
        if others:
            found[cell] = others.pop(0)
    return found


def renames(here: Sequence[Job], there: Sequence[Job], name: str) -> tuple[str, ...]:
    """Return in words what the plan `name` calls otherwise in a cell that both plans have."""
    left, right = here[0], there[0]
    notes = []
    if left.model.label != right.model.label:
        notes.append(
            f"model {left.model.label} is called {right.model.label} in {name}: the label changes nothing"
        )
    if left.dataset.label != right.dataset.label:
        counts = (
            "its files are your own, so that its label counts"
            if left.dataset.content or right.dataset.content
            else "the label changes nothing"
        )
        notes.append(f"dataset {left.dataset.label} is called {right.dataset.label} in {name}: {counts}")
    return tuple(notes)


def _content(job: Job) -> str:
    """Return what makes a cell's model and dataset, without labels and without what tells own files apart."""
    data: dict[str, Any] = identity_of(job, complete=True)
    dataset = {key: value for key, value in data.get("dataset", {}).items() if key != "content"}
    return json.dumps([data.get("model"), dataset], sort_keys=True, default=str)
