"""Intervals hold the truth and tests are wrong as often as they say, on many small studies of known truth.

Bounds are three binomial standard errors around what docs/statistics.md states; seeds are fixed.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from bench_core.analysis.inference.compare import Settings, judge
from tests.helpers.known_truth import planted_field
from tests.helpers.simulated import (
    TESTS,
    any_wrong,
    called_equivalent,
    false_claims,
    folds_wrong,
    held,
    wrong,
)


def near(share: float, expected: float, runs: int) -> bool:
    return abs(share - expected) <= 3 * math.sqrt(expected * (1 - expected) / runs)


def test_intervals_hold_the_truth() -> None:
    found = held(150, 40, seed=1)
    assert len(found) == 4
    assert all(near(share, 0.95, 150) for share in found.values()), found


def test_tests_are_wrong_as_often_as_they_say_and_images_in_groups_are_not_independent() -> None:
    found = wrong(250, 30, seed=2)
    assert all(near(found[name], 0.05, 250) for name in TESTS[:-1]), found
    assert found[TESTS[-1]] > 0.10


def test_a_difference_of_the_margin_is_seldom_called_equivalent() -> None:
    assert called_equivalent(200, 60, seed=3, gain=0.01) <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 200)
    assert called_equivalent(100, 400, seed=3, gain=0.0) > 0.5


@pytest.mark.parametrize("repeats", [1, 5])
def test_folds_whose_training_sets_overlap_need_the_correction(repeats: int) -> None:
    corrected, usual = folds_wrong(200, seed=4, repeats=repeats)
    assert corrected <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 200)
    assert usual > 0.25 or repeats == 1


def test_eleven_models_of_a_studys_size_get_the_words_of_their_true_differences() -> None:
    gains = [0.0] * 3 + [-0.005] * 2 + [-0.02] * 3 + [-0.05] * 3
    judged = judge(planted_field(np.random.default_rng(5), 945, gains, (1, 1)), "pooled", Settings())
    assert judged is not None
    found: dict[float, set[str]] = {}
    for (one, other), pair in judged.pairs.items():
        apart = round(abs(gains[int(one[1:])] - gains[int(other[1:])]), 4)
        found.setdefault(apart, set()).add(pair.verdict)
    assert found.pop(0.0) <= {"equivalent", "no difference shown"}
    assert "different" in found.pop(0.005)
    assert found == {apart: {"different"} for apart in (0.015, 0.02, 0.03, 0.045, 0.05)}


@pytest.mark.slow
@pytest.mark.parametrize("groups", [20, 50, 200])
def test_intervals_hold_the_truth_at_length(groups: int) -> None:
    found = held(1000, groups, seed=5)
    assert all(0.91 <= share <= 0.97 for share in found.values()), found


@pytest.mark.slow
@pytest.mark.parametrize("noise", [(0.03, 0.03), (0.01, 0.05)])
def test_tests_are_wrong_as_often_as_they_say_at_length(noise: tuple[float, float]) -> None:
    found = wrong(1000, 50, seed=6, noise=noise)
    assert all(near(found[name], 0.05, 1000) for name in TESTS[:-1]), found


@pytest.mark.slow
def test_no_pair_of_many_equal_models_is_called_different_too_often() -> None:
    assert any_wrong(400, 60, 11, seed=7) <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 400)


@pytest.mark.slow
def test_claims_are_false_as_often_as_stated() -> None:
    for stated, false, runs in false_claims(2000, 50, seed=8):
        assert abs(stated - false) <= 3 * math.sqrt(max(stated * (1 - stated), 0.001) / runs), (stated, false)
