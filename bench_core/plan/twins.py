"""Entries that differ in nothing that affects numbers, found by the digests of their jobs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Literal

from bench_core.plan.identity import Memo, digest_of
from bench_core.plan.job import Job
from bench_core.plan.stages import EvaluateStage, StagePlanner, StepStage
from bench_core.plan.training import Cell
from bench_core.spec.model import DatasetEntry, ModelEntry, StepEntry
from bench_core.spec.nodes import Loc
from bench_core.spec.rules import Breach
from bench_core.spec.rules.labels import label_of

Kind = Literal["models", "datasets", "steps"]
Spot = tuple[int, int, int]
"""Index of a model, a dataset and a step in their lists; step -1 is the stage evaluate."""
_MOST_NAMED = 3
"""Labels that a message lists."""


class Twins:
    """Takes cells one by one, and yields which entries are the same experiment."""

    def __init__(
        self,
        models: Mapping[int, ModelEntry],
        datasets: Mapping[int, DatasetEntry],
        steps: Mapping[int, StepEntry],
    ) -> None:
        self._entries: Mapping[Kind, Mapping[int, ModelEntry | DatasetEntry | StepEntry]] = {
            "models": models,
            "datasets": datasets,
            "steps": steps,
        }
        self._memo: Memo = {}
        self._first: dict[str, Spot] = {}
        self._cells: Counter[tuple[Kind, int]] = Counter()
        """Cells of each model and dataset."""
        self._row = -1
        self._found: dict[tuple[Kind, int, int], list[str]] = {}
        """List, later and earlier entry, and where they meet: labels of models or datasets."""
        self._crossed: list[tuple[Spot, Spot]] = []
        """Cells that are the same though neither their models nor their datasets are."""

    def add(
        self,
        model: int,
        dataset: int,
        cell: Cell,
        evaluate: EvaluateStage,
        steps: Mapping[int, Sequence[StepStage]],
    ) -> None:
        """Look at the first job of each stage of a cell that says something of its own."""
        if model != self._row:
            # What is hashed once is held: a model's jobs share the most.
            self._row, self._memo = model, {}
        self._cells.update((("models", model), ("datasets", dataset)))
        earlier: dict[str, list[Job]] = {}
        planned: list[tuple[int, StagePlanner]] = [(-1, evaluate)]
        planned += [(index, part) for index, parts in steps.items() for part in parts]
        for step, stage in planned:
            job = next(iter(stage.jobs(cell, earlier)), None)
            if job is None:
                continue
            digest = digest_of(job, self._memo)
            earlier[stage.stage] = [replace(job, digest=digest)]
            spot = (model, dataset, step)
            first = self._first.setdefault(digest, spot)
            if first is spot:
                continue
            if step >= 0:
                self._found.setdefault(("steps", step, first[2]), [])
                continue
            self._meet(spot, first)
            return  # What follows from the same jobs is the same.

    def breaches(self) -> Iterator[Breach]:
        """Yield each pair of entries that are the same, once."""
        for (kind, later, first), labels in self._found.items():
            yield self._breach(kind, later, first, labels)
        for spot, first_spot in self._crossed:
            same = ("models", spot[0], first_spot[0]), ("datasets", spot[1], first_spot[1])
            if not any(pair in self._found for pair in same):
                where = [self._label("datasets", column) for column in (spot[1], first_spot[1])]
                yield self._breach("models", spot[0], first_spot[0], where)

    def _meet(self, spot: Spot, first: Spot) -> None:
        if spot[1] == first[1]:
            label = self._label("datasets", spot[1])
            self._found.setdefault(("models", spot[0], first[0]), []).append(label)
        elif spot[0] == first[0]:
            label = self._label("models", spot[0])
            self._found.setdefault(("datasets", spot[1], first[1]), []).append(label)
        else:
            self._crossed.append((spot, first))

    def _breach(self, kind: Kind, later: int, first: int, met: Sequence[str]) -> Breach:
        loc: Loc = (kind, later)
        where = ""
        if met and len(met) < self._cells[kind, later]:
            more = [f"{len(met) - _MOST_NAMED} more"] if len(met) > _MOST_NAMED else []
            where = f" on {', '.join([*met[:_MOST_NAMED], *more])}"
        return Breach(
            "duplicate",
            loc,
            f"{self._label(kind, later)!r} is the same experiment as {self._label(kind, first)!r}{where}",
            cause="they differ in nothing that changes numbers (labels, roots and weights paths do not)",
            fix="remove one of the two, or give them different options"
            + (", or exclude one of them there" if where else ""),
        )

    def _label(self, kind: Kind, index: int) -> str:
        return label_of(self._entries[kind][index])
