"""Is one family of models better than another, more than the choice of its models explains?

Here models are what was drawn, not images. Labels of families are dealt anew among the models, as if a
model's family told nothing: a permutation test (Fisher, The Design of Experiments, 1935, chapter III; Phipson
and Smyth, Statistical Applications in Genetics and Molecular Biology 9:39, 2010, for random deals).

The mixed model score ~ family + dataset + (1 | model) is there, too. Every model has every dataset, so it
needs no iteration: in balanced data the family is tested between models, by the t-test of the models' means
over datasets with M - 2 degrees of freedom, and its interaction with datasets within them (Searle, Casella
and McCulloch, Variance Components, 1992, section 4.3).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from bench_core.analysis.inference.distributions import t_below, t_quantile
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
    p: float
    """Two-sided, by permutation of labels."""
    p_better: float
    """One-sided, that the difference is above the margin."""
    p_worse: float
    """One-sided, that it is below the margin."""
    deals: int
    """Deals of the labels that were computed, that which was observed among them."""
    exact: bool
    """Whether those were all."""
    interval: Interval | None
    """Of the mixed model, with confidence 1 - alpha; None without spread or below three models."""
    p_mixed: float | None
    """Two-sided, of the mixed model."""

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
    interval, p_mixed = _mixed(first, second, gap, alpha)
    return FamilyEffect(
        difference=gap,
        p=_share(np.abs(chance) >= _near(abs(gap)), exact),
        p_better=_share(moved >= _near(gap - margin), exact),
        p_worse=_share(-moved >= _near(margin - gap), exact),
        deals=len(chance) + (0 if exact else 1),
        exact=exact,
        interval=interval,
        p_mixed=p_mixed,
    )


@dataclass(frozen=True)
class Interaction:
    """Whether the gap between two groups of models differs between datasets."""

    spread: float
    """Standard deviation of the gaps over datasets."""
    p: float
    deals: int
    exact: bool


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
    return Interaction(observed, _share(found >= _near(observed), exact), len(found) + (not exact), exact)


def _mixed(first: Values, second: Values, gap: float, alpha: float) -> tuple[Interval | None, float | None]:
    degrees = len(first) + len(second) - 2
    if degrees < 1:
        return None, None
    squares = float(((first - first.mean()) ** 2).sum() + ((second - second.mean()) ** 2).sum())
    error = math.sqrt(squares / degrees * (1 / len(first) + 1 / len(second)))
    if error <= 1e-12 * max(float(np.abs(np.concatenate([first, second])).max()), 1e-300):
        return None, None
    half = t_quantile(1 - alpha / 2, degrees) * error
    return Interval(gap - half, gap + half), float(2 * t_below(-abs(gap) / error, degrees))


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
