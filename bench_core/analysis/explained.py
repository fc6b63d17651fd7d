"""Heat maps in numbers, as steps `grad-cam` left them: model by model, layer by layer, with intervals.

Each number is a mean over images. Images of one group (a patient, a sequence) are drawn together, and models
that looked at the same images share the draws.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, stdev
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from bench_core.analysis.evidence import Evidence, Finished
from bench_core.analysis.inference.cells import Measure
from bench_core.analysis.inference.compare import Settings
from bench_core.analysis.inference.resampling import bootstrap_interval, resampled
from bench_core.analysis.inference.statistics import MeanOfImages, image_sums, informative, left_out
from bench_core.analysis.inference.verdicts import FEWEST_GROUPS
from bench_core.metrics.map_tables import NUMBERS, RESTATES, MapKind, MapLayer, MapStatus, MapTable
from bench_core.plan.job import Apply
from bench_core.plugins.quantities import GRAD_CAM
from bench_core.seeds import derive_seed

FEWEST_IMAGES = 5
"""Of fewer a correlation with Dice says nothing."""


@dataclass(frozen=True, eq=False)
class Mapped:
    """The jobs of one step on one model and dataset, and what they looked at."""

    jobs: tuple[Finished, ...]
    tables: tuple[MapTable, ...]
    planned: int

    @property
    def kinds(self) -> tuple[MapKind, ...]:
        """All kinds of maps, in the order of the tables."""
        return tuple(dict.fromkeys(kind for table in self.tables for kind in table.kinds))

    @property
    def layers(self) -> dict[str, MapLayer]:
        """What is known of the layers, by name."""
        return {name: layer for job in self.jobs for name, layer in job.tables.map_layers.items()}

    @property
    def seconds(self) -> float | None:
        """Wall time of an image, with all that was asked of it; None where no image was looked at."""
        images = sum(len(set(table.images)) for table in self.tables)
        return sum(job.result.seconds for job in self.jobs) / images if images else None


@dataclass(frozen=True, eq=False)
class MapSet:
    """What one step left on the networks of one dataset."""

    step: str
    """Label of the step, with its part."""
    dataset: str
    models: Mapping[str, Mapped]
    """Those that have maps, in the order of the study."""


@dataclass(frozen=True, eq=False)
class KindNumbers:
    """Maps of one kind of one model, over all its folds."""

    model: str
    kind: MapKind
    statuses: Mapping[MapStatus, int]
    images: int
    """Different images that have a usable map."""
    groups: int
    numbers: Mapping[str, Measure]
    """Mean over the maps that define it, with its interval."""
    spread: Mapping[str, float | None]
    """Standard deviation of the folds' means; None below two."""
    with_dice: Mapping[str, float]
    """Spearman's correlation of the number with the class's Dice over images; NaN for too few."""

    @property
    def maps(self) -> int:
        """All maps, whatever their status."""
        return sum(self.statuses.values())

    @property
    def restates(self) -> bool:
        """True where the maps are the network's own logits again."""
        return self.numbers["logits"].value > RESTATES


def map_sets(evidence: Evidence) -> tuple[MapSet, ...]:
    """Return what is there of each step `grad-cam` and each dataset."""
    found = []
    planned = Counter((job.stage, *job.cell) for job in evidence.plan.jobs)
    stages = dict.fromkeys(
        job.stage for job in evidence.plan.jobs if isinstance(job.work, Apply) and job.work.step == GRAD_CAM
    )
    for step in stages:
        for data in evidence.datasets:
            models = {}
            for model in evidence.models:
                jobs = [job for job in evidence.finished(step, model.label, data.label) if job.tables.maps]
                tables = tuple(job.tables.maps for job in jobs if job.tables.maps)
                if tables:
                    models[model.label] = Mapped(tuple(jobs), tables, planned[step, model.label, data.label])
            if models:
                found.append(MapSet(step, data.label, models))
    return tuple(found)


def kind_numbers(evidence: Evidence, found: MapSet, settings: Settings) -> tuple[KindNumbers, ...]:
    """Return the numbers of every model and kind of map of a set, in their order."""
    seed = derive_seed("inference", GRAD_CAM, found.dataset, found.step)
    rows = []
    for label, mapped in found.models.items():
        tested = _tested(evidence, label, found.dataset)
        for kind in mapped.kinds:
            rows.append(_numbers(label, kind, mapped, tested, settings, seed))
    return tuple(rows)


@dataclass(frozen=True, eq=False)
class _Tested:
    """What is known of the images that a model was tested on."""

    groups: Mapping[str, str]
    dice: Mapping[tuple[int, str, str], float]
    """By fold (repeats counted on), image and class."""


def _tested(evidence: Evidence, model: str, dataset: str) -> _Tested:
    groups: dict[str, str] = {}
    dice: dict[tuple[int, str, str], float] = {}
    for done in evidence.cell(model, dataset).folds:
        counts = done.counts
        groups.update(zip(counts.ids, counts.groups, strict=True))
        hits = 2 * counts.values[..., 0]
        sizes = hits + counts.values[..., 1] + counts.values[..., 2]
        scores = np.divide(hits, sizes, out=np.full(hits.shape, np.nan), where=sizes > 0)
        for sample, each in zip(counts.ids, scores.tolist(), strict=True):
            for name, score in zip(counts.classes, each, strict=True):
                dice[done.index, sample, name] = score
    return _Tested(groups, dice)


def _numbers(
    model: str, kind: MapKind, mapped: Mapped, tested: _Tested, settings: Settings, seed: int
) -> KindNumbers:
    parts = [
        (job.index, table, table.where(kind)) for job, table in zip(mapped.jobs, mapped.tables, strict=True)
    ]
    statuses = Counter(table.more[row][0] for _, table, rows in parts for row in rows)
    images = [table.images[row] for _, table, rows in parts for row in rows]
    folds = [index for index, _, rows in parts for _ in rows]
    values = {
        name: np.concatenate([table.values[name][rows] for _, table, rows in parts]) for name in NUMBERS
    }
    usable = np.array([table.more[row][0] == "ok" for _, table, rows in parts for row in rows], dtype=bool)
    groups = _groups(images, tested)
    dice = np.array(
        [
            tested.dice.get((fold, sample, kind.of_class), np.nan)
            for fold, sample in zip(folds, images, strict=True)
        ]
    )
    return KindNumbers(
        model=model,
        kind=kind,
        statuses={status: statuses[status] for status in get_args(MapStatus)},
        images=len({sample for sample, good in zip(images, usable, strict=True) if good}),
        groups=len(set(groups[usable].tolist())),
        numbers=dict(zip(NUMBERS, measures(list(values.values()), groups, settings, seed), strict=True)),
        spread={name: _spread(each, folds) for name, each in values.items()},
        with_dice={name: rank_correlation(each, dice) for name, each in values.items()},
    )


@dataclass(frozen=True, eq=False)
class MoreNumbers:
    """What a further table of a step says of maps of one kind: interventions, shifts, shuffled weights.

    Few images are asked for these, so that their classes are taken together: the kind names none.
    """

    model: str
    kind: MapKind
    more: tuple[str, ...]
    """What tells rows apart: the imputer, or how many groups of modules are shuffled, of how many."""
    images: int
    """Different images that define any of the numbers."""
    numbers: Mapping[str, Measure]


def more_numbers(
    evidence: Evidence, found: MapSet, record: str, settings: Settings
) -> tuple[MoreNumbers, ...]:
    """Return the means of a further table (its record's name) of a set; none where no job left it."""
    seed = derive_seed("inference", GRAD_CAM, found.dataset, found.step, record)
    rows = []
    for label, mapped in found.models.items():
        tested = _tested(evidence, label, found.dataset)
        tables = [job.tables.more_maps[record] for job in mapped.jobs if record in job.tables.more_maps]
        parts: dict[tuple[MapKind, tuple[str, ...]], list[tuple[MapTable, int]]] = {}
        for table in tables:
            for place, (kind, more) in enumerate(zip(table.kinds, table.more, strict=True)):
                parts.setdefault((replace(kind, of_class=""), more), []).append((table, place))
        for (kind, more), places in parts.items():
            images = [table.images[place] for table, place in places]
            columns = {
                name: np.array([table.values[name][place] for table, place in places])
                for name in tables[0].values
            }
            known = ~np.isnan(np.stack(list(columns.values()))).all(axis=0)
            found_measures = measures(list(columns.values()), _groups(images, tested), settings, seed)
            rows.append(
                MoreNumbers(
                    model=label,
                    kind=kind,
                    more=more,
                    images=len({sample for sample, defined in zip(images, known, strict=True) if defined}),
                    numbers=dict(zip(columns, found_measures, strict=True)),
                )
            )
    return tuple(rows)


def measures(
    columns: Sequence[NDArray[np.float64]], groups: NDArray[np.intp], settings: Settings, seed: int
) -> list[Measure]:
    """Return the mean of the defined values of each column [R] with its interval over groups [R]."""
    count = int(groups.max(initial=-1)) + 1
    statistic = MeanOfImages()
    sums = [image_sums(values, ~np.isnan(values), groups, count) for values in columns]
    draws = resampled(np.concatenate(sums, axis=1), settings.samples, seed) if count else None
    found = []
    for place, part in enumerate(sums):
        value, used = float(statistic.of(part.sum(axis=0))), informative(part)
        interval = None
        if draws is not None and used.sum() >= FEWEST_GROUPS:
            spread = statistic.of(draws[:, 2 * place : 2 * place + 2])
            interval = bootstrap_interval(
                value, spread, statistic.of(left_out(part))[used], 1 - settings.alpha
            )
        found.append(Measure(value, interval))
    return found


def rank_correlation(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Return Spearman's correlation of the pairs that are defined; NaN where few, or one side is constant."""
    known = ~(np.isnan(first) | np.isnan(second))
    if known.sum() < FEWEST_IMAGES:
        return float("nan")
    one, other = _ranks(first[known]), _ranks(second[known])
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return float("nan")
    return float(np.corrcoef(one, other)[0, 1])


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    means = np.cumsum(counts) - (counts - 1) / 2
    return np.asarray(means[places], dtype=np.float64)


def _groups(images: Sequence[str], tested: _Tested) -> NDArray[np.intp]:
    """Return the number of each image's group."""
    names = [tested.groups.get(sample, sample) for sample in images]
    known = {name: place for place, name in enumerate(sorted(set(names)))}
    return np.array([known[name] for name in names], dtype=np.intp)


def _spread(values: NDArray[np.float64], folds: Sequence[int]) -> float | None:
    means = []
    for index in dict.fromkeys(folds):
        mine = values[[place for place, fold in enumerate(folds) if fold == index]]
        mine = mine[~np.isnan(mine)]
        if len(mine):
            means.append(float(fmean(mine.tolist())))
    return stdev(means) if len(means) > 1 else None
