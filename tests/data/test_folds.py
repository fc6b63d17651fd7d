"""Folds: whole groups, balanced, independent of the samples' order; leaks are found."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench_core.data.folds import assign_folds, check_leaks, fold_hash
from bench_core.errors import DataError
from tests.helpers.pictures import in_memory


@st.composite
def datasets(draw: st.DrawFn) -> tuple[list[str], list[str], int]:
    sizes = draw(st.lists(st.integers(1, 12), min_size=2, max_size=40))
    groups = [f"g{number}" for number, size in enumerate(sizes) for _ in range(size)]
    return [f"s{number}" for number in range(len(groups))], groups, draw(st.integers(2, min(len(sizes), 6)))


@given(datasets(), st.integers(0, 2**32))
def test_groups_stay_whole_and_folds_are_balanced(data: tuple[list[str], list[str], int], seed: int) -> None:
    ids, groups, count = data
    folds = assign_folds(ids, groups, count, seed)
    members = defaultdict(set)
    for group, fold in zip(groups, folds, strict=True):
        members[group].add(int(fold))
    assert all(len(found) == 1 for found in members.values())
    sizes = Counter(folds.tolist())
    assert set(sizes) == set(range(count))
    assert max(sizes.values()) - min(sizes.values()) <= max(Counter(groups).values())


@given(datasets(), st.integers(0, 2**32), st.randoms())
def test_the_samples_order_does_not_matter(
    data: tuple[list[str], list[str], int], seed: int, random: object
) -> None:
    ids, groups, count = data
    folds = assign_folds(ids, groups, count, seed)
    order = list(range(len(ids)))
    random.shuffle(order)  # type: ignore[attr-defined]
    shuffled_ids = [ids[number] for number in order]
    shuffled = assign_folds(shuffled_ids, [groups[number] for number in order], count, seed)
    assert shuffled.tolist() == folds[order].tolist()
    assert fold_hash(shuffled_ids, shuffled) == fold_hash(ids, folds)


def test_single_samples_fill_folds_evenly_and_seeds_differ() -> None:
    ids = [f"s{number}" for number in range(103)]
    first, second = assign_folds(ids, ids, 5, 1), assign_folds(ids, ids, 5, 2)
    assert sorted(Counter(first.tolist()).values()) == [20, 20, 21, 21, 21]
    assert (first != second).any()
    assert fold_hash(ids, first) != fold_hash(ids, second)


def test_folds_are_the_same_on_every_machine() -> None:
    ids = [f"s{number}" for number in range(10)]
    assert assign_folds(ids, ids, 5, 42).tolist() == [1, 2, 3, 0, 1, 4, 4, 3, 2, 0]


def test_too_few_groups_is_an_error_that_says_what_to_set() -> None:
    with pytest.raises(DataError, match=r"3 groups cannot fill 5 folds") as caught:
        assign_folds(list("abcdef"), list("xxyyzz"), 5, 0)
    assert "folds: 3" in str(caught.value)


def test_a_group_in_two_folds_is_named() -> None:
    arrays = in_memory(4, groups=("p1", "p2", "p1", "p3"))
    check_leaks(arrays, [0, 1, 0, 1])
    with pytest.raises(DataError, match=r"group 'p1' in s000 \(fold 0\) and s002 \(fold 1\)"):
        check_leaks(arrays, np.array([0, 0, 1, 1]))


def test_identical_pixels_in_two_folds_are_named() -> None:
    arrays = in_memory(4)
    hashes = list(arrays.pixel_hashes)
    hashes[3] = hashes[1]
    arrays = replace(arrays, pixel_hashes=tuple(hashes))
    check_leaks(arrays, [0, 1, 0, 1])
    with pytest.raises(DataError, match=r"identical pixels in s001 \(fold 0\) and s003 \(fold 1\)"):
        check_leaks(arrays, [0, 0, 1, 1])


def test_all_copies_of_an_image_are_named() -> None:
    arrays = in_memory(6)
    arrays = replace(arrays, pixel_hashes=("x", "x", "x", "y", "x", "x"))
    with pytest.raises(DataError) as caught:
        check_leaks(arrays, [0, 1, 2, 0, 2, 0])
    assert (
        "1 leak(s) between folds: identical pixels in s000 and s005 (fold 0), s001 (fold 1) and "
        "s002 and s004 (fold 2)" in str(caught.value)
    )
