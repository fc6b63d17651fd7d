"""From pairs to "every", "most" and "some": definitions by brute force, and t-tests of the textbook."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bench_core.analysis.expected import prediction
from bench_core.analysis.inference.compare import Settings, judge
from bench_core.analysis.inference.contrasts import Contrast, contrast, mean_of, means_apart, summed
from bench_core.analysis.inference.paired import View
from bench_core.analysis.inference.shown import OPEN, Proof, at_least, how_many, word_for
from tests.helpers.known_truth import planted_field

SHARES = st.lists(st.floats(0, 1), min_size=1, max_size=6)


@settings(max_examples=100, deadline=None)
@given(SHARES, st.data())
def test_a_partial_conjunction_is_the_worst_of_all_its_unions(
    values: list[float], data: st.DataObject
) -> None:
    number = data.draw(st.integers(1, len(values)))
    found = at_least([Proof(value, 1 - value) for value in values], number)
    # At least r of n are true iff any n - r + 1 of them hold a true one: Benjamini and Heller's definition.
    size = len(values) - number + 1
    unions = [size * min(chosen) for chosen in combinations(values, size)]
    assert found.supports == pytest.approx(min(1.0, max(unions)))
    against = [1 - value for value in values]
    other = [number * min(chosen) for chosen in combinations(against, number)]
    assert found.contradicts == pytest.approx(min(1.0, max(other)))
    turned = at_least([Proof(1 - value, value) for value in values], size)
    assert (turned.supports, turned.contradicts) == (found.contradicts, found.supports)
    assert not (found.supports < 0.5 and found.contradicts < 0.5)


def test_every_needs_no_correction_and_some_needs_bonferronis() -> None:
    proofs = [Proof(value, 1 - value) for value in (0.01, 0.04, 0.2)]
    assert at_least(proofs, how_many("every", 3)).supports == 0.2
    assert at_least(proofs, how_many("most", 3)).supports == pytest.approx(0.08)
    assert at_least(proofs, how_many("some", 3)).supports == pytest.approx(0.03)
    assert [how_many("most", count) for count in (1, 2, 3, 4, 5)] == [1, 2, 2, 3, 3]
    assert at_least([], 0) == at_least([], 1) == OPEN
    # What is missing counts against "every" and not against "some".
    assert at_least([*proofs, OPEN], 4).supports == 1
    assert at_least([Proof(0.001, 1.0), OPEN], 1).supports == 0.002


def test_words() -> None:
    assert word_for(Proof(0.049, 1.0), 0.05) == "supported"
    assert word_for(Proof(1.0, 0.049), 0.05) == "contradicted"
    assert word_for(Proof(0.05, 0.05), 0.05) == word_for(OPEN, 0.05) == "not decided"


def test_a_contrast_asks_the_t_tests_of_the_textbook() -> None:
    values = np.random.default_rng(0).normal(0.3, 1, 20)
    found = Contrast(values.mean(), values.std(ddof=1) / np.sqrt(20), 19)
    assert found.exceeds(0.1).supports == pytest.approx(
        stats.ttest_1samp(values, 0.1, alternative="greater").pvalue
    )
    assert found.exceeds(0.1).contradicts == pytest.approx(
        stats.ttest_1samp(values, 0.1, alternative="less").pvalue
    )
    ends = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (found.interval(0.95).low, found.interval(0.95).high) == pytest.approx((ends.low, ends.high))
    low, high = (
        stats.ttest_1samp(values, bound, alternative=side).pvalue
        for bound, side in ((1.0, "less"), (-1.0, "greater"))
    )
    assert found.within(1.0).supports == pytest.approx(max(low, high))
    sure = Contrast(0.5, 0.0, 19)
    assert (sure.exceeds(0.4), sure.exceeds(0.5)) == (Proof(0.0, 1.0), Proof(1.0, 1.0))
    assert (sure.within(0.6).supports, sure.within(0.4).contradicts) == (0.0, 0.0)


def test_independent_contrasts_add_as_welchs_test_has_it() -> None:
    random = np.random.default_rng(1)
    one, other = random.normal(0, 1, 12), random.normal(0, 3, 30)
    parts = [Contrast(x.mean(), x.std(ddof=1) / np.sqrt(len(x)), len(x) - 1) for x in (one, other)]
    theirs = stats.ttest_ind(one, other, equal_var=False)
    apart = summed([parts[0], parts[1].times(-1)])
    assert apart.degrees == pytest.approx(theirs.df)
    assert 2 * min(apart.above(0), apart.below(0)) == pytest.approx(theirs.pvalue)
    half = mean_of(parts)
    assert (half.value, half.error) == pytest.approx(
        ((one.mean() + other.mean()) / 2, np.hypot(parts[0].error, parts[1].error) / 2)
    )


@pytest.mark.parametrize("view", ["pooled", "images"])
def test_means_of_one_model_each_are_the_pair_of_the_report(view: View) -> None:
    field = planted_field(np.random.default_rng(2), 40, [0.01, 0.0, 0.02])
    judged = judge(field, view, Settings(samples=200))
    assert judged is not None
    pair = judged.pair("m2", "m0")
    assert pair.estimate is not None
    found = means_apart(field, view, ["m2"], ["m0"])
    assert found is not None
    expected = contrast(pair.estimate)
    assert (found.value, found.error, found.degrees) == pytest.approx(
        (expected.value, expected.error, expected.degrees)
    )
    both = means_apart(field, view, ["m2", "m1"], ["m0"])
    assert both is not None
    other = judged.pair("m1", "m0").difference
    assert both.value == pytest.approx((pair.difference + other) / 2)


def test_a_prediction_interval_is_that_of_a_new_mean() -> None:
    found = prediction(50.0, 1.3, 5, 2)
    assert found.high - 50 == pytest.approx(stats.t.ppf(0.975, 4) * 1.3 * np.sqrt(1 / 5 + 1 / 2))
    assert found.high + found.low == pytest.approx(100)
    # Of endlessly many further folds it is the interval of the mean itself.
    mean = stats.t.interval(0.95, 4, loc=50, scale=1.3 / np.sqrt(5))
    endless = prediction(50.0, 1.3, 5, 10**12)
    assert (endless.low, endless.high) == pytest.approx(mean, rel=1e-6)
    with pytest.raises(ValueError, match="no spread"):
        prediction(0.9, 0.0, 1, 5)
