"""The smallest detectable difference: against the t-test's power, against simulated studies, at its edges."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some
from scipy import stats

from bench_core.analysis.inference.compare import Settings, judge
from bench_core.analysis.inference.detection import detection
from bench_core.analysis.inference.power import (
    Aim,
    AssumedSpread,
    Folding,
    detectable,
    groups_needed,
    noncentrality,
)
from bench_core.analysis.inference.statistics import effective_groups
from tests.helpers.known_truth import planted_field
from tests.helpers.simulated import detected


def power_of_t(difference: float, error: float, degrees: int, level: float) -> float:
    critical = stats.t.ppf(1 - level / 2, degrees)
    return float(stats.nct.sf(critical, degrees, difference / error))


@given(groups=some.integers(15, 5000), pairs=some.integers(1, 200), spread=some.floats(0.001, 0.5))
def test_a_t_test_of_the_corrected_level_has_the_stated_power(groups: int, pairs: int, spread: float) -> None:
    aim = Aim(pairs)
    found = detectable(spread, groups, aim)
    if found is None:
        assert 2.0 ** (1 - groups) >= aim.level or groups < 10
        return
    power = power_of_t(found, spread / math.sqrt(groups), groups - 1, 0.05 / pairs)
    assert power == pytest.approx(0.8, abs=1e-4)


def test_many_groups_give_the_formula_of_textbooks() -> None:
    # (1.960 + 0.842) s / sqrt(n) for one pair; NeoPolyp's 945 images with SD .15 and r .7 are 1.06 points.
    spread = AssumedSpread(0.15, 0.7).of_groups(1)
    assert spread == pytest.approx(0.15 * math.sqrt(0.6))
    assert detectable(spread, 945, Aim(1)) == pytest.approx(2.8016 * spread / math.sqrt(945), rel=2e-3)
    assert detectable(spread, 945, Aim(1)) == pytest.approx(0.0106, abs=5e-5)
    # Four images of a patient, correlated by one half, have the design effect 2.5.
    patients = detectable(AssumedSpread(0.15, 0.7, 0.5).of_groups(4), 499, Aim(1))
    assert patients == pytest.approx(0.0115, abs=5e-5)


@given(pairs=some.integers(1, 100), spread=some.floats(0.001, 0.5), evenness=some.floats(0.2, 1))
def test_as_many_groups_as_are_needed_and_no_more(pairs: int, spread: float, evenness: float) -> None:
    aim = Aim(pairs)
    needed = groups_needed(spread, aim, evenness)
    assert needed is not None
    now, before = (detectable(spread, number, aim, evenness) for number in (needed, needed - 1))
    assert now is not None and now <= aim.margin
    assert before is None or before > aim.margin


def test_too_few_groups_show_nothing_whatever_the_difference() -> None:
    assert detectable(0.0, 9, Aim(1)) is None
    assert detectable(0.0, 10, Aim(1)) == 0
    # 2**-9 is no proof among 55 pairs, 2**-11 is.
    assert detectable(0.0, 10, Aim(55)) is None
    assert groups_needed(0.0, Aim(55)) == 12
    assert groups_needed(1e4, Aim(55)) is None


def test_uneven_groups_detect_less() -> None:
    assert effective_groups(np.ones(40)) == pytest.approx(40)
    assert effective_groups(np.array([1.0, 0, 0])) == 1
    assert effective_groups(np.zeros(3)) == 0
    even, uneven = (detectable(0.05, 50, Aim(55), share) for share in (1.0, 0.5))
    assert even is not None and uneven is not None and uneven > even


def test_folds_have_the_power_of_the_corrected_test() -> None:
    aim = Aim(1, 0.01)
    folding = Folding(spread=0.004, folds=5, cut=5, repeats=1, ratio=1 / 3)
    found = folding.detectable(aim)
    assert found == pytest.approx(noncentrality(4, aim) * 0.004 * math.sqrt(1 / 5 + 1 / 3))
    repeats = folding.repeats_needed(aim)
    assert repeats is not None and repeats > 1
    for number, enough in ((repeats, True), (repeats - 1, False)):
        shown = Folding(0.004, 5, 5, number, 1 / 3).detectable(aim)
        assert shown is not None and (shown <= aim.margin) is enough
    # What equal training images leave, no repeat takes away: 2.8 * 0.02 * sqrt(1 / 3) is above the margin.
    assert Folding(0.02, 5, 5, 1, 1 / 3).repeats_needed(aim) is None
    # Seven folds: one tests, one validates, five train.
    folds = folding.folds_needed(aim)
    assert folds is not None and folds > 5
    shown = Folding(0.004 * math.sqrt(folds / 5), folds, folds, 1, 1 / (folds - 2)).detectable(aim)
    assert shown is not None and shown <= aim.margin
    assert Folding(0.004, 1, 5, 1, 1 / 3).detectable(aim) is None


def test_the_range_is_over_pairs_and_a_closer_pair_needs_fewer_groups() -> None:
    field = planted_field(np.random.default_rng(3), 80, [0.0, 0.0, 0.0], noise=[0.01, 0.01, 0.06])
    judged = judge(field, "images", Settings(samples=200))
    assert judged is not None
    found = detection(field, judged, Aim(3))
    assert found is not None and found.smallest is not None
    close = judged.pair("m0", "m1").estimate
    assert close is not None
    exact = detectable(
        close.error * math.sqrt(close.groups), 80, Aim(3), judged.pair("m0", "m1").effective / 80
    )
    assert found.smallest.low == exact < found.smallest.middle < found.smallest.high
    middle, all_pairs = found.needed
    assert middle is not None and all_pairs is not None and middle < all_pairs
    assert (found.groups, found.images) == (80, field.images)
    assert found.images_needed(160) == 2 * field.images


def test_the_printed_difference_is_detected_as_often_as_stated() -> None:
    assert 0.72 <= detected(200, 100, 3, seed=21)[1] <= 0.88


@pytest.mark.slow
@pytest.mark.parametrize(
    ("groups", "models", "runs"), [(60, 2, 2000), (60, 5, 600), (200, 2, 600), (200, 5, 600)]
)
def test_the_printed_difference_is_detected_as_often_as_stated_at_length(
    groups: int, models: int, runs: int
) -> None:
    assert 0.75 <= detected(runs, groups, models, seed=22)[1] <= 0.85


@pytest.mark.slow
def test_the_printed_difference_of_means_of_images_is_detected_as_often_as_stated() -> None:
    assert 0.75 <= detected(600, 60, 5, seed=23, view="images")[1] <= 0.85
