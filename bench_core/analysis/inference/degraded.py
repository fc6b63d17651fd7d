"""What networks lose under corruptions, relative to the clean images, and whether their order stays.

The score of a condition is the mean over folds of the pooled score, as everywhere; what is lost is 1 -
corrupted / clean. Groups of images are drawn with replacement, each with all its conditions and, under one
seed, for all models alike: so intervals are of paired ratios, and the order under a condition is compared
with the clean order of the same images.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bench_core.analysis.corrupted import CorruptedFold, CorruptionSet
from bench_core.analysis.inference.compare import Settings
from bench_core.analysis.inference.moved import FEWEST_MODELS, MeanOfFolds, MovedScore
from bench_core.analysis.inference.overall import kendall
from bench_core.analysis.inference.ranking import mean_ranks
from bench_core.analysis.inference.resampling import Interval, bootstrap_interval, resampled
from bench_core.analysis.inference.statistics import group_sums, informative, left_out
from bench_core.analysis.inference.verdicts import FEWEST_GROUPS
from bench_core.declarations import Metric
from bench_core.metrics.corrupted import CLEAN, Condition, by_kind
from bench_core.metrics.declared import of_counts
from bench_core.seeds import derive_seed

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Loss:
    """A share of the clean score that is lost; NaN where undefined, below zero where the score is better."""

    value: float
    interval: Interval | None = None
    """Bootstrap over groups; None where these are too few."""


@dataclass(frozen=True, eq=False)
class Degraded:
    """One model under the conditions of a set."""

    scores: Mapping[Condition, MovedScore]
    """The clean images among them."""
    lost: Mapping[Condition, Loss]
    kinds: Mapping[str, Loss]
    """Mean over a kind's severities."""
    overall: Loss
    """Mean over kinds."""
    classes: Mapping[str, Loss]
    """The same of each class by itself."""
    means: Values = field(repr=False)
    """[X], the mean over folds under each condition."""
    drawn: Values | None = field(repr=False)
    """[B, X], the same of resampled groups; None where these are too few."""
    layout: object = field(repr=False, default=None)
    """Equal for models whose draws are of the same images."""

    @property
    def clean(self) -> MovedScore:
        """The score of the images as they are."""
        return self.scores[CLEAN, 0]


@dataclass(frozen=True)
class Kept:
    """Whether models keep their clean order under a condition, or over the severities of a kind."""

    tau: float
    """Kendall's tau-b with the clean order; NaN where one of the two has no order."""
    between: tuple[float, float] | None
    """The middle share of it under resampling of the images; None where groups are too few."""


@dataclass(frozen=True, eq=False)
class Orders:
    """The order of the models that are whole, clean and under corruptions."""

    models: tuple[str, ...]
    clean: Values
    """[M] ranks, 1 for the best."""
    kinds: Mapping[str, Values]
    """[M] ranks of the mean score over a kind's severities."""
    overall: Values
    """[M] ranks of the mean over kinds."""
    kept: Mapping[Condition, Kept]
    kept_kinds: Mapping[str, Kept]
    kept_overall: Kept


def degraded(found: CorruptionSet, metric: Metric, settings: Settings) -> dict[str, Degraded]:
    """Return what every model of a set loses."""
    return {label: _model(found, folds, metric, settings) for label, folds in found.models.items()}


def orders(
    found: CorruptionSet, losses: Mapping[str, Degraded], metric: Metric, settings: Settings
) -> Orders | None:
    """Return how far the clean order stays; None for fewer than FEWEST_MODELS models with the same folds."""
    models = [label for label in found.whole if label in losses and not np.isnan(losses[label].means).any()]
    usual = max((tuple(found.models[label]) for label in models), key=len, default=())
    models = [label for label in models if tuple(found.models[label]) == usual]
    if len(models) < FEWEST_MODELS:
        return None
    sign = 1.0 if metric.better == "higher" else -1.0
    means = sign * np.stack([losses[label].means for label in models], axis=-1)
    drawn = _together([losses[label] for label in models])
    drawn = None if drawn is None else sign * drawn
    places = {condition: place for place, condition in enumerate(found.conditions)}
    kinds = {
        kind: [places[kind, each] for each in severities]
        for kind, severities in by_kind(found.conditions).items()
    }

    def kept(mean: Values, resampled_mean: Values | None) -> Kept:
        between = None
        if drawn is not None and resampled_mean is not None:
            taus = kendall(drawn[:, 0], resampled_mean)
            known = taus[~np.isnan(taus)]
            if len(known):
                low, high = np.quantile(known, [settings.alpha / 2, 1 - settings.alpha / 2])
                between = float(low), float(high)
        return Kept(float(kendall(means[0], mean)), between)

    def over(chosen: Sequence[int]) -> tuple[Values, Values | None]:
        rows = list(chosen)
        return means[rows].mean(axis=0), None if drawn is None else drawn[:, rows].mean(axis=1)

    of_kinds = {kind: over(chosen) for kind, chosen in kinds.items()}
    whole = np.mean([mean for mean, _ in of_kinds.values()], axis=0)
    resampled_whole = None
    if drawn is not None:
        resampled_whole = np.mean([each for _, each in of_kinds.values() if each is not None], axis=0)
    return Orders(
        models=tuple(models),
        clean=mean_ranks(means[0]),
        kinds={kind: mean_ranks(mean) for kind, (mean, _) in of_kinds.items()},
        overall=mean_ranks(whole),
        kept={
            condition: kept(*over([place])) for condition, place in places.items() if condition[0] != CLEAN
        },
        kept_kinds={kind: kept(*pair) for kind, pair in of_kinds.items()},
        kept_overall=kept(whole, resampled_whole),
    )


@dataclass(frozen=True, eq=False)
class _Resampled:
    """The mean over folds under each condition: observed [X], resampled [B, X], without each group [G, X]."""

    means: Values
    drawn: Values | None
    kept: Values | None
    confidence: float

    def loss(self, kinds: Sequence[Sequence[int]]) -> Loss:
        """Return what is lost under conditions, by place: mean over kinds of means over severities."""
        value = float(_lost(self.means, kinds))
        if self.drawn is None or self.kept is None:
            return Loss(value)
        found, without = _lost(self.drawn, kinds), _lost(self.kept, kinds)
        return Loss(value, bootstrap_interval(value, found, without, self.confidence))

    def interval(self, place: int) -> Interval | None:
        """Return the interval of the score under one condition."""
        if self.drawn is None or self.kept is None:
            return None
        found, without = self.drawn[:, place], self.kept[:, place]
        return bootstrap_interval(float(self.means[place]), found, without, self.confidence)


def _model(
    found: CorruptionSet, folds: Mapping[int, CorruptedFold], metric: Metric, settings: Settings
) -> Degraded:
    known: dict[str, int] = {}
    for fold in folds.values():
        for group in fold.clean.groups:
            known.setdefault(group, len(known))
    seed = derive_seed("inference", "corruption", found.dataset)
    names = next(iter(folds.values())).clean.classes

    def resample(chosen: slice) -> _Resampled:
        """Resample the counts of some classes together."""
        # [G, X, F * 3]: what a resample takes of a group is all of its images under all conditions.
        sums = np.concatenate([_sums(fold, known, chosen) for fold in folds.values()], axis=2)
        statistic, width, flat = MeanOfFolds(metric), sums.shape[1:], sums.reshape(len(sums), -1)
        means, used = statistic.of(sums.sum(axis=0)), informative(flat)
        if used.sum() < FEWEST_GROUPS:
            return _Resampled(means, None, None, 1 - settings.alpha)
        drawn = statistic.of(resampled(flat, settings.samples, seed).reshape(-1, *width))
        kept = statistic.of(left_out(flat).reshape(-1, *width))[used]
        return _Resampled(means, drawn, kept, 1 - settings.alpha)

    places = {condition: place for place, condition in enumerate(found.conditions)}
    kinds = {
        kind: [places[kind, each] for each in severities]
        for kind, severities in by_kind(found.conditions).items()
    }
    together = resample(slice(None))
    several = names if len(names) > 1 else ()
    return Degraded(
        scores={
            condition: MovedScore(_of_folds(folds, place, metric), together.interval(place))
            for condition, place in places.items()
        },
        lost={
            condition: together.loss([[place]])
            for condition, place in places.items()
            if condition[0] != CLEAN
        },
        kinds={kind: together.loss([chosen]) for kind, chosen in kinds.items()},
        overall=together.loss(list(kinds.values())),
        classes={
            name: resample(slice(place, place + 1)).loss(list(kinds.values()))
            for place, name in enumerate(several)
        },
        means=together.means,
        drawn=together.drawn,
        layout=[(fold.clean.ids, fold.clean.groups) for fold in folds.values()],
    )


def _sums(fold: CorruptedFold, known: Mapping[str, int], chosen: slice) -> Values:
    """Return the sums [G, X, 3] of one fold's counts over the images of each group and some classes."""
    values = fold.corrupted.values[:, :, chosen].sum(axis=2).astype(np.float64)
    groups = np.array([known[group] for group in fold.clean.groups], dtype=np.intp)
    flat = np.moveaxis(values, 0, 1).reshape(values.shape[1], -1)
    return group_sums(flat, groups, len(known)).reshape(len(known), values.shape[0], 3)


def _lost(means: Values, kinds: Sequence[Sequence[int]]) -> Values:
    """Return 1 - corrupted / clean [...] of means [..., X], the mean over kinds of that over severities."""
    clean = means[..., 0]
    # Differences first: what is equal loses exactly nothing.
    gone = [(clean[..., None] - means[..., list(chosen)]).mean(axis=-1) for chosen in kinds]
    missing, undefined = np.asarray(np.mean(gone, axis=0)), np.full(np.shape(clean), np.nan)
    return np.asarray(np.divide(missing, clean, out=undefined, where=np.asarray(clean > 0)))


def _of_folds(folds: Mapping[int, CorruptedFold], place: int, metric: Metric) -> dict[int, float]:
    """Return the pooled score of each fold under a condition."""
    return {
        index: float(of_counts(metric, fold.corrupted.values[place].sum(axis=(0, 1))))
        for index, fold in folds.items()
    }


def _together(models: Sequence[Degraded]) -> Values | None:
    """Return the draws [B, X, M] of models that were tested on the same images; None where they were not."""
    draws = [model.drawn for model in models if model.drawn is not None]
    if len(draws) < len(models) or any(model.layout != models[0].layout for model in models):
        return None
    return np.stack(draws, axis=-1)
