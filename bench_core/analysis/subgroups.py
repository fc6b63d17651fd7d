"""Per-image scores by subgroup: what attributes make subgroups, and each model's mean in each of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from bench_core.analysis.evidence import Cell, Evidence
from bench_core.analysis.inference.resampling import Interval, bootstrap_interval, resampled
from bench_core.analysis.inference.statistics import MeanOfImages, informative, left_out
from bench_core.analysis.inference.verdicts import FEWEST_GROUPS
from bench_core.analysis.quantity import Quantity
from bench_core.errors import StoreError
from bench_core.samples import Column
from bench_core.seeds import derive_seed

UNKNOWN = "not known"
MOST_TEXTS = 12
"""Different texts that an attribute may have; one with more tells images apart and not subgroups."""


@dataclass(frozen=True, eq=False)
class Levels:
    """An attribute that makes subgroups, and where each sample of the dataset belongs."""

    attribute: str
    names: tuple[str, ...]
    """In a fixed order, samples of unknown value last."""
    of_sample: Mapping[str, int]
    """Sample id to the place of its level."""
    numbers: Mapping[str, float]
    """Sample id to the value, of attributes that are numbers and where it is known; else empty."""

    @property
    def known(self) -> int:
        """Number of levels whose value is known."""
        return len(self.names) - (self.names[-1] == UNKNOWN)


@dataclass(frozen=True)
class Subgroup:
    """The test images of a model that share a level; scores in the metric's stored unit."""

    value: str
    images: int
    """Different images."""
    groups: int
    undefined: int
    """Tested images without a score."""
    scores: tuple[float, ...]
    """Of the others, those of all folds and repeats."""
    interval: Interval | None = None
    """Of the mean, by bootstrap over groups; None where groups are too few, or nobody asked."""

    @property
    def mean(self) -> float | None:
        """Mean score, None without any."""
        return fmean(self.scores) if self.scores else None

    @property
    def std(self) -> float | None:
        """Standard deviation over images (n - 1), None below two."""
        return float(np.std(self.scores, ddof=1)) if len(self.scores) > 1 else None


def levels_of(attribute: str, ids: Sequence[str], column: Column, bins: int) -> Levels | None:
    """Return the levels of an attribute, None for one that makes no subgroups.

    Texts stand for themselves, in alphabetic order. Numbers are cut into at most `bins` ranges that hold
    about as many samples each, by quantiles over all samples of the dataset, so that they are the same for
    every model. A smallest value that fills a range by itself has one of its own, such as 1 component.
    """
    known = [value for value in column if value is not None]
    if len(set(known)) < 2:
        return None
    numbers: dict[str, float] = {}
    if isinstance(known[0], str):
        names = sorted({str(value) for value in known})
        if len(names) > MOST_TEXTS:
            return None
        place = {name: number for number, name in enumerate(names)}
        places = [None if value is None else place[str(value)] for value in column]
    else:
        values = np.array(known, dtype=np.float64)
        edges = _edges(values, bins)
        names = _names(float(values.min()), edges, values)
        numbers = {sample: float(v) for sample, v in zip(ids, column, strict=True) if v is not None}
        places = [
            None if value is None else int(np.searchsorted(edges, float(value), side="right"))
            for value in column
        ]
    if None in places:
        names = [*names, UNKNOWN]
    of_sample = {
        sample: len(names) - 1 if found is None else found for sample, found in zip(ids, places, strict=True)
    }
    return Levels(attribute, tuple(names), of_sample, numbers)


def known_levels(evidence: Evidence, dataset: str, bins: int) -> dict[str, Levels]:
    """Return the attributes of a dataset that make subgroups; none where the store does not describe it."""
    try:
        ids, columns = evidence.samples(dataset).ids, evidence.attributes(dataset)
    except StoreError:
        return {}
    found = {name: levels_of(name, ids, column, bins) for name, column in columns.items()}
    return {name: levels for name, levels in found.items() if levels is not None}


@dataclass(frozen=True, eq=False)
class _Layout:
    """Tested images, with the group of each."""

    ids: tuple[str, ...]
    groups: tuple[str, ...]

    @cached_property
    def order(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Images by group, and where each group begins."""
        numbers = {group: number for number, group in enumerate(dict.fromkeys(self.groups))}
        of_image = np.array([numbers[group] for group in self.groups], dtype=np.intp)
        order = np.argsort(of_image, kind="stable")
        return order, np.searchsorted(of_image[order], np.arange(len(numbers)))

    def sums(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return sums [G, D] of values [N, D] over the images of each group."""
        order, starts = self.order
        return np.asarray(np.add.reduceat(values[order], starts, axis=0))


def subgroups(
    cells: Mapping[str, Cell],
    quantity: Quantity,
    levels: Sequence[Levels],
    alpha: float = 0.05,
    samples: int = 0,
) -> dict[str, dict[str, tuple[Subgroup, ...]]]:
    """Return the subgroups of the finished test images, by model and attribute.

    `cells` are of one dataset, by model; levels without an image are left out. Intervals have confidence
    1 - alpha and come from so many resamples of groups, the same ones for all models that have the same
    images; without `samples` there are none.
    """
    layouts: dict[tuple[tuple[str, ...], tuple[str, ...]], list[str]] = {}
    scores: dict[str, NDArray[np.float64]] = {}
    for label, cell in cells.items():
        folds = sorted(filter(quantity.has, cell.folds), key=lambda fold: fold.index)
        if folds:
            ids = tuple(sample for fold in folds for sample in fold.counts.ids)
            groups = tuple(group for fold in folds for group in fold.counts.groups)
            scores[label] = np.concatenate([quantity.of_images(fold) for fold in folds])
            layouts.setdefault((ids, groups), []).append(label)
    found: dict[str, dict[str, tuple[Subgroup, ...]]] = {}
    for (ids, groups), labels in layouts.items():
        seed = derive_seed("inference", cells[labels[0]].dataset, "bootstrap")
        mine = {label: scores[label] for label in labels}
        found |= _of_layout(_Layout(ids, groups), mine, levels, alpha, samples, seed)
    return found


def _of_layout(
    layout: _Layout,
    scores: Mapping[str, NDArray[np.float64]],
    levels: Sequence[Levels],
    alpha: float,
    samples: int,
    seed: int,
) -> dict[str, dict[str, tuple[Subgroup, ...]]]:
    parts: list[tuple[str, Levels, int, NDArray[np.bool_], NDArray[np.float64]]] = []
    for item in levels:
        # An image that the description does not know has no known value.
        unknown = len(item.names) - 1 if item.names[-1] == UNKNOWN else -1
        places = np.array([item.of_sample.get(sample, unknown) for sample in layout.ids])
        for place in range(len(item.names)):
            inside = places == place
            if inside.any():
                parts += [(label, item, place, inside, found) for label, found in scores.items()]
    intervals = _intervals(layout, [(inside, found) for *_, inside, found in parts], alpha, samples, seed)
    grouped: dict[str, dict[str, list[Subgroup]]] = {}
    for (label, item, place, inside, found), interval in zip(parts, intervals, strict=True):
        defined = inside & ~np.isnan(found)
        where = np.flatnonzero(inside)
        grouped.setdefault(label, {}).setdefault(item.attribute, []).append(
            Subgroup(
                value=item.names[place],
                images=len({layout.ids[number] for number in where}),
                groups=len({layout.groups[number] for number in where}),
                undefined=int(inside.sum() - defined.sum()),
                scores=tuple(found[defined].tolist()),
                interval=interval,
            )
        )
    return {label: {name: tuple(rows) for name, rows in mine.items()} for label, mine in grouped.items()}


def _intervals(
    layout: _Layout,
    parts: Sequence[tuple[NDArray[np.bool_], NDArray[np.float64]]],
    alpha: float,
    samples: int,
    seed: int,
) -> list[Interval | None]:
    if not samples or not parts:
        return [None] * len(parts)
    columns = []
    for inside, scores in parts:
        used = inside & ~np.isnan(scores)
        columns += [np.where(used, scores, 0.0), used.astype(np.float64)]
    sums = layout.sums(np.stack(columns, axis=1))
    draws = resampled(sums, samples, seed)
    mean, found = MeanOfImages(), []
    for start in range(0, len(columns), 2):
        mine = sums[:, start : start + 2]
        used = informative(mine)
        interval = None
        if used.sum() >= FEWEST_GROUPS:
            value, spread = float(mean.of(mine.sum(axis=0))), mean.of(draws[:, start : start + 2])
            interval = bootstrap_interval(value, spread, mean.of(left_out(mine))[used], 1 - alpha)
        found.append(interval)
    return found


def _edges(values: NDArray[np.float64], bins: int) -> list[float]:
    """Return where ranges after the first begin."""
    low = values.min()
    heap = int(np.sum(values == low))
    if heap * bins >= len(values):
        rest = values[values > low]
        inner = np.quantile(rest, np.arange(1, bins - 1) / (bins - 1), method="higher") if bins > 2 else []
        return sorted({float(rest.min()), *map(float, inner)})
    inner = np.quantile(values, np.arange(1, bins) / bins, method="higher")
    return sorted({float(edge) for edge in inner if low < edge})


def _names(low: float, edges: Sequence[float], values: NDArray[np.float64]) -> list[str]:
    starts, ends = [low, *edges], [*edges, float(values.max())]
    limits = sorted({*starts, *ends})
    # As few digits as tell all limits apart, three at least.
    shown = next(
        (
            texts
            for digits in (3, 4, 5, 6)
            if len(set(texts := [_number(v, digits) for v in limits])) == len(limits)
        ),
        [repr(value) for value in limits],
    )
    text = dict(zip(limits, shown, strict=True))
    found = []
    for place, (start, end) in enumerate(zip(starts, ends, strict=True)):
        last = place == len(edges)
        inside = values[(values >= start) & ((values < end) | last)]
        single = inside.min() == inside.max()
        found.append(text[start] if single else f"{text[start]} to {'' if last else 'below '}{text[end]}")
    return found


def _number(value: float, digits: int) -> str:
    text = f"{value:.{digits}g}"
    return f"{value:.0f}" if "e" in text and abs(value) >= 1 else text
