from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench_core.labels import choose_cases


def one_class(dice: list[float | None]) -> np.ndarray:
    """Counts of images with these Dice scores in percent; None has no foreground at all."""
    rows = [[0, 0, 0] if score is None else [round(score), 0, 2 * (100 - round(score))] for score in dice]
    return np.array(rows, dtype=np.int64)[:, None]


def test_best_median_and_two_worst() -> None:
    scores = [50.0, 90.0, 10.0, 70.0, None, 30.0, 60.0]
    ids = tuple("abcdefg")
    chosen = {sample: rank for sample, rank, _ in choose_cases(ids, one_class(scores))}
    assert chosen == {"b": "best", "c": "worst", "g": "median", "f": "worst"}


@pytest.mark.parametrize(
    ("count", "ranks"), [(0, []), (1, ["best"]), (2, ["best", "worst"]), (3, ["best", "worst", "median"])]
)
def test_few_images_are_shown_once_each(count: int, ranks: list[str]) -> None:
    scores: list[float | None] = [10.0 * number for number in range(1, count + 1)]
    chosen = choose_cases((*"abc"[:count], "empty"), one_class([*scores, None]))
    assert [rank for _, rank, _ in chosen] == ranks
    assert len({sample for sample, _, _ in chosen}) == count


@given(st.lists(st.integers(1, 100), min_size=4, max_size=12), st.randoms())
def test_the_choice_does_not_depend_on_the_order_of_images(scores: list[int], random: object) -> None:
    ids = [f"s{number}" for number in range(len(scores))]
    values = one_class([float(score) for score in scores])
    order = list(range(len(scores)))
    random.shuffle(order)  # type: ignore[attr-defined]
    chosen = choose_cases(tuple(ids), values)
    assert chosen == choose_cases(tuple(ids[index] for index in order), values[order])
    dice = [score for _, _, score in chosen]
    assert dice[0] == max(scores) / 100
    assert dice[1] == min(scores) / 100
    assert dice[1] <= dice[3] <= dice[2] <= dice[0]


def test_dice_is_the_mean_over_classes_that_are_there() -> None:
    values = np.array([[[1, 0, 0], [0, 0, 0]], [[1, 0, 0], [0, 1, 0]]])
    assert [(sample, dice) for sample, _, dice in choose_cases(("x", "y"), values)] == [
        ("x", 1.0),
        ("y", 0.5),
    ]
