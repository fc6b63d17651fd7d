"""How alike maps of several networks are, against scipy, by hand, and by chance."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import spearmanr

from bench_steps.grad_cam.alike import by_chance, compared, overlap, seen, top_area

SIDE = 12
VALUES = arrays(np.float32, (SIDE, SIDE), elements=st.integers(0, 40).map(float))
ALL = np.ones((SIDE, SIDE), dtype=bool)


@settings(max_examples=40, deadline=None)
@given(maps=st.lists(VALUES, min_size=2, max_size=4), size=st.integers(1, SIDE**2 - 1), data=st.data())
def test_numbers_are_those_of_all_pairs(maps: list[np.ndarray], size: int, data: st.DataObject) -> None:
    trained = data.draw(st.lists(st.booleans(), min_size=len(maps), max_size=len(maps)))
    looked = [seen(each, ALL, size) for each in maps]
    found = compared(looked, trained, size / SIDE**2)
    assert sum(pairs for _, pairs in found) == len(maps) * (len(maps) - 1) // 2
    for (words, pairs), numbers in found.items():
        number = ("none", "one", "both").index(words)
        mine = [
            (one, other)
            for one, other in itertools.combinations(range(len(maps)), 2)
            if trained[one] + trained[other] == number
        ]
        usable = [pair for pair in mine if all(np.ptp(maps[place]) > 0 for place in pair)]
        assert len(mine) == pairs and numbers["silent"] == pytest.approx(1 - len(usable) / pairs)
        assert numbers["chance"] == by_chance(size / SIDE**2)
        if not usable:
            assert np.isnan(numbers["rank"]) and np.isnan(numbers["overlap"])
            continue
        alike = [spearmanr(maps[one].ravel(), maps[other].ravel()).statistic for one, other in usable]
        assert numbers["rank"] == pytest.approx(np.mean(alike), abs=1e-6)
        assert numbers["rank_least"] == pytest.approx(min(alike), abs=1e-6)
        assert 0 <= numbers["overlap"] <= 1


def test_the_top_area_of_different_values_is_a_set() -> None:
    random = np.random.default_rng(0)
    one, other = (random.permutation(60).astype(float) for _ in range(2))
    for size in (1, 7, 30, 59):
        first, second = (set(np.argsort(-each)[:size].tolist()) for each in (one, other))
        found = overlap(top_area(one, size), top_area(other, size))
        assert found == pytest.approx(len(first & second) / len(first | second))
        assert overlap(top_area(one, size), top_area(one, size)) == 1


def test_what_ties_for_the_last_places_shares_them() -> None:
    values = np.array([3.0, 1, 1, 1, 1, 0])
    assert top_area(values, 3).tolist() == [1, 0.5, 0.5, 0.5, 0.5, 0]
    assert top_area(values, 3).sum() == 3 and overlap(top_area(values, 3), top_area(values, 3)) == 1


def test_random_maps_overlap_by_chance() -> None:
    random = np.random.default_rng(0)
    tops = [top_area(random.random(40_000), 8_000) for _ in range(2)]
    assert overlap(*tops) == pytest.approx(by_chance(0.2), abs=0.01)


def test_an_area_that_is_everything_or_a_map_that_says_nothing_has_no_overlap() -> None:
    flat, slope = np.ones((SIDE, SIDE), np.float32), np.arange(SIDE**2, dtype=np.float32).reshape(SIDE, SIDE)
    assert seen(flat, ALL, 4) is None and seen(None, ALL, 4) is None
    ((_, numbers),) = compared([seen(slope, ALL, SIDE**2)] * 2, [False, True], 1.0).items()
    assert np.isnan(numbers["overlap"]) and np.isnan(numbers["chance"]) and numbers["rank"] == 1
    ((key, numbers),) = compared([seen(slope, ALL, 4), None], [True, True], 4 / SIDE**2).items()
    assert key == ("both", 1) and numbers["silent"] == 1 and np.isnan(numbers["rank"])
