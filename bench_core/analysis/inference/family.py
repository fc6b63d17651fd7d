"""Is one family of models better than another, more than the choice of its models explains?

Here models are what was drawn, not images. Labels of families are dealt anew among the models, as if a
model's family told nothing: a permutation test (Fisher, The Design of Experiments, 1935, chapter III; Phipson
and Smyth, Statistical Applications in Genetics and Molecular Biology 9:39, 2010, for random deals).

The mixed model score ~ family + dataset + (1 | model) is there, too. Every model has every dataset, so it
needs no iteration: in balanced data the family is tested between models, by the t-test of the models' means
over datasets with M - 2 degrees of freedom, and its interaction with datasets within them (Searle, Casella
and McCulloch, Variance Components, 1992, section 4.3).

Both take the families to scatter alike. Where the smaller one scatters more they find differences that are
not there, so the same model is asked with a variance for each family, which is Welch's test of the models'
means (Biometrika 34, 1947), and a difference counts as shown where both tests show it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from bench_core.analysis.inference.contrasts import Contrast, summed
from bench_core.analysis.inference.distributions import t_below
from bench_core.analysis.inference.resampling import Interval
from bench_core.seeds import derive_seed

MOST_DEALS = 200_000
"""Up to so many deals of the labels all are computed."""
RANDOM_DEALS = 99_999
_ROUNDING = 1e-9
Values = NDArray[np.float64]


@dataclass(frozen=True)
class FamilyEffect:
    """The mean of some models minus that of others."""

    difference: float
    p_dealt: float
    """Two-sided, by permutation of labels."""
    p_better: float
    """One-sided, that the difference is above the margin: the larger of both tests'."""
    p_worse: float
    """One-sided, that it is below the margin, likewise."""
    deals: int
    """Deals of the labels that were computed, that which was observed among them."""
    exact: bool
    """Whether those were all."""
    p_mixed: float | None
    """Two-sided, of the mixed model with one variance; None without spread or below three models."""
    p_unequal: float | None
    """Two-sided, of the mixed model with a variance for each family; None where one has a single model."""
    interval: Interval | None
    """Of the latter, with confidence 1 - alpha."""

    @property
    def p(self) -> float:
        """Two-sided, for a difference that both tests show; 1 where a family has a single model."""
        return 1.0 if self.p_unequal is None else max(self.p_dealt, self.p_unequal)

    @property
    def least_p(self) -> float:
        """The smallest one-sided p-value that there could have been."""
        return 1 / self.deals


def family_effect(first: Values, second: Values, margin: float = 0.0, alpha: float = 0.05) -> FamilyEffect:
    """Return the effect of scores, or of means over datasets, of the models [M1] and [M2].

    `margin` moves what the one-sided p-values ask: whether the difference is above or below it.
    """
    gap = float(first.mean() - second.mean())
    centered = np.concatenate([first - margin, second])
    chance, exact = _dealt(np.concatenate([first, second]), len(first))
    moved = chance if not margin else _dealt(centered, len(first))[0]
    apart = _welch(first, second)
    above, below = (1.0, 1.0) if apart is None else (apart.above(margin), apart.below(margin))
    return FamilyEffect(
        difference=gap,
        p_dealt=_share(np.abs(chance) >= _near(abs(gap)), exact),
        p_better=max(above, _share(moved >= _near(gap - margin), exact)),
        p_worse=max(below, _share(-moved >= _near(margin - gap), exact)),
        deals=len(chance) + (0 if exact else 1),
        exact=exact,
        p_mixed=_mixed(first, second, gap),
        p_unequal=None if apart is None else _two_sided(apart),
        interval=None if apart is None else apart.interval(1 - alpha),
    )


@dataclass(frozen=True)
class Interaction:
    """Whether the gap between two groups of models differs between datasets."""

    spread: float
    """Standard deviation of the gaps over datasets."""
    p_dealt: float
    deals: int
    exact: bool
    p_unequal: float | None
    """Of Welch's tests on each pair of datasets, corrected by Bonferroni's bound."""

    @property
    def p(self) -> float:
        """For a spread that both tests show; 1 where a family has a single model."""
        return 1.0 if self.p_unequal is None else max(self.p_dealt, self.p_unequal)


def interaction(first: Values, second: Values) -> Interaction | None:
    """Return the test of scores [M1, D] and [M2, D] on the same datasets; None below two datasets.

    Each model's mean over datasets is taken away first, so that a family that is better everywhere does not
    count, and labels are dealt among what is left.
    """
    if first.shape[1] < 2:
        return None
    rest = np.concatenate([first, second])
    rest = rest - rest.mean(axis=1, keepdims=True)
    chosen, exact = _deals(len(rest), len(first))
    inside = _sums(rest, chosen)
    gaps = inside / len(first) - (rest.sum(axis=0) - inside) / len(second)
    found = gaps.std(axis=1)
    mine = rest[: len(first)].mean(axis=0) - rest[len(first) :].mean(axis=0)
    observed = float(mine.std())
    pairs = [
        _welch(first[:, one] - first[:, other], second[:, one] - second[:, other])
        for one, other in combinations(range(first.shape[1]), 2)
    ]
    known = [_two_sided(pair) for pair in pairs if pair is not None]
    unequal = min(1.0, len(known) * min(known)) if known else None
    dealt = _share(found >= _near(observed), exact)
    return Interaction(observed, dealt, len(found) + (not exact), exact, unequal)


def _mixed(first: Values, second: Values, gap: float) -> float | None:
    degrees = len(first) + len(second) - 2
    if degrees < 1:
        return None
    squares = float(((first - first.mean()) ** 2).sum() + ((second - second.mean()) ** 2).sum())
    error = math.sqrt(squares / degrees * (1 / len(first) + 1 / len(second)))
    if error <= 1e-12 * max(float(np.abs(np.concatenate([first, second])).max()), 1e-300):
        return None
    return float(2 * t_below(-abs(gap) / error, degrees))


def _welch(first: Values, second: Values) -> Contrast | None:
    """Return the difference of means with an error from each side's own spread; None below two values."""
    if min(len(first), len(second)) < 2:
        return None
    sides = [
        Contrast(float(side.mean()), float(side.std(ddof=1)) / math.sqrt(len(side)), len(side) - 1)
        for side in (first, second)
    ]
    found = summed([sides[0], sides[1].times(-1.0)])
    # What is left of equal values is rounding, not spread.
    scale = max(float(np.abs(np.concatenate([first, second])).max()), 1e-300)
    return found if found.error > 1e-12 * scale else Contrast(found.value, 0.0, found.degrees)


def _two_sided(found: Contrast) -> float:
    if not found.error:
        return 1.0 if abs(found.value) <= _ROUNDING else 0.0
    return min(1.0, 2 * min(found.above(0.0), found.below(0.0)))


def _dealt(values: Values, size: int) -> tuple[Values, bool]:
    """Return the differences of means under all deals of `size` labels among values [M], or random ones."""
    chosen, exact = _deals(len(values), size)
    inside = _sums(values[:, None], chosen)[:, 0]
    return np.asarray(inside / size - (values.sum() - inside) / (len(values) - size)), exact


def _deals(count: int, size: int) -> tuple[NDArray[np.intp], bool]:
    """Return which models [deals, size] have the first label."""
    if math.comb(count, size) <= MOST_DEALS:
        return np.array(list(combinations(range(count), size)), dtype=np.intp), True
    random = np.random.default_rng(derive_seed("inference", "families"))
    order = random.random((RANDOM_DEALS, count)).argsort(axis=1)
    return order[:, :size], False


def _sums(values: Values, chosen: NDArray[np.intp]) -> Values:
    """Return sums [deals, D] of values [M, D] over the chosen models."""
    found = np.zeros((len(chosen), values.shape[1]))
    for place in range(chosen.shape[1]):
        found += values[chosen[:, place]]
    return found


def _near(observed: float) -> float:
    # Equal but for rounding counts as equal.
    return observed - _ROUNDING * max(abs(observed), 1e-6)


def _share(extreme: NDArray[np.bool_], exact: bool) -> float:
    hits = int(extreme.sum())
    return hits / len(extreme) if exact else (1 + hits) / (1 + len(extreme))
