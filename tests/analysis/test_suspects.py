"""Label suspects: the agreement against plain loops, planted errors found, and what is left out."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench_core.analysis.suspects import FEWEST_MODELS, Suspects, pooled_agreement, suspects, voters_of
from bench_core.errors import StoreError
from bench_core.labels import count_all
from bench_core.records import Predictions
from tests.helpers.planted_labels import SIDE, Job, by_dice, evidence_of, planted, ranked


@settings(max_examples=60)
@given(st.integers(0, 10_000), st.integers(2, 7))
def test_agreement_is_the_dice_of_all_pairs(seed: int, models: int) -> None:
    random = np.random.default_rng(seed)
    maps = random.random((models, 6, 6)) < random.random((models, 1, 1))
    both = sum(2 * int((one & other).sum()) for one, other in combinations(maps, 2))
    marked = sum(int(one.sum() + other.sum()) for one, other in combinations(maps, 2))
    found = pooled_agreement(maps.sum(axis=0).astype(np.uint8), models)
    assert found == pytest.approx(both / marked if marked else np.nan, nan_ok=True)


@pytest.fixture(scope="module")
def spoiled() -> tuple[Any, Suspects]:
    data = planted(1, images=150, shared=0.03)
    return data, ranked(data)


def test_spoiled_labels_come_first_and_unlike_by_dice_alone(spoiled: tuple[Any, Suspects]) -> None:
    data, found = spoiled
    wanted = len(data.spoiled)
    first = [row.id for row in found.ranked[:wanted]]
    right = sum(sample in data.spoiled for sample in first)
    assert right >= 0.85 * wanted
    assert right > sum(sample in data.spoiled for sample in by_dice(found)[:wanted])
    assert found.standing_out and all(row.id in data.spoiled for row in found.standing_out[:5])
    assert len(found.ranked) == len(data.ids) and not found.missed and not found.unread
    assert [row.score for row in found.ranked] == sorted((row.score for row in found.ranked), reverse=True)


def test_scores_and_votes_follow_from_the_maps(spoiled: tuple[Any, Suspects]) -> None:
    data, found = spoiled
    assert list(found.votes) == [row.id for row in found.ranked[:12]]
    for row in found.ranked[:12]:
        place = data.ids.index(row.id)
        maps, label = np.stack([mine[place] for mine in data.predictions]), data.labels[place]
        overlap = sum(2 * int((one & label).sum()) for one in maps)
        assert row.with_label == pytest.approx(overlap / (maps.sum() + len(maps) * label.sum()))
        assert row.score == pytest.approx(row.agreement - row.with_label)
        vote = (2 * maps.sum(axis=0) > len(maps)).astype(np.uint8)
        assert (found.votes[row.id] == vote).all() and row.vote_pixels == vote.sum()
        assert row.label_pixels == label.sum() and row.fold == place % 5


def test_right_labels_of_independent_models_are_below_zero() -> None:
    found = ranked(planted(2, images=60, each=0, shared=0.0))
    assert np.mean([row.score < 0 for row in found.ranked]) > 0.95 and not found.standing_out


def jobs(maps: list[np.ndarray], labels: list[np.ndarray], classes: tuple[str, ...] = ("a",)) -> Any:
    ids = tuple(f"i{number}" for number in range(len(labels)))
    made = []
    for number, mine in enumerate(maps):
        counts = count_all(Predictions(ids, mine), labels, ids, classes)
        made.append(Job(f"m{number}", 0, counts, mine))
    return made


def evidence(*models: Any) -> Any:
    found = evidence_of(planted(0, images=5, each=0), 1)
    found.cells.clear()
    found.models = found.models[: len(models)]
    for number, mine in enumerate(models):
        folds = mine if isinstance(mine, tuple) else (mine,)
        found.cells[f"m{number}", "planted"] = SimpleNamespace(dataset="planted", folds=folds)
    return found


def blank() -> np.ndarray:
    return np.zeros((SIDE, SIDE), np.uint8)


def test_what_no_model_finds_is_listed_apart_and_what_nobody_labelled_comes_first() -> None:
    labels = [blank() for _ in range(4)]
    labels[0][:10, :10] = 1
    labels[1][:30, :30] = 1
    maps = np.stack([blank() for _ in range(4)])
    maps[2, 5:20, 5:20] = 1
    found = suspects(evidence(*jobs([maps, maps, maps], labels)), "planted")
    assert found is not None and [item.id for item in found.missed] == ["i1", "i0"]
    assert [(row.id, row.score, row.with_label) for row in found.ranked] == [("i2", 1, 0)]


def test_classes_that_change_places_are_seen() -> None:
    label, guess = blank(), blank()
    label[:20, :20], label[30:40, 30:40] = 1, 2
    guess[:20, :20], guess[30:40, 30:40] = 2, 1
    found = suspects(evidence(*jobs([np.stack([guess])] * 3, [label], ("a", "b"))), "planted")
    assert found is not None and found.ranked[0].score == 1 and (found.votes["i0"] == guess).all()


def test_a_job_whose_maps_are_damaged_or_of_other_images_is_left_out_and_named() -> None:
    data = planted(3, images=10, each=0)
    made = [cell.folds[0] for cell in evidence_of(data, 1).cells.values()]

    def broken() -> Any:
        yield from zip(made[0].counts.ids[:2], made[0].maps[:2], strict=True)
        raise StoreError("damaged", cause="it breaks off")

    whole = suspects(evidence(*made[2:]), "planted", most=9)
    made[0].each_prediction = broken
    made[1].maps = made[1].maps[:, :10]
    found = suspects(evidence(*made), "planted", most=9)
    assert found is not None and whole is not None and found.ranked == whole.ranked
    assert sorted(text.partition(":")[0] for text in found.unread) == ["m0-0", "m1-0"]


def test_what_was_prompted_with_the_label_has_no_vote() -> None:
    data = planted(6, images=10, each=0)
    made = evidence_of(data)
    made.models[5].track = "zero-shot/oracle"
    found = suspects(made, "planted", most=9)
    assert found is not None and {row.models for row in found.ranked} == {5}
    assert "m5" not in found.voters


def test_the_best_vote_families_in_turn() -> None:
    data = planted(7, images=10, each=0)
    worse = [np.roll(maps, 3 * shift, axis=2) for shift, maps in enumerate(data.predictions)]
    made = evidence_of(replace(data, predictions=worse))
    for model in made.models[3:]:
        model.family = "GP-VM"
    assert voters_of(made, "planted", 3) == ("m0", "m1", "m3")
    assert voters_of(made, "planted", 4) == ("m0", "m1", "m3", "m4")
    made.cells["m0", "planted"].folds = made.cells["m0", "planted"].folds[:3]
    assert voters_of(made, "planted", 3) == ("m1", "m2", "m3")


def test_two_models_are_too_few_and_repeats_are_averaged() -> None:
    data = planted(4, images=10, each=0)
    made = [cell.folds[0] for cell in evidence_of(data, 1).cells.values()]
    assert suspects(evidence(*made[: FEWEST_MODELS - 1]), "planted") is None
    first = suspects(evidence(*made[:3]), "planted")
    second = suspects(evidence(*made[3:]), "planted")
    for job in made[3:]:
        job.index = 1
    both = suspects(evidence(*zip(made[:3], made[3:], strict=True)), "planted")
    assert first is not None and second is not None and both is not None
    scores = [{row.id: row.score for row in found.ranked} for found in (first, second, both)]
    for sample in data.ids:
        assert scores[2][sample] == pytest.approx((scores[0][sample] + scores[1][sample]) / 2)
