"""How alike maps of the same images are that the networks of a model's folds made, with intervals.

At home most of these networks trained on the image, and each number says of which pairs of networks it is. On
another dataset none did.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bench_core.analysis.evidence import Evidence, Finished
from bench_core.analysis.explained import measures
from bench_core.analysis.inference.cells import Measure
from bench_core.analysis.inference.compare import Settings
from bench_core.errors import BenchError
from bench_core.metrics.map_tables import FOLD_NUMBERS, TRAINED, MapKind, MapLayer, MapTable
from bench_core.plan.job import Apply
from bench_core.plugins.quantities import FOLD_MAPS, GRAD_CAM
from bench_core.seeds import derive_seed


@dataclass(frozen=True, eq=False)
class Compared:
    """The jobs of one step on one model and dataset, and what they compared."""

    jobs: tuple[Finished, ...]
    tables: tuple[MapTable, ...]
    planned: int

    @property
    def layers(self) -> dict[str, MapLayer]:
        """What is known of the layers, by name."""
        return {name: layer for job in self.jobs for name, layer in job.tables.map_layers.items()}


@dataclass(frozen=True, eq=False)
class FoldSet:
    """What one step left on the networks of one dataset."""

    step: str
    """Label of the step, with its part."""
    dataset: str
    elsewhere: str | None
    """Label of the dataset whose images are looked at, where it is another one."""
    models: Mapping[str, Compared]

    @property
    def images(self) -> int:
        """Different images, of any model."""
        tables = (table for found in self.models.values() for table in found.tables)
        return len({image for table in tables for image in table.images})

    def pairs(self) -> dict[str, int]:
        """Return how many pairs of networks and images there are by how many of the two trained on it."""
        found: dict[tuple[str, int, str, str], int] = {}
        for model, compared in self.models.items():
            for number, table in enumerate(compared.tables):
                for image, (trained, pairs) in zip(table.images, table.more, strict=True):
                    found[model, number, image, trained] = int(pairs)
        return {
            name: total
            for name in TRAINED
            if (total := sum(pairs for key, pairs in found.items() if key[-1] == name))
        }


@dataclass(frozen=True, eq=False)
class FoldNumbers:
    """Maps of one kind of one model, all classes together, by which networks are compared."""

    model: str
    kind: MapKind
    """Of no class."""
    trained: str
    """How many of two networks trained on the image: none, one or both."""
    images: int
    """Different images whose maps could be compared."""
    numbers: Mapping[str, Measure]
    """By the columns of the record: mean over images and classes."""


def fold_sets(evidence: Evidence) -> tuple[FoldSet, ...]:
    """Return what is there of each comparison over folds and each dataset."""
    found = []
    planned: dict[tuple[str, str, str], int] = {}
    there: dict[tuple[str, str], str] = {}
    for job in evidence.plan.jobs:
        if isinstance(job.work, Apply) and job.work.step in (GRAD_CAM, FOLD_MAPS):
            key = job.stage, *job.cell
            planned[key] = planned.get(key, 0) + 1
            if job.work.step == FOLD_MAPS:
                there[job.stage, job.work.source] = job.dataset.label
    for step in dict.fromkeys(stage for stage, _, _ in planned):
        for data in evidence.datasets:
            models = {}
            for model in evidence.models:
                jobs = evidence.finished(step, model.label, data.label)
                done = [(job, job.tables.fold_maps) for job in jobs if job.tables.fold_maps is not None]
                if done:
                    models[model.label] = Compared(
                        tuple(job for job, _ in done),
                        tuple(table for _, table in done if table is not None),
                        planned.get((step, model.label, data.label), len(done)),
                    )
            if models:
                found.append(FoldSet(step, data.label, there.get((step, data.label)), models))
    return tuple(found)


def fold_numbers(evidence: Evidence, found: FoldSet, settings: Settings) -> Iterator[FoldNumbers]:
    """Yield the numbers of every model and kind of map of a set; intervals are over groups of images."""
    seed = derive_seed("inference", FOLD_MAPS, found.dataset, found.step)
    groups = _groups(evidence, found)
    for label, compared in found.models.items():
        parts: dict[tuple[MapKind, str], list[tuple[MapTable, int]]] = {}
        for table in compared.tables:
            for row, (kind, (trained, _)) in enumerate(zip(table.kinds, table.more, strict=True)):
                parts.setdefault((replace(kind, of_class=""), trained), []).append((table, row))
        for (kind, trained), rows in parts.items():
            images = [table.images[row] for table, row in rows]
            columns = [np.array([table.values[name][row] for table, row in rows]) for name in FOLD_NUMBERS]
            known = ~np.isnan(columns[0])
            yield FoldNumbers(
                model=label,
                kind=kind,
                trained=trained,
                images=len({image for image, defined in zip(images, known, strict=True) if defined}),
                numbers=dict(
                    zip(
                        FOLD_NUMBERS,
                        measures(columns, _numbered(images, groups), settings, seed),
                        strict=True,
                    )
                ),
            )


def _groups(evidence: Evidence, found: FoldSet) -> Mapping[str, str]:
    """Return the group of each image, where the store says it."""
    try:
        samples = evidence.samples(found.elsewhere or found.dataset)
    except BenchError:
        return {}
    return dict(zip(samples.ids, samples.groups, strict=True))


def _numbered(images: Sequence[str], groups: Mapping[str, str]) -> np.ndarray:
    names = [groups.get(image, image) for image in images]
    known = {name: place for place, name in enumerate(sorted(set(names)))}
    return np.array([known[name] for name in names], dtype=np.intp)
