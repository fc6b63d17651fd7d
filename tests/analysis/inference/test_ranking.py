"""Ranks by bootstrap: against scipy and counting by hand, with ties, and how right probabilities are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some
from hypothesis.extra.numpy import arrays
from scipy import stats

from bench_core.analysis.inference.compare import Settings, judge
from bench_core.analysis.inference.overall import Overall, kendall, overall
from bench_core.analysis.inference.ranking import RankedField, Ranks, chances_of, mean_ranks, ranked_field
from tests.helpers.known_truth import planted_field
from tests.helpers.simulated import best_chances, ranks_held

SETTINGS = Settings(samples=400)
SCORES = arrays(float, (6, 5), elements=some.integers(0, 4).map(lambda value: value / 4))


def ranked(seed: int, gains: list[float], dataset: str = "planted", groups: int = 60) -> RankedField:
    field = replace(planted_field(np.random.default_rng(seed), groups, gains), dataset=dataset)
    found = ranked_field(field, "pooled", SETTINGS)
    assert found is not None
    return found


@given(SCORES)
def test_ranks_are_those_of_scipy(scores: np.ndarray) -> None:
    assert np.array_equal(mean_ranks(scores), stats.rankdata(-scores, axis=-1))


@given(SCORES)
def test_every_rank_is_taken_and_every_model_has_one(scores: np.ndarray) -> None:
    chances = chances_of(scores)
    assert chances.sum(axis=0) == pytest.approx(np.ones(5))
    assert chances.sum(axis=1) == pytest.approx(np.ones(5))
    assert chances @ np.arange(1, 6) == pytest.approx(mean_ranks(scores).mean(axis=0))


@given(SCORES)
def test_kendalls_tau_is_that_of_scipy(scores: np.ndarray) -> None:
    for one, other in zip(scores, scores[::-1], strict=True):
        expected = stats.kendalltau(one, other).statistic
        assert float(kendall(one, other)) == pytest.approx(expected, nan_ok=True)


def test_intervals_cut_off_what_is_too_rare() -> None:
    chances = np.array([[0.03, 0.95, 0.02], [0.02, 0.95, 0.03], [1.0, 0.0, 0.0]])
    ranks = Ranks(np.array([2.0, 2.0, 1.0]), chances)
    assert [ranks.interval(place) for place in range(3)] == [(1, 2), (2, 3), (1, 1)]
    assert ranks.interval(0, 0.9) == (2, 2)
    assert Ranks(np.array([1.0, 2.0]), None).interval(0) is None


def test_the_first_of_two_models_is_ahead_in_as_many_resamples_as_their_difference_is() -> None:
    field = planted_field(np.random.default_rng(1), 60, [0.004, 0.0])
    found, judged = ranked_field(field, "pooled", Settings()), judge(field, "pooled", Settings())
    assert found is not None and judged is not None
    pair = judged.pair("m0", "m1")
    first = found.ranks.first(int(pair.difference < 0))
    assert first is not None and pair.p_false is not None
    assert 1 - first == pytest.approx(pair.p_false, abs=0.02)
    assert found.scores[0] - found.scores[1] == pytest.approx(pair.difference, abs=1e-12)


def test_ranking_first_and_averaging_first_can_disagree() -> None:
    def field(dataset: str, scores: list[float]) -> RankedField:
        values = np.array(scores)
        ranks = Ranks(mean_ranks(values), None)
        return RankedField(dataset, "pooled", ("a", "b", "c"), 5, 0, values, values, None, ranks)

    fields = [field("x", [0.90, 0.91, 0.5]), field("y", [0.90, 0.91, 0.5]), field("z", [0.90, 0.60, 0.5])]
    found = overall(fields, one_unit=True)
    assert found is not None and found.by_score is not None
    assert list(found.by_score.observed) == [1, 2, 3]
    assert list(found.by_rank.observed) == [2, 1, 3]
    assert list(found.mean_ranks) == pytest.approx([5 / 3, 4 / 3, 3])
    taus = {(item.dataset, item.other): (item.tau, item.between) for item in found.agreements}
    assert taus == {
        ("x", "y"): (1, None),
        ("x", "z"): (pytest.approx(1 / 3), None),
        ("y", "z"): taus["x", "z"],
    }
    without = {item.dataset: item for item in found.without}
    assert list(without["x"].by_rank) == [1.5, 1.5, 3]
    assert without["z"].by_score is not None and list(without["z"].by_score) == [2, 1, 3]
    mixed = overall(fields, one_unit=False)
    assert mixed is not None and mixed.by_score is None
    assert all(item.by_score is None for item in mixed.without)
    assert overall(fields[:1], one_unit=True) is None
    two = overall(fields[:2], one_unit=True)
    assert two is not None and two.without == ()


def test_a_model_without_a_dataset_is_not_ranked_over_them_nor_counted_in_ranks_there() -> None:
    whole, part = ranked(1, [0.0, 0.1, -0.2, -0.1], "x"), ranked(2, [0.0, 0.1, -0.2], "y")
    found = overall([whole, part], one_unit=True)
    assert isinstance(found, Overall)
    assert found.missing == {"m3": ("y",)} and found.models == ("m0", "m1", "m2")
    assert list(found.by_rank.observed) == [2, 1, 3] and list(found.mean_ranks) == [2, 1, 3]


def test_equal_models_share_the_first_rank() -> None:
    field = planted_field(np.random.default_rng(3), 40, [0.0, -0.2])
    field = replace(
        field,
        models={**field.models, "twin": field.models["m0"]},
        families={**field.families, "twin": "SMA"},
    )
    for view in ("pooled", "images"):
        found = ranked_field(field, view, SETTINGS)  # type: ignore[arg-type]
        assert found is not None
        assert list(found.ranks.observed) == [1.5, 3, 1.5]
        assert [found.ranks.first(place) for place in range(3)] == [0.5, 0, 0.5]


def test_probabilities_to_be_the_best_are_about_right() -> None:
    for stated, true, models in best_chances(150, 60, 4, seed=31):
        assert abs(stated - true) <= 4 * np.sqrt(max(stated * (1 - stated), 0.01) / models), (stated, true)


@pytest.mark.slow
@pytest.mark.parametrize("groups", [50, 200])
def test_probabilities_to_be_the_best_are_right_at_length(groups: int) -> None:
    for stated, true, models in best_chances(2000, groups, 5, seed=32):
        bound = 3 * np.sqrt(max(stated * (1 - stated), 0.002) / models) + 0.02
        assert abs(stated - true) <= bound, (stated, true)


@pytest.mark.slow
def test_rank_intervals_hold_true_ranks_at_length() -> None:
    assert 0.93 <= ranks_held(500, 60, 5, seed=33) <= 1
