"""Who is best on a dataset and how sure that is: ranks of many models under the bootstrap over groups.

All models of a dataset share the resamples, so that a rank's uncertainty is that of paired differences. Under
a flat prior the share of resamples in which a model comes first is about the probability that it is the best
(Efron and Tibshirani, An Introduction to the Bootstrap, 1993, section 24.8, the bootstrap as a posterior);
ranks and their intervals by bootstrap follow Hall and Miller, Annals of Statistics 37, 2009.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench_core.analysis.inference.compare import Settings, seed_of
from bench_core.analysis.inference.field import Field
from bench_core.analysis.inference.paired import View, pooled_sums
from bench_core.analysis.inference.resampling import MOST_UNDEFINED, resampled
from bench_core.analysis.inference.statistics import (
    MeanOfImages,
    PooledRatio,
    Statistic,
    Sums,
    image_sums,
    informative,
)
from bench_core.analysis.inference.verdicts import FEWEST_GROUPS

Values = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Ranks:
    """The ranks of M models: 1 is the best, equal ones share the mean of their ranks."""

    observed: Values
    """[M]"""
    chances: Values | None
    """[M, M] probability of each rank of each model; None where groups are too few or scores undefined."""

    def first(self, place: int) -> float | None:
        """Return a model's probability to be the best."""
        return None if self.chances is None else float(self.chances[place, 0])

    def interval(self, place: int, confidence: float = 0.95) -> tuple[int, int] | None:
        """Return the ranks between which the middle share of a model's distribution lies."""
        if self.chances is None:
            return None
        below, out = np.cumsum(self.chances[place]), (1 - confidence) / 2
        low, high = (int(np.searchsorted(below, share - 1e-9)) + 1 for share in (out, 1 - out))
        return low, min(high, len(below))


@dataclass(frozen=True, eq=False)
class RankedField:
    """A dataset's models by their scores over all test images."""

    dataset: str
    view: View
    models: tuple[str, ...]
    groups: int
    """Those that tell anything."""
    left_out: int
    """Tested images that a model has no score of: they are left out for all."""
    scores: Values
    """[M] in the metric's stored unit."""
    goodness: Values
    """[M] the scores, or minus them where lower is better."""
    drawn: Values | None
    """[B, M] goodness in resamples; None where nothing can be said of the spread."""
    ranks: Ranks


def ranked_field(field: Field, wanted: View, settings: Settings) -> RankedField | None:
    """Return the ranks on one dataset; None where a model's score is undefined."""
    models = tuple(field.models)
    statistic, columns, view, left_out = score_columns(field, wanted)
    width = columns.shape[1] // len(models)
    scores = statistic.of(columns.sum(axis=0).reshape(len(models), width))
    if np.isnan(scores).any():
        return None
    sign = -1.0 if field.quantity.metric.better == "lower" else 1.0
    groups = int(informative(columns).sum())
    drawn = None
    if groups >= FEWEST_GROUPS:
        sums = resampled(columns, settings.samples, seed_of(field, "bootstrap"))
        found = sign * statistic.of(sums.reshape(len(sums), len(models), width))
        known = found[~np.isnan(found).any(axis=1)]
        drawn = known if len(known) >= (1 - MOST_UNDEFINED) * len(found) else None
    ranks = Ranks(mean_ranks(sign * scores), None if drawn is None else chances_of(drawn))
    return RankedField(
        field.dataset, view, models, groups, left_out, scores, sign * scores, drawn, ranks
    )  # fmt: skip


def score_columns(field: Field, wanted: View) -> tuple[Statistic, Sums, View, int]:
    """Return the sums [G, M * D] that the scores of all models are made of."""
    sums = pooled_sums(field) if wanted == "pooled" else None
    if sums is not None:
        columns = np.concatenate([sums[label].sum(axis=1) for label in field.models], axis=1)
        return PooledRatio(field.quantity.metric), columns, "pooled", 0
    scores = [tested.scores for tested in field.models.values()]
    used = np.asarray(~np.isnan(np.stack(scores)).any(axis=0))
    parts = [image_sums(found, used, field.of_image, len(field.groups)) for found in scores]
    return MeanOfImages(), np.concatenate(parts, axis=1), "images", int((~used).sum())


def mean_ranks(goodness: Values) -> Values:
    """Return ranks [..., M], 1 for the largest; equal ones share the mean of their ranks."""
    better, equal = _places(goodness)
    return np.asarray(1 + better + (equal - 1) / 2)


def chances_of(goodness: Values) -> Values:
    """Return the share [M, M] of resamples [B, M] in which a model has a rank; ties are dealt out evenly."""
    better, equal = _places(goodness)
    draws, models = goodness.shape
    found = np.zeros((models, models))
    rows = np.broadcast_to(np.arange(models), (draws, models))
    for step in range(int(equal.max())):
        there = equal > step
        np.add.at(found, (rows[there], better[there] + step), 1 / equal[there])
    return np.asarray(found / draws)


def _places(goodness: Values) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return how many models [..., M] are better, and how many are equal, itself counted."""
    # Scores that differ by rounding only are equal.
    goodness = np.round(goodness, 12)
    mine, theirs = goodness[..., :, None], goodness[..., None, :]
    return (theirs > mine).sum(axis=-1), (theirs == mine).sum(axis=-1)
