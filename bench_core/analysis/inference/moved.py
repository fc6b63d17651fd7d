"""How sure scores on another dataset are, and whether the order of models is the one at home.

All folds of a model are tested on the same images there. So what is estimated is the mean over folds of the
pooled score, and groups of these images are drawn with replacement: the interval is of the images, not of the
training. Images at home and there are different ones and drawn apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

import numpy as np
from numpy.typing import NDArray

from bench_core.analysis.inference.compare import Settings
from bench_core.analysis.inference.overall import kendall
from bench_core.analysis.inference.resampling import Interval, bootstrap_interval, resampled
from bench_core.analysis.inference.statistics import Statistic, Sums, group_sums, informative, left_out
from bench_core.analysis.inference.verdicts import FEWEST_GROUPS
from bench_core.analysis.transferred import TransferSet, VoteSet
from bench_core.declarations import Metric
from bench_core.metrics import declared
from bench_core.metrics.counts import mean_defined
from bench_core.metrics.declared import of_counts
from bench_core.records import Counts
from bench_core.seeds import derive_seed

FEWEST_MODELS = 3
"""Of fewer no order can be told from another by more than one exchange."""


@dataclass(frozen=True)
class MeanOfFolds(Statistic):
    """The mean over F folds of a metric of pixel counts, D = 3 F; NaN where a fold's is."""

    metric: Metric

    def of(self, sums: Sums) -> NDArray[np.float64]:
        """Return the mean."""
        counts = np.rint(sums).astype(np.int64).reshape(*sums.shape[:-1], -1, 3)
        return np.asarray(of_counts(self.metric, counts).mean(axis=-1))


@dataclass(frozen=True)
class MovedScore:
    """A score over folds on one of the two datasets; NaN where undefined."""

    folds: Mapping[int, float]
    interval: Interval | None = None
    """Of the mean over folds, by bootstrap over groups; None where groups are too few."""

    @property
    def mean(self) -> float:
        """Over the folds."""
        return fmean(self.folds.values())

    @property
    def std(self) -> float | None:
        """Sample standard deviation over the folds; None below two."""
        return stdev(self.folds.values()) if len(self.folds) > 1 else None


@dataclass(frozen=True)
class Moved:
    """One model at home and there."""

    home: MovedScore
    there: MovedScore
    classes: Mapping[str, MovedScore]
    """There, each class by itself."""
    images: float
    """There: the mean over images of the mean over their classes, then over folds."""

    @property
    def drop(self) -> float:
        """Home minus there."""
        return self.home.mean - self.there.mean


@dataclass(frozen=True)
class Order:
    """Whether models keep their order: those that are whole, with a score on both datasets."""

    models: tuple[str, ...]
    tau: float
    """Kendall's tau-b of the two orders; NaN where one of them has no order."""
    between: tuple[float, float] | None
    """The middle share of it under resampling of both datasets; None where groups are too few."""


def moved(found: TransferSet, metric: Metric, settings: Settings) -> dict[str, Moved]:
    """Return the scores of every model of a set."""
    groups = _numbers(found.groups)
    statistic = MeanOfFolds(metric)
    rows: dict[str, Moved] = {}
    for label, folds in found.models.items():
        there = {index: item.there.values for index, item in folds.items()}
        parts = [{index: values.sum(axis=1) for index, values in there.items()}]
        parts += [
            {index: values[:, place] for index, values in there.items()}
            for place in range(len(found.classes))
        ]
        intervals = _intervals(statistic, parts, groups, settings, seed_of(found, "there"))
        scores = [
            MovedScore({index: _pooled(metric, values) for index, values in part.items()}, interval)
            for part, interval in zip(parts, intervals, strict=True)
        ]
        images = [
            float(mean_defined(declared.per_image(metric, values, "ignore"))) for values in there.values()
        ]
        rows[label] = Moved(
            home=MovedScore(
                {index: declared.micro(metric, item.home.values) for index, item in folds.items()}
            ),
            there=scores[0],
            classes=dict(zip(found.classes, scores[1:], strict=True)),
            images=fmean(images),
        )
    return rows


def voted(found: VoteSet, metric: Metric, settings: Settings) -> dict[str, MovedScore]:
    """Return the score of each model's votes, by repeat, with the interval of their mean."""
    rows = {}
    for label, votes in found.votes.items():
        part = {repeat: item.there.values.sum(axis=1) for repeat, (_, item) in enumerate(votes)}
        groups = _numbers(votes[0][1].there.groups)
        seed = derive_seed("inference", "transfer", found.source, found.target.label, "there")
        (interval,) = _intervals(MeanOfFolds(metric), [part], groups, settings, seed)
        rows[label] = MovedScore({index: _pooled(metric, values) for index, values in part.items()}, interval)
    return rows


def order(
    found: TransferSet, scores: Mapping[str, Moved], metric: Metric, settings: Settings
) -> Order | None:
    """Return how far the order at home is the order there; None for fewer than FEWEST_MODELS models."""
    models = [
        label
        for label in found.whole
        if label in scores and not np.isnan([scores[label].home.mean, scores[label].there.mean]).any()
    ]
    folds = {label: tuple(found.models[label]) for label in models}
    usual = max(folds.values(), key=len, default=())
    models = [label for label in models if folds[label] == usual]
    if len(models) < FEWEST_MODELS:
        return None
    home = np.array([scores[label].home.mean for label in models])
    there = np.array([scores[label].there.mean for label in models])
    drawn = [_drawn(found, models, metric, settings, at_home=at_home) for at_home in (True, False)]
    between = None
    if drawn[0] is not None and drawn[1] is not None:
        taus = kendall(drawn[0], drawn[1])
        known = taus[~np.isnan(taus)]
        if len(known):
            low, high = np.quantile(known, [settings.alpha / 2, 1 - settings.alpha / 2])
            between = float(low), float(high)
    return Order(tuple(models), float(kendall(home, there)), between)


def seed_of(found: TransferSet, purpose: str) -> int:
    """Return the seed of random choices about a set: all models share their draws."""
    return derive_seed("inference", "transfer", found.source, found.target.label, purpose)


def _pooled(metric: Metric, counts: NDArray[np.int64]) -> float:
    return float(of_counts(metric, counts.sum(axis=0)))


def _numbers(groups: Sequence[str]) -> NDArray[np.intp]:
    known = {group: number for number, group in enumerate(dict.fromkeys(groups))}
    return np.array([known[group] for group in groups], dtype=np.intp)


def _intervals(
    statistic: Statistic,
    parts: Sequence[Mapping[int, NDArray[np.int64]]],
    groups: NDArray[np.intp],
    settings: Settings,
    seed: int,
) -> list[Interval | None]:
    """Return the interval of each part, counts [N, 3] by fold."""
    count = int(groups.max(initial=-1)) + 1
    sums = [
        group_sums(np.concatenate(list(part.values()), axis=1).astype(np.float64), groups, count)
        for part in parts
    ]
    draws = resampled(np.concatenate(sums, axis=1), settings.samples, seed)
    found: list[Interval | None] = []
    start = 0
    for part in sums:
        end, used = start + part.shape[1], informative(part)
        interval = None
        if used.sum() >= FEWEST_GROUPS:
            value = float(statistic.of(part.sum(axis=0)))
            kept = statistic.of(left_out(part))[used]
            interval = bootstrap_interval(value, statistic.of(draws[:, start:end]), kept, 1 - settings.alpha)
        found.append(interval)
        start = end
    return found


def _drawn(
    found: TransferSet, models: Sequence[str], metric: Metric, settings: Settings, *, at_home: bool
) -> NDArray[np.float64] | None:
    """Return resampled means over folds [B, M] of the models; None where groups are too few."""
    known: dict[str, int] = {}
    tested = [
        [item.home if at_home else item.there for item in found.models[label].values()] for label in models
    ]
    for counts in tested[0]:
        for group in counts.groups:
            known.setdefault(group, len(known))
    if len(known) < FEWEST_GROUPS or any(_layout(mine) != _layout(tested[0]) for mine in tested):
        return None
    columns = [
        group_sums(
            counts.values.sum(axis=1).astype(np.float64),
            np.array([known[group] for group in counts.groups], dtype=np.intp),
            len(known),
        )
        for mine in tested
        for counts in mine
    ]
    drawn = resampled(
        np.concatenate(columns, axis=1), settings.samples, seed_of(found, "home" if at_home else "there")
    )
    width = drawn.shape[1] // len(models)
    statistic = MeanOfFolds(metric)
    parts = [statistic.of(drawn[:, place * width : (place + 1) * width]) for place in range(len(models))]
    return np.stack(parts, axis=1)


def _layout(tested: Sequence[Counts]) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    return [(counts.ids, counts.groups) for counts in tested]
