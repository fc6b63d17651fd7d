"""Every pair of models on a dataset, judged: difference, interval, tests, effects and the word for it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bench_core.analysis.inference.field import Field
from bench_core.analysis.inference.folds import FoldTest, corrected_resampled_t
from bench_core.analysis.inference.jackknife import Estimate, estimate, p_equivalent, p_false_claim
from bench_core.analysis.inference.paired import PairedSums, View, exchanged_differences, paired_sums
from bench_core.analysis.inference.ranks import holm, improvement, wilcoxon
from bench_core.analysis.inference.resampling import (
    Interval,
    bootstrap_interval,
    least_p,
    p_value,
    permutations_for,
    resampled,
)
from bench_core.analysis.inference.statistics import effective_groups, left_out
from bench_core.analysis.inference.verdicts import FEWEST_GROUPS, Verdict, verdict
from bench_core.seeds import derive_seed


@dataclass(frozen=True)
class Settings:
    """How pairs are judged."""

    margin: float = 0.01
    """Differences below it make no difference, in the metric's stored unit: 0.01 is one point."""
    alpha: float = 0.05
    samples: int = 2_000
    """Resamples of the bootstrap."""


@dataclass(frozen=True)
class Compared:
    """`model` minus `reference` on one dataset, in the metric's stored unit; None where undefined."""

    model: str
    reference: str
    dataset: str
    view: View
    difference: float
    groups: int
    """Those that tell anything of the pair."""
    effective: float
    """How many groups of equal weight would scatter as these do."""
    images: int
    """Different images of the test folds."""
    left_out: int
    """Tested images, counted in each repeat, that are left out: one model's score of them is undefined."""
    interval: Interval | None
    """By bootstrap over groups, with confidence 1 - alpha."""
    p: float | None
    """Of the exchange permutation test."""
    estimate: Estimate | None
    p_equivalent: float | None
    p_false: float | None
    """Probability that the model that is ahead is not better."""
    improvement: float
    """Share of groups in which `model` is better."""
    folds: FoldTest | None
    """Corrected resampled t-test over the folds of the study's table."""
    draws: int
    """Exchanges that the test has computed."""
    least_p: float
    """The smallest p-value that it could have given, uncorrected."""
    pairs: int
    """How many pairs p-values are corrected for."""
    p_adjusted: float | None = None
    p_equivalent_adjusted: float | None = None
    verdict: Verdict = "cannot be judged"

    def mirrored(self) -> Compared:
        """Return the same with the two models changed."""
        interval, folds, found = self.interval, self.folds, self.estimate
        return replace(
            self,
            model=self.reference,
            reference=self.model,
            difference=-self.difference,
            interval=Interval(-interval.high, -interval.low) if interval else None,
            estimate=replace(found, value=-found.value) if found else None,
            improvement=1 - self.improvement,
            folds=replace(folds, mean=-folds.mean, statistic=-folds.statistic) if folds else None,
        )


@dataclass(frozen=True)
class Judged:
    """All pairs of a dataset."""

    view: View
    settings: Settings
    pairs: Mapping[tuple[str, str], Compared]

    def pair(self, model: str, reference: str) -> Compared:
        """Return one pair, whichever way round it is asked for."""
        if (model, reference) in self.pairs:
            return self.pairs[model, reference]
        return self.pairs[reference, model].mirrored()


def judge(field: Field, view: View, settings: Settings) -> Judged | None:
    """Return all pairs of a field; None for the pooled view of a metric that has no counts.

    All pairs are computed, and p-values are corrected for all of them by Holm's method: the leader is known
    from the same numbers, so that to compare with it alone would be to choose among all. Random choices
    depend on names alone and are the same for all models of a dataset.
    """
    sums = paired_sums(field, view)
    if sums is None:
        return None
    draws = resampled(sums.columns, settings.samples, seed_of(field, "bootstrap"))
    spread, kept = sums.differences(draws), sums.differences(left_out(sums.columns))
    observed = sums.differences(sums.columns.sum(axis=0))
    drawn = permutations_for(len(sums.pairs), settings.alpha)
    chance = exchanged_differences(sums, seed_of(field, "exchange"), drawn)
    found = {
        pair: _compared(
            field, sums, place, float(observed[place]), spread[:, place], kept[:, place], chance[:, place],
            view, settings,
        )
        for place, pair in enumerate(sums.pairs)
    }  # fmt: skip
    return Judged(view, settings, corrected(found, settings.alpha))


def corrected(found: Mapping[tuple[str, str], Compared], alpha: float) -> dict[tuple[str, str], Compared]:
    """Return the pairs with p-values corrected for their number, and with their verdicts."""
    different = holm({pair: item.p for pair, item in found.items() if item.p is not None})
    equivalent = holm(
        {pair: item.p_equivalent for pair, item in found.items() if item.p_equivalent is not None}
    )
    return {
        pair: replace(
            item,
            pairs=len(found),
            p_adjusted=different.get(pair),
            p_equivalent_adjusted=equivalent.get(pair),
            verdict=verdict(
                item.groups, different.get(pair), equivalent.get(pair), alpha, item.least_p * len(found)
            ),
        )
        for pair, item in found.items()
    }


def rank_test(field: Field, view: View, model: str, reference: str) -> float | None:
    """Return the p-value of Wilcoxon's signed-rank test over groups; None where no group differs."""
    sums = paired_sums(field, view)
    if sums is None:
        return None
    pair = (model, reference) if (model, reference) in sums.pairs else (reference, model)
    return wilcoxon(sums.of_groups(sums.pairs.index(pair)))


def seed_of(field: Field, purpose: str) -> int:
    """Return the seed of random choices about a dataset."""
    return derive_seed("inference", field.dataset, purpose)


def _compared(
    field: Field,
    sums: PairedSums,
    place: int,
    observed: float,
    spread: NDArray[np.float64],
    kept: NDArray[np.float64],
    chance: NDArray[np.float64],
    view: View,
    settings: Settings,
) -> Compared:
    model, reference = sums.pairs[place]
    used = sums.informative(place)
    groups, kept = int(used.sum()), kept[used]
    defined = not math.isnan(observed)
    found = estimate(observed, kept)
    lower = field.quantity.metric.better == "lower"
    gains = sums.of_groups(place) * (-1 if lower else 1)
    enough = groups >= FEWEST_GROUPS
    return Compared(
        model=model,
        reference=reference,
        dataset=field.dataset,
        view=view,
        difference=observed,
        groups=groups,
        effective=effective_groups(sums.weights(place)),
        images=field.images,
        left_out=sums.left_out(place),
        interval=bootstrap_interval(observed, spread, kept, 1 - settings.alpha) if enough else None,
        p=p_value(observed, chance, len(field.groups)) if defined else None,
        estimate=found,
        p_equivalent=p_equivalent(found, settings.margin) if found else None,
        p_false=p_false_claim(found) if found else None,
        improvement=improvement(gains),
        folds=_fold_test(field, model, reference),
        draws=len(chance),
        least_p=least_p(len(field.groups), len(chance)),
        pairs=len(sums.pairs),
    )


def _fold_test(field: Field, model: str, reference: str) -> FoldTest | None:
    mine, theirs = field.models[model].folds, field.models[reference].folds
    return corrected_resampled_t([mine[key] - theirs[key] for key in sorted(mine)], field.ratio)
