"""Ranks over several datasets, the two ways to get at them, and how far the datasets agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from bench_core.analysis.inference.ranking import RankedField, Ranks, Values, chances_of, mean_ranks


@dataclass(frozen=True)
class Agreement:
    """Two datasets' orders of the same models."""

    dataset: str
    other: str
    tau: float
    """Kendall's tau-b: 1 for the same order, -1 for the reverse; NaN where one has all models equal."""
    between: tuple[float, float] | None
    """Where the middle share of resamples has it."""


@dataclass(frozen=True, eq=False)
class Without:
    """The order when one dataset is left out."""

    dataset: str
    by_score: Values | None
    """[M] ranks of mean scores; None where datasets have different units."""
    by_rank: Values
    """[M] ranks of mean ranks."""
    tau: float
    """Kendall's tau-b between mean ranks with and without it."""


@dataclass(frozen=True, eq=False)
class Overall:
    """Models that have results on all datasets."""

    models: tuple[str, ...]
    missing: Mapping[str, tuple[str, ...]]
    """The others, and the datasets that they lack."""
    imputed: Mapping[str, tuple[str, ...]]
    """Those of `models` that lack datasets and count as the worst there."""
    by_score: Ranks | None
    """Aggregate, then rank: by the mean of scores; None where datasets have different units."""
    by_rank: Ranks
    """Rank, then aggregate: by the mean of the ranks among these models."""
    scores: Values
    """[M] means over datasets of scores."""
    mean_ranks: Values
    """[M] means over datasets of ranks."""
    agreements: tuple[Agreement, ...]
    without: tuple[Without, ...]
    """Empty for two datasets: what is left then is the other one."""


def overall(
    fields: Sequence[RankedField], one_unit: bool, confidence: float = 0.95, impute: bool = False
) -> Overall | None:
    """Return ranks over datasets; None below two datasets, or below two models that have all of them.

    Resamples of different datasets are independent; the b-th ones are taken together. With `impute` a model
    counts as the worst on a dataset that it lacks: its score is the worst one there, its rank the last.
    """
    labels = list(dict.fromkeys(label for field in fields for label in field.models))
    lacks = {label: tuple(field.dataset for field in fields if label not in field.models) for label in labels}
    imputed = {label: datasets for label, datasets in lacks.items() if datasets} if impute else {}
    if imputed:
        fields = [
            completed(field, [label for label in labels if label not in field.models]) for field in fields
        ]
        lacks = dict.fromkeys(labels, ())
    models = tuple(label for label in labels if not lacks[label])
    if len(fields) < 2 or len(models) < 2:
        return None
    places = [np.array([field.models.index(label) for label in models]) for field in fields]
    good = [field.goodness[place] for field, place in zip(fields, places, strict=True)]
    drawn = _together([field.drawn for field in fields], places)
    by_score = _ranks(good, drawn, ranked=False) if one_unit else None
    whole = _ranks(good, drawn, ranked=True)
    means = np.mean([mean_ranks(values) for values in good], axis=0)
    return Overall(
        models=models,
        missing={label: datasets for label, datasets in lacks.items() if datasets},
        imputed=imputed,
        by_score=by_score,
        by_rank=whole,
        scores=np.mean([field.scores[place] for field, place in zip(fields, places, strict=True)], axis=0),
        mean_ranks=means,
        agreements=tuple(
            Agreement(
                fields[one].dataset,
                fields[other].dataset,
                float(kendall(good[one], good[other])),
                None if drawn is None else _between(kendall(drawn[one], drawn[other]), confidence),
            )
            for one, other in combinations(range(len(fields)), 2)
        ),
        without=_without(fields, good, means, one_unit) if len(fields) > 2 else (),
    )


def completed(field: RankedField, lacking: Sequence[str]) -> RankedField:
    """Return a dataset's ranks with models that have no result there: with the worst score, behind all."""
    if not lacking:
        return field
    count = len(lacking)
    # Far below what any score is printed with, and far above what counts as equal.
    behind = 1e-9
    goodness = np.append(field.goodness, np.full(count, field.goodness.min() - behind))
    scores = np.append(field.scores, np.full(count, field.scores[int(field.goodness.argmin())]))
    drawn = field.drawn
    if drawn is not None:
        last = np.repeat(drawn.min(axis=1, keepdims=True) - behind, count, axis=1)
        drawn = np.concatenate([drawn, last], axis=1)
    ranks = Ranks(mean_ranks(goodness), None if drawn is None else chances_of(drawn))
    return replace(
        field, models=(*field.models, *lacking), scores=scores, goodness=goodness, drawn=drawn, ranks=ranks
    )


def kendall(one: Values, other: Values) -> Values:
    """Return Kendall's tau-b [...] of two orders [..., M] of the same models; NaN where all are equal.

    Source: Kendall, Rank Correlation Methods, 1948, chapter 3.
    """
    first, second = np.triu_indices(one.shape[-1], 1)
    mine = np.sign(one[..., first] - one[..., second])
    theirs = np.sign(other[..., first] - other[..., second])
    together = (mine * theirs).sum(axis=-1)
    size = np.sqrt((mine**2).sum(axis=-1) * (theirs**2).sum(axis=-1))
    return np.asarray(np.divide(together, size, out=np.full(size.shape, np.nan), where=size > 0))


def _together(drawn: Sequence[Values | None], places: Sequence[Values]) -> list[Values] | None:
    known = [values[:, place] for values, place in zip(drawn, places, strict=True) if values is not None]
    if len(known) < len(drawn):
        return None
    # Resamples with an undefined score are left out, on each dataset others.
    most = min(len(values) for values in known)
    return [values[:most] for values in known]


def _ranks(good: Sequence[Values], drawn: Sequence[Values] | None, ranked: bool) -> Ranks:
    observed = mean_ranks(_aggregate(good, ranked))
    return Ranks(observed, None if drawn is None else chances_of(_aggregate(drawn, ranked)))


def _aggregate(values: Sequence[Values], ranked: bool) -> Values:
    """Return what orders models over datasets, the larger the better."""
    parts = [-mean_ranks(found) for found in values] if ranked else list(values)
    return np.asarray(np.sum(parts, axis=0))


def _without(
    fields: Sequence[RankedField], good: Sequence[Values], means: Values, one_unit: bool
) -> tuple[Without, ...]:
    found = []
    for place, field in enumerate(fields):
        rest = [values for number, values in enumerate(good) if number != place]
        by_rank = mean_ranks(_aggregate(rest, ranked=True))
        by_score = mean_ranks(_aggregate(rest, ranked=False)) if one_unit else None
        tau = float(kendall(-by_rank, -means))
        found.append(Without(field.dataset, by_score, by_rank, tau))
    return tuple(found)


def _between(values: Values, confidence: float) -> tuple[float, float] | None:
    known = values[~np.isnan(values)]
    if not len(known):
        return None
    low, high = np.quantile(known, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)
