"""What a store holds of a spec, for notebooks and scripts: `bench_core.open_study`."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bench_core.analysis.evidence import Evidence, Finished
from bench_core.analysis.gather import gather
from bench_core.analysis.quantities import quantities, quantity
from bench_core.declarations import Task
from bench_core.errors import StoreError
from bench_core.plan.expand import Plan
from bench_core.plan.load import load_plan
from bench_core.plugins.registry import Registry, unknown
from bench_core.report.compose import compose
from bench_core.report.delimited import plain_rows
from bench_core.report.tables import Table, Value
from bench_core.samples import Samples
from bench_core.store.store import Store

if TYPE_CHECKING:
    from torch import nn

Rows = list[dict[str, Value]]
"""A table: one dict per row, with the same keys in each. What does not exist is None."""
LabelMaps = dict[str, NDArray[np.uint8]]
"""Image id to its label map [S, S], class index, 0 = background."""


@dataclass(frozen=True)
class StudyResults:
    """The finished jobs of a spec; every method reads what it is asked for and changes nothing.

    Models and datasets are named by their labels in the spec. Methods raise UnknownNameError for a name that
    the study does not have, StoreError for a job that is not finished or whose files are damaged.
    """

    plan: Plan
    registry: Registry
    store: Store
    evidence: Evidence
    """All that the parts of a report read."""

    @property
    def name(self) -> str:
        """The spec's name."""
        return self.plan.name

    @property
    def models(self) -> tuple[str, ...]:
        """Labels of the models, in the spec's order."""
        return self.plan.models

    @property
    def datasets(self) -> tuple[str, ...]:
        """Labels of the datasets, in the spec's order."""
        return self.plan.datasets

    @property
    def complete(self) -> bool:
        """True when every planned job is finished."""
        return self.evidence.complete

    def jobs(self) -> Rows:
        """Return one row per planned job: what it is, its digest, its state, its wall time in seconds."""
        gaps = {gap.job.digest: gap.state for gap in self.evidence.gaps}
        seconds = {done.job.digest: done.result.seconds for done in self.evidence.done}
        return [
            {
                "name": job.name,
                "stage": job.stage,
                "model": job.model.label,
                "dataset": job.dataset.label,
                "fold": job.fold.index,
                "repeat": job.repeat,
                "state": str(gaps.get(job.digest, "done")),
                "digest": job.digest,
                "seconds": seconds.get(job.digest),
            }
            for job in self.plan.jobs
        ]

    @cached_property
    def _tables(self) -> dict[str, Table]:
        return {table.name: table for table in compose(self.evidence, self.registry).tables}

    @property
    def tables(self) -> tuple[str, ...]:
        """Names of the tables of the study's report."""
        return tuple(self._tables)

    def table(self, name: str) -> Rows:
        """Return a table of the report, with the columns of its CSV."""
        if name not in self._tables:
            raise unknown("table", name, self._tables)
        return plain_rows(self._tables[name])

    def scores(self, metric: str = "mdsc") -> Rows:
        """Return one row per finished fold: its number in the metric, None where it is undefined.

        The number is the one that tables have the mean of: a fraction, or a length in mm or pixels.
        """
        found = quantity(self.evidence, metric)
        return [
            self._place(fold) | {"value": None if np.isnan(value := found.of_fold(fold)) else float(value)}
            for fold in self.evidence.folds
        ]

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics that `scores` knows."""
        return tuple(quantities(self.evidence))

    def finished(self, model: str, dataset: str, stage: str = "evaluate") -> tuple[Finished, ...]:
        """Return the finished jobs of a model on a dataset; `stage` is search, evaluate or a step's label."""
        for kind, name, known in (
            ("model", model, self.models),
            ("dataset", dataset, self.datasets),
            ("stage", stage, self.plan.stages),
        ):
            if name not in known:
                raise unknown(kind, name, known)
        return self.evidence.finished(stage, model, dataset)

    def job(
        self, model: str, dataset: str, fold: int = 0, repeat: int = 0, stage: str = "evaluate"
    ) -> Finished:
        """Return one finished job: its settings, its result, its counts, records and artifacts."""
        for done in self.finished(model, dataset, stage):
            if (done.job.fold.index, done.job.repeat) == (fold, repeat):
                return done
        where = f"{stage}/{model}/{dataset}/fold-{fold}" + (f"/repeat-{repeat}" if repeat else "")
        raise StoreError(
            f"{where} is not finished",
            place=str(self.store.path),
            fix=f"bench run {self.evidence.command} --store {shlex.quote(str(self.store.path))}",
        )

    def task(self, dataset: str) -> Task:
        """Return the classes and image channels of a dataset."""
        for job in self.plan.jobs:
            if job.dataset.label == dataset:
                return job.dataset.task
        raise unknown("dataset", dataset, self.datasets)

    def counts(self, model: str, dataset: str, stage: str = "evaluate") -> Rows:
        """Return one row per tested image and class: true positives, false positives, false negatives."""
        rows: Rows = []
        for done in self.finished(model, dataset, stage):
            if done.result.files.get("counts.csv") is None:
                continue
            counts, place = done.counts, self._place(done)
            for sample, group, values in zip(counts.ids, counts.groups, counts.values, strict=True):
                for name, (tp, fp, fn) in zip(counts.classes, values.tolist(), strict=True):
                    rows.append(
                        place | {"id": sample, "group": group, "class": name, "tp": tp, "fp": fp, "fn": fn}
                    )
        return rows

    def predictions(
        self, model: str, dataset: str, fold: int | None = None, repeat: int = 0, stage: str = "evaluate"
    ) -> LabelMaps:
        """Return the label maps of the tested images, by id; without `fold` those of all finished folds.

        Under cross-validation no image is tested in two folds of one repeat.
        """
        if fold is not None:
            chosen: Sequence[Finished] = [self.job(model, dataset, fold, repeat, stage)]
        else:
            chosen = [done for done in self.finished(model, dataset, stage) if done.job.repeat == repeat]
        found: LabelMaps = {}
        for done in chosen:
            kept = done.predictions()
            found |= dict(zip(kept.ids, kept.labels, strict=True))
        return found

    def network(self, model: str, dataset: str, fold: int = 0, repeat: int = 0) -> nn.Module:
        """Return the network of a finished fold with its tested weights, in evaluation mode on the CPU.

        It takes images as the fold's protocol normalizes them. Imports the model's framework; raises
        WeightsError where the weights do not fit the model's code.
        """
        from bench_core.execute.sources import tested_network

        return tested_network(self.job(model, dataset, fold, repeat).job, self.store, self.registry)

    def samples(self, dataset: str) -> Samples:
        """Return what is kept of a dataset's samples: ids, groups, original sizes, attributes, folds."""
        return self.evidence.samples(dataset)

    def attributes(self, dataset: str) -> Rows:
        """Return one row per sample: id, group, original height and width in pixels, and its attributes.

        Automatic ones (auto:size and so on) are of the grid that models are tested on.
        """
        found, columns = self.samples(dataset), self.evidence.attributes(dataset)
        return [
            {
                "id": sample,
                "group": found.groups[row],
                "height": int(found.sizes[row, 0]),
                "width": int(found.sizes[row, 1]),
                **{name: column[row] for name, column in columns.items()},
            }
            for row, sample in enumerate(found.ids)
        ]

    def records(self, name: str, model: str, dataset: str, stage: str) -> list[dict[str, str | int]]:
        """Return the rows of a table that the jobs of a step left, with the fold and repeat of each."""
        return [
            {"fold": done.job.fold.index, "repeat": done.job.repeat, **row}
            for done in self.finished(model, dataset, stage)
            for row in done.records(name)
        ]

    @staticmethod
    def _place(done: Finished) -> dict[str, Value]:
        model, dataset = done.job.cell
        return {"model": model, "dataset": dataset, "fold": done.job.fold.index, "repeat": done.job.repeat}


def opened(spec: Path, store: Path, overrides: Sequence[str] = ()) -> StudyResults:
    """Return what a store holds of a spec; see `bench_core.open_study`."""
    loaded, plan = load_plan(spec, tuple(overrides))
    command = shlex.join([str(spec), *(word for item in overrides for word in ("--set", item))])
    held = Store(store)
    evidence = gather(loaded.spec, plan, loaded.registry, held, command, loaded.base)
    return StudyResults(plan, loaded.registry, held, evidence)
