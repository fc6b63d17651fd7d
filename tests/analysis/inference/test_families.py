"""Families: every deal counted by hand, scipy's permutation test, and a mixed model fitted elsewhere."""

from __future__ import annotations

from itertools import combinations, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bench_core.analysis.inference.family import family_effect, interaction
from bench_core.analysis.inference.resampling import Interval

GP_VM = np.array(
    [
        [91.7, 89.7, 91.6],
        [91.5, 89.6, 91.4],
        [91.9, 89.4, 91.5],
        [91.3, 89.6, 91.4],
        [91.4, 89.2, 91.6],
        [91.3, 89.1, 91.5],
    ]
)
SMA = np.array(
    [[91.3, 88.9, 91.3], [91.0, 84.6, 90.8], [90.3, 82.9, 90.4], [89.2, 82.5, 90.5], [89.0, 83.3, 89.1]]
)
"""The table of arXiv:2603.13044: ISIC'18, NeoPolyp, CAMUS."""
WHOLE = st.lists(st.integers(0, 30), min_size=2, max_size=4)


@settings(max_examples=60, deadline=None)
@given(WHOLE, WHOLE, st.integers(0, 5))
def test_every_deal_of_the_labels_counts_once(first: list[int], second: list[int], margin: int) -> None:
    found = family_effect(np.array(first, float), np.array(second, float), float(margin))
    values, size = [*first, *second], len(first)

    def gap(numbers: list[int], inside: set[int]) -> float:
        # Times both sizes: whole numbers, without any rounding.
        one = sum(numbers[place] for place in inside)
        return one * (len(numbers) - size) - (sum(numbers) - one) * size

    deals = [set(chosen) for chosen in combinations(range(len(values)), size)]
    observed = set(range(size))
    gaps = [gap(values, inside) for inside in deals]
    assert (found.deals, found.exact) == (len(deals), True)
    assert found.p_dealt == sum(abs(item) >= abs(gap(values, observed)) for item in gaps) / len(deals)
    moved = [value - margin if place < size else value for place, value in enumerate(values)]
    shifted = [gap(moved, inside) for inside in deals]
    better = sum(item >= gap(moved, observed) for item in shifted) / len(deals)
    worse = sum(item <= gap(moved, observed) for item in shifted) / len(deals)
    if len({*first}) > 1 or len({*second}) > 1:
        welch = {
            side: stats.ttest_ind(moved[:size], moved[size:], equal_var=False, alternative=side).pvalue
            for side in ("greater", "less", "two-sided")
        }
        assert found.p_better == pytest.approx(max(better, welch["greater"]), abs=1e-12)
        assert found.p_worse == pytest.approx(max(worse, welch["less"]), abs=1e-12)
        unmoved = stats.ttest_ind(first, second, equal_var=False).pvalue
        assert found.p_unequal == pytest.approx(unmoved, abs=1e-12)
        assert found.p == max(found.p_dealt, found.p_unequal or 0.0)
    turned = family_effect(np.array(second, float), np.array(first, float), -float(margin))
    assert (turned.p, turned.p_better, turned.p_worse) == (found.p, found.p_worse, found.p_better)


def test_scipy_deals_alike() -> None:
    first, second = GP_VM.mean(axis=1), SMA.mean(axis=1)
    theirs = stats.permutation_test(
        (first, second), lambda a, b: a.mean() - b.mean(), permutation_type="independent", n_resamples=np.inf
    )
    found = family_effect(first, second)
    # No deal of 462 is as extreme; scipy doubles the smaller side.
    assert (found.deals, found.p_dealt) == (462, 1 / 462)
    assert theirs.pvalue == pytest.approx(2 * found.p_dealt)
    # Specialized models scatter ten times as much, which the other test minds.
    apart = stats.ttest_ind(first, second, equal_var=False)
    ends = apart.confidence_interval(0.95)
    assert found.interval is not None
    assert (found.interval.low, found.interval.high) == pytest.approx((ends.low, ends.high))
    assert found.p == found.p_unequal == pytest.approx(apart.pvalue) and found.p > 0.01


def test_the_mixed_model_is_that_of_an_iterative_fit() -> None:
    # statsmodels 0.15.0, mixedlm("score ~ family + dataset", groups="model"), REML, on this table.
    found = family_effect(GP_VM.mean(axis=1), SMA.mean(axis=1))
    assert found.p_mixed is not None
    assert found.difference == pytest.approx(2.476667, abs=1e-6)
    # Its own p-value is that of z = 4.471; with 11 models Student's t has 9 degrees of freedom.
    assert found.p_mixed == pytest.approx(2 * stats.t.sf(2.476667 / 0.553928, 9), rel=1e-4)
    assert found.p_mixed > 100 * 2 * stats.norm.sf(4.471)
    pooled = stats.ttest_ind(GP_VM.mean(axis=1), SMA.mean(axis=1))
    assert found.p_mixed == pytest.approx(pooled.pvalue)


def test_many_models_are_dealt_at_random_and_never_to_zero() -> None:
    random = np.random.default_rng(0)
    values = random.normal(size=24)
    found = family_effect(values[:12] + 0.4, values[12:])
    assert (found.exact, found.deals) == (False, 100_000)
    theirs = stats.permutation_test(
        (values[:12] + 0.4, values[12:]),
        lambda a, b, axis: a.mean(axis=axis) - b.mean(axis=axis),
        n_resamples=50_000,
        vectorized=True,
        rng=1,
    )
    assert found.p_dealt == pytest.approx(theirs.pvalue, abs=0.01)
    assert family_effect(values[:12] + 99, values[12:]).p_dealt == 1 / 100_000


def test_families_that_are_equal_without_spread_have_no_interval() -> None:
    found = family_effect(np.array([0.9, 0.9]), np.array([0.9, 0.9]))
    assert (found.p, found.p_dealt, found.p_mixed, found.difference) == (1.0, 1.0, None, 0.0)
    assert found.interval == Interval(0.0, 0.0)
    one = family_effect(np.arange(30.0), np.array([99.0]))
    # A single model has no spread, and nothing is shown, though its place is the last of 31.
    assert (one.interval, one.p_unequal, one.deals) == (None, None, 31)
    assert (one.p_dealt, one.p, one.p_worse) == (1 / 31, 1.0, 1.0)


def test_a_gap_that_differs_between_datasets_is_told_from_one_that_does_not() -> None:
    found = interaction(GP_VM, SMA)
    assert found is not None and (found.deals, found.exact) == (462, True)
    rest = np.concatenate([GP_VM, SMA])
    rest = rest - rest.mean(axis=1, keepdims=True)
    spreads = []
    for inside in combinations(range(11), 6):
        outside = [place for place in range(11) if place not in inside]
        spreads.append(np.std(rest[list(inside)].mean(axis=0) - rest[outside].mean(axis=0)))
    assert found.p_dealt == pytest.approx(np.mean(np.array(spreads) >= spreads[0] - 1e-12))
    assert found.p_dealt < 0.01
    apart = [
        stats.ttest_ind(GP_VM[:, a] - GP_VM[:, b], SMA[:, a] - SMA[:, b], equal_var=False).pvalue
        for a, b in combinations(range(3), 2)
    ]
    assert found.p == found.p_unequal == pytest.approx(3 * min(apart))
    # The same gap everywhere is no interaction, however large it is.
    even = interaction(SMA[[0, 1, 2]] + 5, SMA[[0, 1, 2]])
    assert even is not None and even.p == 1.0
    assert interaction(GP_VM[:, :1], SMA[:, :1]) is None


def test_the_order_of_models_does_not_matter() -> None:
    first, second = GP_VM.mean(axis=1), SMA.mean(axis=1)
    found = family_effect(first, second)
    for order in list(permutations(range(5)))[::17]:
        turned = family_effect(first[::-1], second[list(order)])
        assert (turned.p_dealt, turned.deals) == (found.p_dealt, found.deals)
        assert turned.p == pytest.approx(found.p)
        assert turned.difference == pytest.approx(found.difference)
