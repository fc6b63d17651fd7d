"""How sure one model's score on a dataset is: intervals by bootstrap over groups, and what varies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bench_core.analysis.inference.compare import Settings, seed_of
from bench_core.analysis.inference.field import Field, mean_of_folds
from bench_core.analysis.inference.folds import Components, components
from bench_core.analysis.inference.paired import pooled_sums
from bench_core.analysis.inference.resampling import Interval, bootstrap_interval, resampled
from bench_core.analysis.inference.statistics import (
    MeanOfImages,
    PooledRatio,
    Statistic,
    Sums,
    image_sums,
    informative,
    left_out,
)
from bench_core.analysis.inference.verdicts import FEWEST_GROUPS


@dataclass(frozen=True)
class Measure:
    """A number and its interval; None where the groups are too few or too often without it."""

    value: float
    interval: Interval | None


@dataclass(frozen=True)
class CellIntervals:
    """One model on one dataset."""

    model: str
    folds: float
    """Mean over folds, as in the study's table."""
    pooled: Measure | None
    """Over all test images; None for a metric that has no counts."""
    classes: Mapping[str, Measure]
    images: Measure
    """Mean over images."""
    undefined: int
    """Tested images without a score."""
    components: Components | None
    """Of the folds' scores, where a study has repeats of the same folds."""


def intervals(field: Field, settings: Settings) -> tuple[CellIntervals, ...]:
    """Return the intervals of all models of a field, resampled alike."""
    counts = pooled_sums(field)
    parts: list[tuple[Statistic, Sums]] = []
    for label, tested in field.models.items():
        used = ~np.isnan(tested.scores)
        parts.append((MeanOfImages(), image_sums(tested.scores, used, field.of_image, len(field.groups))))
        if counts is not None:
            ratio, sums = PooledRatio(field.quantity.metric), counts[label]
            parts.append((ratio, sums.sum(axis=1)))
            parts += [(ratio, sums[:, place]) for place in range(len(field.classes))]
    found = iter(_measures(field, parts, settings))
    rows = []
    for label, tested in field.models.items():
        images = next(found)
        pooled = next(found) if counts is not None else None
        classes = {name: next(found) for name in field.classes} if counts is not None else {}
        rows.append(
            CellIntervals(
                model=label,
                folds=mean_of_folds(tested),
                pooled=pooled,
                classes=classes,
                images=images,
                undefined=int(np.isnan(tested.scores).sum()),
                components=None if field.reshuffled else components(tested.folds),
            )
        )
    return tuple(rows)


def _measures(field: Field, parts: list[tuple[Statistic, Sums]], settings: Settings) -> list[Measure]:
    """Return value and interval of each statistic of its sums [G, D]."""
    columns = np.concatenate([sums for _, sums in parts], axis=1)
    draws = resampled(columns, settings.samples, seed_of(field, "bootstrap"))
    found, start = [], 0
    for statistic, sums in parts:
        end = start + sums.shape[1]
        value = float(statistic.of(sums.sum(axis=0)))
        interval = None
        used = informative(sums)
        if used.sum() >= FEWEST_GROUPS:
            spread, kept = statistic.of(draws[:, start:end]), statistic.of(left_out(sums))[used]
            interval = bootstrap_interval(value, spread, kept, 1 - settings.alpha)
        found.append(Measure(value, interval))
        start = end
    return found
