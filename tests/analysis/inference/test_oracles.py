"""Each number of the inference against another way to it: scipy, brute force, values worked out by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bench_core.analysis.inference import resampling
from bench_core.analysis.inference.compare import Settings, judge, rank_test
from bench_core.analysis.inference.folds import components, corrected_resampled_t
from bench_core.analysis.inference.jackknife import Estimate, estimate, p_equivalent, p_false_claim
from bench_core.analysis.inference.paired import exchanged_differences, paired_sums, pooled_sums
from bench_core.analysis.inference.ranks import holm, improvement, wilcoxon
from bench_core.analysis.inference.resampling import (
    EXACT_GROUPS,
    bca,
    bootstrap_interval,
    exchanges,
    expanded_percentile,
    least_p,
    p_value,
    permutations_for,
    resampled,
)
from bench_core.analysis.inference.statistics import MeanOfImages, PooledRatio, left_out
from bench_core.analysis.inference.verdicts import verdict
from bench_core.analysis.quantity import Pooled
from tests.helpers.known_truth import metric, planted_field


def test_the_interval_is_scipys_of_the_same_resamples() -> None:
    field = planted_field(np.random.default_rng(1), 40, [0.0])
    sums = pooled_sums(field)
    assert sums is not None
    counts = sums["m0"][:, 0]
    ratio = PooledRatio(metric())

    def statistic(hit: np.ndarray, extra: np.ndarray, missed: np.ndarray, axis: int = -1) -> np.ndarray:
        return ratio.of(np.stack([part.sum(axis=axis) for part in (hit, extra, missed)], axis=-1))

    theirs = stats.bootstrap(
        tuple(counts.T), statistic, paired=True, method="BCa", rng=np.random.default_rng(2), n_resamples=999
    )
    observed = float(ratio.of(counts.sum(axis=0)))
    mine = bca(observed, theirs.bootstrap_distribution, ratio.of(left_out(counts)))
    assert (mine.low, mine.high) == pytest.approx(tuple(theirs.confidence_interval), rel=1e-9)


def test_resamples_are_those_of_a_bootstrap() -> None:
    field = planted_field(np.random.default_rng(1), 60, [0.0])
    sums = pooled_sums(field)
    assert sums is not None
    counts, ratio = sums["m0"][:, 0], PooledRatio(metric())
    found = ratio.of(resampled(counts, 20_000, 3))
    random = np.random.default_rng(4)
    slow = [float(ratio.of(counts[random.integers(0, 60, 60)].sum(axis=0))) for _ in range(20_000)]
    assert found.mean() == pytest.approx(np.mean(slow), abs=5 * np.std(slow) / 140)
    assert found.std() == pytest.approx(np.std(slow), rel=0.03)
    assert (resampled(np.ones((60, 1)), 500, 3) == 60).all(), "as many groups are drawn as there are"
    assert (resampled(counts, 500, 3) == resampled(counts, 500, 3)).all()


def test_kept_weights_change_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    parts = [random.random((groups, width)) for groups, width in ((1, 2), (250, 4), (250, 2), (3000, 2))]
    kept = [resampled(sums, 1_000, seed) for sums in parts for seed in (1, 2, 1)]
    monkeypatch.setattr(resampling, "_KEPT", 0)
    plain = [resampled(sums, 1_000, seed) for sums in parts for seed in (1, 2, 1)]
    assert all((one == other).all() for one, other in zip(kept, plain, strict=True))


def test_pairs_share_their_resamples() -> None:
    field = planted_field(np.random.default_rng(1), 30, [0.0, 0.0])
    twins = paired_sums(field, "pooled")
    assert twins is not None
    copied = resampled(np.concatenate([twins.columns[:, :3]] * 2, axis=1), 300, 5)
    assert (twins.differences(copied) == 0).all()


def test_all_exchanges_of_few_groups_are_scipys_exact_test() -> None:
    field = planted_field(np.random.default_rng(3), EXACT_GROUPS, [0.0, 0.02], sizes=(1, 1))
    found = judge(field, "images", Settings(samples=50))
    assert found is not None
    scores = [field.models[label].scores for label in ("m0", "m1")]
    oracle = stats.permutation_test(
        (scores[0] - scores[1],), np.mean, permutation_type="samples", n_resamples=np.inf
    )
    assert found.pair("m0", "m1").p == pytest.approx(oracle.pvalue, abs=1e-12)


def test_drawn_exchanges_are_scipys_random_test() -> None:
    field = planted_field(np.random.default_rng(8), 50, [0.0, 0.02], sizes=(1, 1))
    found = judge(field, "images", Settings(samples=50))
    assert found is not None
    difference = field.models["m0"].scores - field.models["m1"].scores
    oracle = stats.permutation_test(
        (difference,),
        np.mean,
        permutation_type="samples",
        n_resamples=19_999,
        rng=np.random.default_rng(1),
    )
    assert 0.005 < oracle.pvalue < 0.5
    assert found.pair("m0", "m1").p == pytest.approx(oracle.pvalue, abs=0.02)


@pytest.mark.parametrize("name", ["mdsc", "miou", "mrecall", "mprecision"])
def test_exchanged_counts_are_those_of_changed_places(name: str) -> None:
    drawn = planted_field(np.random.default_rng(4), 5, [0.0, 0.03, -0.02])
    field = replace(drawn, quantity=Pooled(metric=metric(name), name=name))
    pooled, sums = paired_sums(field, "pooled"), pooled_sums(field)
    assert pooled is not None and sums is not None
    ratio = PooledRatio(metric(name))
    slow = []
    for swap in product((0, 1), repeat=5):
        chosen = np.array(swap[::-1], dtype=bool)[:, None]
        row = []
        for one, other in pooled.pairs:
            mine, theirs = sums[one][:, 0], sums[other][:, 0]
            first = np.where(chosen, theirs, mine).sum(axis=0)
            second = np.where(chosen, mine, theirs).sum(axis=0)
            row.append(float(ratio.of(first) - ratio.of(second)))
        slow.append(row)
    assert exchanged_differences(pooled, 1) == pytest.approx(np.array(slow), abs=1e-15)


def test_groups_change_places_as_a_whole() -> None:
    field = planted_field(np.random.default_rng(4), 6, [0.0, 0.03], sizes=(2, 5))
    images = paired_sums(field, "images")
    assert images is not None
    difference = field.models["m0"].scores - field.models["m1"].scores
    slow = [
        np.mean(np.where(np.array(swap[::-1])[field.of_image] == 1, -difference, difference))
        for swap in product((0, 1), repeat=6)
    ]
    assert exchanged_differences(images, 1)[:, 0] == pytest.approx(np.array(slow), abs=1e-15)


def test_one_image_per_group_gives_the_paired_t_test() -> None:
    field = planted_field(np.random.default_rng(5), 37, [0.0, 0.01], sizes=(1, 1))
    images = paired_sums(field, "images")
    assert images is not None
    value = float(images.differences(images.columns.sum(axis=0))[0])
    found = estimate(value, images.differences(left_out(images.columns))[:, 0])
    assert found is not None
    first, second = field.models["m0"].scores, field.models["m1"].scores
    oracle = stats.ttest_rel(first, second)
    assert 2 * p_false_claim(found) == pytest.approx(oracle.pvalue, rel=1e-9)
    interval, theirs = found.interval(0.95), oracle.confidence_interval(0.95)
    assert (interval.low, interval.high) == pytest.approx((theirs.low, theirs.high), rel=1e-9)
    # The formula of arXiv 2505.04720 for a claim of segmentation, from means, deviations and correlation.
    spread = first.std(ddof=1) ** 2 + second.std(ddof=1) ** 2
    spread -= 2 * first.std(ddof=1) * second.std(ddof=1) * np.corrcoef(first, second)[0, 1]
    claim = stats.t.cdf(-abs(first.mean() - second.mean()) * math.sqrt(37 / spread), 36)
    assert p_false_claim(found) == pytest.approx(claim, rel=1e-9)
    difference = first - second
    assert found.effect == pytest.approx(difference.mean() / difference.std(ddof=1), rel=1e-9)
    margin = 0.02
    above = stats.ttest_1samp(difference, -margin, alternative="greater").pvalue
    below = stats.ttest_1samp(difference, margin, alternative="less").pvalue
    assert p_equivalent(found, margin) == pytest.approx(max(above, below), rel=1e-9)


def test_images_of_a_group_do_not_count_as_independent() -> None:
    once = planted_field(np.random.default_rng(6), 30, [0.0, 0.01], sizes=(1, 1))
    images = paired_sums(once, "images")
    assert images is not None
    columns = images.columns
    single, repeated = (
        estimate(float(MeanOfImages().of(part.sum(axis=0))), MeanOfImages().of(left_out(part)))
        for part in (columns, 10 * columns)
    )
    assert single is not None and repeated is not None
    assert (repeated.value, repeated.error) == pytest.approx((single.value, single.error))


def test_the_corrected_t_test_by_hand() -> None:
    differences = [0.02, 0.01, 0.03, 0.00, 0.04]
    # Mean 0.02, variance 0.00025, (1 / 5 + 1 / 3) * 0.00025 = 0.00013333, its root 0.011547.
    found = corrected_resampled_t(differences, 1 / 3)
    assert found is not None
    assert found.statistic == pytest.approx(0.02 / 0.0115470054, rel=1e-8)
    assert (found.degrees, found.p) == (4, pytest.approx(2 * stats.t.sf(1.7320508, 4), rel=1e-6))
    assert corrected_resampled_t(differences, 0.0).p == pytest.approx(  # type: ignore[union-attr]
        stats.ttest_1samp(differences, 0).pvalue
    )
    assert corrected_resampled_t([0.5], 0.25) is None
    assert corrected_resampled_t([0.0, 0.0], 0.25).p == 1.0  # type: ignore[union-attr]
    assert corrected_resampled_t([0.1 + 0.2, 0.3], 0.25).p == 0.0  # type: ignore[union-attr]


def test_variance_components_by_hand() -> None:
    # Fold means 2 and 5, within each a variance of 2: between 2 * 2 * 1.5**2 = 9 on 1 degree, so (9 - 2) / 2.
    found = components({(0, 0): 1.0, (0, 1): 3.0, (1, 0): 4.0, (1, 1): 6.0})
    assert found is not None
    assert (found.folds**2, found.repeats**2) == pytest.approx((3.5, 2.0))
    assert components({(0, 0): 1.0, (1, 0): 2.0}) is None
    assert components({(0, 0): 1.0, (0, 1): 2.0}) is None
    equal = components({(0, 0): 1.0, (0, 1): 3.0, (1, 0): 1.0, (1, 1): 3.0})
    assert equal is not None and equal.folds == 0.0


def test_variance_components_are_found_again() -> None:
    random = np.random.default_rng(7)
    folds, repeats = 400, 5
    base = random.normal(0, 0.02, folds)
    scores = {(f, r): base[f] + random.normal(0, 0.01) for f in range(folds) for r in range(repeats)}
    found = components(scores)
    assert found is not None
    assert (found.folds, found.repeats) == (pytest.approx(0.02, rel=0.1), pytest.approx(0.01, rel=0.05))


def test_holm_as_r_adjusts() -> None:
    # p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm")
    found = holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005})
    assert found == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06, "d": 0.02})


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_keeps_order_and_bounds(values: list[float]) -> None:
    found = holm(dict(enumerate(values)))
    assert all(values[key] <= found[key] <= min(1.0, len(values) * values[key]) for key in found)
    order = sorted(found, key=values.__getitem__)
    assert all(found[one] <= found[other] for one, other in pairwise(order))


def test_the_signed_rank_test_by_hand() -> None:
    # Zeros dropped: 1, -2, 3, 4, 5 have ranks 1 to 5, the negative ones sum to 2; mean 7.5, variance 13.75.
    found = wilcoxon(np.array([0.0, 1.0, -2.0, 3.0, 4.0, 5.0, 0.0]))
    assert found == pytest.approx(2 * stats.norm.cdf((2 - 7.5) / math.sqrt(13.75)), rel=1e-9)
    assert wilcoxon(np.zeros(4)) is None
    many = np.concatenate([np.full(15, -1.0), np.zeros(40), np.full(15, 1.0)])
    assert wilcoxon(many) == pytest.approx(1.0)
    field = planted_field(np.random.default_rng(8), 20, [0.0, 0.05])
    assert rank_test(field, "pooled", "m1", "m0") == rank_test(field, "pooled", "m0", "m1")


def test_the_probability_of_improvement_counts_ties_half() -> None:
    assert improvement(np.array([0.1, -0.2, 0.0, 0.3])) == pytest.approx(2.5 / 4)


@given(
    st.lists(st.floats(-1, 1), min_size=1, max_size=40),
    st.floats(-1, 1).filter(lambda value: abs(value) > 1e-6),
)
def test_p_values_are_never_zero(found: list[float], observed: float) -> None:
    assert 0 < p_value(observed, np.array(found), groups=50) <= 1
    assert p_value(0.0, np.array(found), groups=50) == 1.0


def test_no_spread_is_certain() -> None:
    equal = Estimate(0.0, 0.0, 20)
    assert (p_equivalent(equal, 0.01), p_false_claim(equal)) == (0.0, 0.5)
    shifted = Estimate(0.02, 0.0, 20)
    assert (p_equivalent(shifted, 0.01), p_false_claim(shifted)) == (1.0, 0.0)
    assert estimate(0.1, np.full(5, 0.1)) == Estimate(0.1, 0.0, 5)
    assert estimate(0.1, np.array([0.1])) is None
    assert estimate(0.1, np.array([0.1, math.nan])) is None


def test_each_word_has_one_meaning() -> None:
    assert verdict(100, 0.01, 1.0, 0.05) == "different"
    assert verdict(100, 0.01, 0.01, 0.05) == "different"
    assert verdict(100, 0.2, 0.01, 0.05) == "equivalent"
    assert verdict(100, 0.2, 0.2, 0.05) == "no difference shown"
    assert verdict(9, 0.001, 0.001, 0.05) == "cannot be judged"
    assert verdict(100, None, None, 0.05) == "cannot be judged"
    assert verdict(10, 0.11, 0.001, 0.05, least=0.107) == "cannot be judged"


def test_a_test_that_could_prove_nothing_is_none() -> None:
    # Ten groups have 1024 exchanges, so that p is at least 2 / 1024, and 55 times that is above 0.05.
    gains = [0.0, *(-0.2 for _ in range(10))]
    many = judge(planted_field(np.random.default_rng(9), 10, gains), "pooled", Settings(samples=200))
    assert many is not None
    assert {pair.verdict for pair in many.pairs.values()} == {"cannot be judged"}
    two = judge(planted_field(np.random.default_rng(9), 10, gains[:2]), "pooled", Settings(samples=200))
    assert two is not None
    pair = two.pair("m0", "m1")
    assert (pair.p, pair.least_p, pair.verdict) == (2 / 1024, 2 / 1024, "different")


@given(st.integers(1, 800), st.floats(0.01, 0.5))
def test_drawn_tests_can_always_prove_something(tests: int, alpha: float) -> None:
    drawn = permutations_for(tests, alpha)
    assert 9_999 <= drawn <= 99_999
    assert least_p(100, drawn) * tests < alpha


def test_an_undefined_resample_makes_no_interval_narrower() -> None:
    values = np.linspace(0.4, 0.6, 100)
    kept = np.linspace(0.49, 0.51, 20)
    assert bootstrap_interval(0.5, values, kept) is not None
    assert bootstrap_interval(0.5, np.concatenate([values, np.full(4, np.nan)]), kept) is not None
    assert bootstrap_interval(0.5, np.concatenate([values, np.full(20, np.nan)]), kept) is None
    assert bootstrap_interval(math.nan, values, kept) is None
    assert bootstrap_interval(0.5, values, np.array([math.nan])) is None
    same = bootstrap_interval(0.5, np.full(100, 0.5), np.full(20, 0.5))
    assert same is not None and (same.low, same.high) == (0.5, 0.5)


def test_the_interval_of_few_groups_is_the_t_interval_of_normal_resamples() -> None:
    found = stats.norm.ppf((np.arange(200_000) + 0.5) / 200_000)
    interval = expanded_percentile(found, 10)
    half = math.sqrt(10 / 9) * stats.t.ppf(0.975, 9)
    assert (interval.low, interval.high) == pytest.approx((-half, half), abs=1e-3)


@given(st.integers(EXACT_GROUPS + 1, 60), st.integers(0, 2**40))
def test_each_group_changes_places_in_half_of_the_draws(groups: int, seed: int) -> None:
    drawn = np.concatenate(list(exchanges(groups, seed, 4_000)))
    assert drawn.shape == (4_000, groups) and set(np.unique(drawn)) == {0.0, 1.0}
    assert np.abs(drawn.mean(axis=0) - 0.5).max() < 6 * 0.5 / math.sqrt(4_000)
    assert np.abs(np.corrcoef(drawn[:, 0], drawn[:, 1])[0, 1]) < 6 / math.sqrt(4_000)
