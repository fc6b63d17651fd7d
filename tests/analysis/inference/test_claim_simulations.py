"""How often a false word is said of a claim, a family or a published score; figures of docs/statistics.md."""

from __future__ import annotations

import math

import pytest

from tests.helpers.simulated_claims import (
    CASES,
    PLANTED,
    families_found,
    families_wrong,
    predicted,
    said,
)


def at_most(share: float, runs: int) -> float:
    """Return what a share of so many runs exceeds by chance once in some 2,000 times."""
    return share + 3.3 * math.sqrt(share * (1 - share) / runs)


def test_a_false_claim_is_rarely_supported() -> None:
    case = CASES["some of two better than some of three, all equal"]
    assert said(case, 20, 60, 1)["supported"] <= at_most(0.05, 20)
    planted, word = PLANTED["2 points ahead"]
    assert said(planted, 8, 200, 2)[word] > 0.9


def test_equal_families_are_rarely_told_apart_and_other_folds_mostly_foreseen() -> None:
    found = families_wrong(300, 3)
    for name in ("both", "labels dealt", "unequal spread", "mixed model, t", "interaction, both"):
        assert found[name] <= at_most(0.05, 300), name
    uneven = families_wrong(300, 3, spreads=(0.1, 1.0))
    assert uneven["labels dealt"] > 0.07
    assert max(uneven["both"], uneven["interaction, both"]) <= at_most(0.055, 300)
    assert families_found(60, 4, 3.0) > 0.85
    free, cut = predicted(500, 5, 0.5)
    assert 1 - free <= at_most(0.05, 500) and cut >= free - 0.02


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_no_claim_gets_the_wrong_word_more_often_than_it_may(name: str) -> None:
    case = CASES[name]
    assert said(case, 300, 60, 6)[case.wrong] <= at_most(0.055, 300)


@pytest.mark.slow
@pytest.mark.parametrize("name", PLANTED)
def test_planted_truths_get_their_words_more_often_with_more_groups(name: str) -> None:
    case, word = PLANTED[name]
    few, many = (said(case, 80, groups, 7) for groups in (60, 400))
    assert many[word] >= few[word] - 0.05
    wrong = {"supported": "contradicted", "contradicted": "supported"}[word]
    assert many[wrong] == 0 and few[wrong] <= at_most(0.05, 80)
    if "0.5" not in name:
        assert many[word] > 0.9


@pytest.mark.slow
@pytest.mark.parametrize("sizes", [(6, 5), (3, 3), (8, 2)])
def test_families_of_any_size_keep_their_level(sizes: tuple[int, int]) -> None:
    found = families_wrong(2_000, 8, sizes=sizes)
    for name in ("both", "labels dealt", "mixed model, t", "interaction, labels dealt", "interaction, both"):
        assert found[name] <= at_most(0.05, 2_000), name
    # The normal distribution forgets how few models there are.
    assert found["mixed model, z"] > 0.06
