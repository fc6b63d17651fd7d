"""Levels of attributes, means with intervals, and the test of dependence against a plain computation."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench_core.analysis.inference.field import Field
from bench_core.analysis.subgroup_tests import FEWEST_IN_LEVEL, contrasts, dependences
from bench_core.analysis.subgroups import UNKNOWN, Levels, levels_of
from tests.helpers.simulated_levels import Kind, any_called, called, planted

numbers = st.lists(st.none() | st.integers(-5, 40).map(float) | st.floats(-1e6, 1e6), min_size=2, max_size=60)


def ids(count: int) -> list[str]:
    return [f"i{number}" for number in range(count)]


@given(numbers, st.integers(2, 10))
def test_ranges_hold_every_number_in_order(column: list[float | None], bins: int) -> None:
    found = levels_of("x", ids(len(column)), tuple(column), bins)
    known = [value for value in column if value is not None]
    if len(set(known)) < 2:
        assert found is None
        return
    assert found is not None and 1 <= found.known <= bins
    assert (found.names[-1] == UNKNOWN) == (None in column) and len(set(found.names)) == len(found.names)
    pairs = sorted((value, found.of_sample[f"i{n}"]) for n, value in enumerate(column) if value is not None)
    assert [place for _, place in pairs] == sorted(place for _, place in pairs)
    assert {place for _, place in pairs} == set(range(found.known))
    assert set(found.numbers.values()) == set(known)


def test_a_value_that_most_images_share_has_a_range_of_its_own() -> None:
    column = (1.0,) * 8 + (2.0, 2.0, 3.0, 9.0)
    found = levels_of("auto:components", ids(12), column, 3)
    assert found is not None and found.names == ("1", "2", "3 to 9")
    border = levels_of("auto:border", ids(12), (0.0,) * 10 + (0.25, 0.5), 3)
    assert border is not None and border.names == ("0", "0.25", "0.5")


@pytest.mark.parametrize(
    ("column", "names"),
    [
        ((0.0321181, 0.0517578, 0.187391, 0.4), ("0.0321 to below 0.187", "0.187 to 0.4")),
        ((0.12341, 0.12342, 0.12343, 0.12344), ("0.12341 to below 0.12343", "0.12343 to 0.12344")),
        ((1998.0, 2003.0, 2015.0, 2024.0), ("1998 to below 2015", "2015 to 2024")),
        ((48697.7, 1.5, 20.25, 300.0), ("1.5 to below 300", "300 to 48698")),
        ((1.0, 1.0 + 1e-12, 1.0 + 2e-12, 1.0 + 3e-12), ("1.0 to below 1.000000000002", "1.000000000002 to")),
    ],
)
def test_ranges_are_named_by_as_few_digits_as_tell_them_apart(
    column: tuple[float, ...], names: tuple[str, ...]
) -> None:
    found = levels_of("x", ids(len(column)), column, 2)
    assert found is not None
    assert all(name.startswith(start) for name, start in zip(found.names, names, strict=True))


def test_texts_are_levels_and_names_are_not() -> None:
    found = levels_of("sex", ids(3), ("m", None, "f"), 3)
    assert found is not None and found.names == ("f", "m", UNKNOWN) and found.of_sample["i0"] == 1
    assert levels_of("name", ids(40), tuple(ids(40)), 3) is None
    assert levels_of("one", ids(3), ("a", "a", "a"), 3) is None


def oracle(field: Field, levels: Levels) -> float:
    """Return the p-value by plain loops over all exchanges of groups."""
    mine, theirs = field.models["m1"].scores, field.models["m0"].scores
    difference = mine - theirs
    place = np.array([levels.of_sample[sample] for sample in field.ids])
    means = [np.mean(difference)] * len(difference)
    rest, sizes = difference - means, np.bincount(place, minlength=3)

    def deviations(signs: np.ndarray) -> np.ndarray:
        signed = rest * signs[field.of_image]
        return np.array([signed[place == level].sum() / sizes[level] for level in range(3)]) - signed.mean()

    count = len(field.groups)
    covariance = sum(
        np.outer(part, part)
        for group in range(count)
        for part in [deviations((np.arange(count) == group).astype(float))]
    )
    inverse = np.linalg.pinv(covariance, rcond=1e-9)
    values = [
        float(part @ inverse @ part)
        for signs in product((1.0, -1.0), repeat=count)
        for part in [deviations(np.array(signs))]
    ]
    return float(np.mean(np.array(values) >= values[0] * (1 - 1e-9)))


def test_the_test_is_that_of_all_exchanges() -> None:
    random = np.random.default_rng(4)
    field, levels = planted(random, 20, "images", more=0.03)
    keep = field.of_image < 11
    small = replace(
        field,
        groups=field.groups[:11],
        of_image=field.of_image[keep],
        ids=tuple(np.array(field.ids)[keep]),
        models={
            label: replace(found, scores=found.scores[keep], counts=None)
            for label, found in field.models.items()
        },
    )
    (found,) = dependences(small, [levels])
    assert found.groups == 11 and len(found.levels) == 3
    assert found.p == pytest.approx(oracle(small, levels))


def test_levels_of_few_groups_and_few_groups_at_all_are_not_tested() -> None:
    field, levels = planted(np.random.default_rng(5), 40, "groups")
    of_sample = dict.fromkeys(field.ids, 0)
    rare = [
        sample for sample, group in zip(field.ids, field.of_image, strict=True) if group < FEWEST_IN_LEVEL - 1
    ]
    (found,) = dependences(field, [Levels("x", ("a", "b"), of_sample | dict.fromkeys(rare, 1), {})])
    assert (found.verdict, found.p, found.levels) == ("cannot be judged", None, ("a",))
    unknown = Levels("x", ("a", UNKNOWN), of_sample | dict.fromkeys(field.ids[:50], 1), {})
    assert dependences(field, [unknown])[0].levels == ("a",)
    tests = dependences(field, [levels, levels])
    assert tests[0].tests == 2 and tests[0].p_adjusted == pytest.approx(min(1, 2 * (tests[0].p or 0)))


@given(st.integers(0, 1000), st.integers(2, 5))
def test_contrasts_have_unit_variance_and_forget_a_common_difference(seed: int, levels: int) -> None:
    random = np.random.default_rng(seed)
    counts = random.integers(0, 4, (30, levels)).astype(float)
    counts[0] += 1
    sums = random.normal(0, 1, (30, levels)) * (counts > 0)
    found = contrasts(sums, counts)
    assert found.shape[1] <= levels - 1
    assert found.T @ found == pytest.approx(np.eye(found.shape[1]), abs=1e-8)
    moved = contrasts(sums + 0.3 * counts, counts)
    assert (moved.sum(axis=0) ** 2).sum() == pytest.approx((found.sum(axis=0) ** 2).sum(), rel=1e-6)


def test_equal_models_depend_on_nothing() -> None:
    field, levels = planted(np.random.default_rng(6), 40, "images")
    same = replace(field, models={"m0": field.models["m0"], "m1": field.models["m0"]})
    (found,) = dependences(same, [levels])
    assert found.range == 0 and found.verdict == "cannot be judged"


def test_a_planted_dependence_is_found_and_a_common_lead_is_none() -> None:
    assert called(40, 60, "groups", 7, more=0.05) > 0.8
    assert called(60, 30, "unequal", 8) < 0.17


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["images", "groups", "unequal"])
def test_it_is_wrong_as_often_as_it_says(kind: Kind) -> None:
    for groups in (20, 100):
        assert 0.03 < called(1000, groups, kind, 9) < 0.075


@pytest.mark.slow
def test_many_tests_are_corrected_together() -> None:
    assert any_called(200, 60, 6, 10) < 0.08
