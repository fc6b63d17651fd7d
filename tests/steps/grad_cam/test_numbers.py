"""Numbers of heat maps: against slow definitions, and NaN wherever a number would say nothing."""

from __future__ import annotations

from fractions import Fraction
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import spearmanr

from bench_core.metrics.map_tables import NUMBERS
from bench_steps.grad_cam.numbers import (
    average_precision,
    correlation,
    matched_iou,
    of_map,
    rank_correlation,
)

PIXELS = st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=2, max_size=6)


def arrays(pixels: list[tuple[int, bool]]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    values, inside = zip(*pixels, strict=True)
    return np.array(values, dtype=np.float64), np.array(inside)


def square(values: list[float]) -> NDArray[np.float32]:
    side = round(len(values) ** 0.5)
    return np.array(values, dtype=np.float32).reshape(side, side)


@given(PIXELS)
def test_ties_count_as_all_orders_of_them_do_on_average(pixels: list[tuple[int, bool]]) -> None:
    values, inside = arrays(pixels)
    size = int(inside.sum())
    if not size:
        assert np.isnan(matched_iou(values, inside))
        return
    common = []
    for order in permutations(range(len(values))):
        taken = sorted(order, key=lambda place: -values[place])[:size]
        common.append(Fraction(sum(bool(inside[place]) for place in taken)))
    mean = sum(common) / len(common)
    assert matched_iou(values, inside) == pytest.approx(float(mean / (2 * size - mean)))


@given(PIXELS)
def test_average_precision_follows_its_definition(pixels: list[tuple[int, bool]]) -> None:
    values, inside = arrays(pixels)
    if not inside.any():
        assert np.isnan(average_precision(values, inside))
        return
    area = before = 0.0
    for threshold in sorted(set(values.tolist()), reverse=True):
        chosen = values >= threshold
        recall = inside[chosen].sum() / inside.sum()
        area += (recall - before) * inside[chosen].mean()
        before = recall
    assert average_precision(values, inside) == pytest.approx(area)


@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), min_size=3, max_size=12))
def test_correlations_are_those_of_numpy_and_scipy(pairs: list[tuple[int, int]]) -> None:
    first, second = np.array(pairs, dtype=np.float32).T
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        assert np.isnan(correlation(first, second))
        assert np.isnan(rank_correlation(first, second))
        return
    assert correlation(first, second) == pytest.approx(np.corrcoef(first, second)[0, 1], abs=1e-6)
    assert correlation(first * 1e-30, second) == pytest.approx(correlation(first, second), abs=1e-4)
    assert rank_correlation(first, second) == pytest.approx(spearmanr(first, second).statistic, abs=1e-9)


def test_a_known_map_has_known_numbers() -> None:
    found = square([4, 2, 1, 1, 0, 0, 0, 0, 0])
    mask = square([1, 0, 1, 0, 0, 0, 0, 0, 0]) > 0
    numbers = of_map(found, mask, logits=square([8, 4, 2, 2, -5, -1, 0, -3, -9]))
    assert tuple(numbers) == NUMBERS
    assert numbers["share"] == pytest.approx(2 / 9)
    assert numbers["energy"] == pytest.approx(5 / 8)
    assert numbers["lift"] == pytest.approx(5 / 8 * 9 / 2)
    assert numbers["pointing"] == 1
    assert numbers["iou"] == pytest.approx(1 / 3)
    assert numbers["auprc"] == pytest.approx(0.5 * 1 + 0.5 * 2 / 4)
    assert numbers["logits"] == pytest.approx(1)


def test_the_largest_values_share_a_pointing_hit() -> None:
    found, mask = square([5, 5, 0, 5]), square([1, 0, 0, 0]) > 0
    assert of_map(found, mask, found)["pointing"] == pytest.approx(1 / 3)


@pytest.mark.parametrize("value", [0.0, 3.0, float("nan"), float("inf")])
def test_a_map_that_says_nothing_has_no_numbers(value: float) -> None:
    found, mask = np.full((2, 2), value, np.float32), square([1, 0, 0, 0]) > 0
    if value == float("inf"):
        found[0, 0] = 1
    numbers = of_map(found, mask, square([1, 2, 3, 4]))
    assert numbers.pop("share") == 0.25
    assert all(np.isnan(list(numbers.values())))


@pytest.mark.parametrize("whole", [True, False])
def test_an_empty_or_full_mask_leaves_only_the_likeness_to_the_logits(whole: bool) -> None:
    numbers = of_map(square([1, 2, 3, 4]), np.full((2, 2), whole), square([1, 2, 3, 5]))
    assert numbers.pop("share") == float(whole)
    assert numbers.pop("logits") > 0.9
    assert all(np.isnan(list(numbers.values())))


def test_logits_without_a_positive_one_are_like_nothing() -> None:
    numbers = of_map(square([1, 2, 3, 4]), square([1, 0, 0, 0]) > 0, square([-1, -2, -3, -4]))
    assert np.isnan(numbers["logits"])
    assert numbers["lift"] == pytest.approx(0.4)


def test_pixels_that_do_not_count_change_nothing() -> None:
    random = np.random.default_rng(0)
    found, logits = random.random((2, 6, 6), dtype=np.float32)
    mask, counted = random.random((2, 6, 6)) < 0.4
    expected = of_map(found, mask, logits, counted)
    found[~counted], logits[~counted], mask[~counted] = 9, -9, ~mask[~counted]
    assert of_map(found, mask, logits, counted) == expected


@given(st.integers(0, 50), st.sampled_from([1e-20, 3.0, 1e20]))
def test_a_scale_of_the_map_changes_no_number(seed: int, scale: float) -> None:
    random = np.random.default_rng(seed)
    found, logits = random.random((2, 5, 5), dtype=np.float32)
    mask = random.random((5, 5)) < 0.5
    plain, scaled = of_map(found, mask, logits), of_map(found * np.float32(scale), mask, logits)
    assert list(scaled.values()) == pytest.approx(list(plain.values()), rel=1e-4, nan_ok=True)
