"""What rounding explains of a number that is asked again: what computing spreads over, and no more."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench_steps.grad_cam.rounding import unexplained, within

NUMBERS = st.floats(-1e6, 1e6)


@given(found=st.lists(NUMBERS, min_size=1, max_size=5), data=st.data())
def test_what_was_computed_is_explained_and_what_lies_far_outside_is_not(
    found: list[float], data: st.DataObject
) -> None:
    assert within(data.draw(st.sampled_from(found)), found, 0.0)
    low, high = min(found), max(found)
    margin = high - low + 0.05 * max(1.0, abs(found[0]))
    beyond = data.draw(st.floats(1.001, 10.0)) * margin
    assert not within(high + beyond, found, 0.05) and not within(low - beyond, found, 0.05)


@pytest.mark.parametrize(
    ("kept", "found", "explained"),
    [(math.nan, [1.0], False), (math.nan, [1.0, math.nan], True), (1.0, [math.nan], False)],
)
def test_what_is_undefined_is_explained_by_what_is_so_once(
    kept: float, found: list[float], explained: bool
) -> None:
    assert within(kept, found, 0.05) == explained


def test_passes_are_taken_until_nothing_is_odd() -> None:
    passes = iter([1, 2, 3, 4])
    assert unexplained(passes, lambda known: None if len(known) == 2 else "odd") is None
    assert list(passes) == [3, 4]
    assert unexplained([1, 2], lambda known: f"odd {len(known)}") == "odd 2"
