from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

from bench_core.errors import TrainingError
from bench_core.protocol.loss import build_loss, check_logits
from bench_core.spec.loss import Losses
from tests.helpers.tiny_jobs import BINARY, THREE

pytestmark = pytest.mark.usefixtures("one_thread")
LOGITS = torch.tensor([[[[0.0, 2.0], [-1.0, 3.0]]]])
MASK = torch.tensor([[[0, 1], [1, 1]]])


def sum_of(weights: Mapping[str, Any]) -> Losses:
    return Losses.model_validate(weights)


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def test_bce_by_hand() -> None:
    probabilities = [sigmoid(0.0), sigmoid(2.0), sigmoid(-1.0), sigmoid(3.0)]
    expected = (
        -(math.log(1 - probabilities[0]) + sum(math.log(probabilities[pixel]) for pixel in (1, 2, 3))) / 4
    )
    assert build_loss(sum_of({"bce": 1.0}), BINARY)(LOGITS, MASK).item() == pytest.approx(expected, rel=1e-6)


def test_binary_dice_by_hand() -> None:
    probabilities = [sigmoid(0.0), sigmoid(2.0), sigmoid(-1.0), sigmoid(3.0)]
    overlap = sum(probabilities[1:])
    expected = 1 - (2 * overlap + 1) / (sum(probabilities) + 3 + 1)
    assert build_loss(sum_of({"dice": 1.0}), BINARY)(LOGITS, MASK).item() == pytest.approx(expected, rel=1e-6)


def three_class_logits() -> tuple[Tensor, Tensor]:
    logits = torch.tensor([[1.0, 0.0, -1.0], [0.0, 2.0, 0.0]]).T.reshape(1, 3, 1, 2)
    return logits, torch.tensor([[[0, 2]]])


def test_cross_entropy_by_hand() -> None:
    logits, mask = three_class_logits()
    first = math.exp(1) / (math.exp(1) + 1 + math.exp(-1))
    second = 1 / (1 + math.exp(2) + 1)
    expected = -(math.log(first) + math.log(second)) / 2
    assert build_loss(sum_of({"cross-entropy": 1.0}), THREE)(logits, mask).item() == pytest.approx(
        expected, rel=1e-6
    )


def test_multiclass_dice_by_hand_leaves_background_out() -> None:
    logits, mask = three_class_logits()
    total = [math.exp(1) + 1 + math.exp(-1), 1 + math.exp(2) + 1]
    left = [1 / total[0], math.exp(2) / total[1]]
    right = [math.exp(-1) / total[0], 1 / total[1]]
    expected = 1 - (1 / (sum(left) + 1) + (2 * right[1] + 1) / (sum(right) + 1 + 1)) / 2
    assert build_loss(sum_of({"dice": 1.0}), THREE)(logits, mask).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("task", [BINARY, THREE])
def test_dice_is_small_for_the_truth_and_large_for_its_opposite(task: object) -> None:
    mask = torch.randint(0, len(task.classes) + 1, (2, 16, 16))  # type: ignore[attr-defined]
    if task is BINARY:
        right = mask[:, None] * 40.0 - 20.0
    else:
        right = torch.nn.functional.one_hot(mask, 3).permute(0, 3, 1, 2) * 40.0 - 20.0
    dice = build_loss(sum_of({"dice": 1.0}), task)  # type: ignore[arg-type]
    assert dice(right, mask).item() < 1e-3
    assert dice(-right, mask).item() > 0.3


def test_dice_of_a_batch_without_foreground_rewards_predicting_none() -> None:
    dice = build_loss(sum_of({"dice": 1.0}), BINARY)
    empty = torch.zeros(1, 8, 8, dtype=torch.long)
    assert dice(torch.full((1, 1, 8, 8), -20.0), empty).item() < 1e-3
    assert dice(torch.full((1, 1, 8, 8), 20.0), empty).item() > 0.9


def test_a_sum_is_weighted_and_its_order_changes_no_bit() -> None:
    bce, dice = (build_loss(sum_of({name: 1.0}), BINARY)(LOGITS, MASK).item() for name in ("bce", "dice"))
    one = build_loss(sum_of({"bce": 0.3, "dice": 1.7}), BINARY)(LOGITS, MASK)
    other = build_loss(sum_of({"dice": 1.7, "bce": 0.3}), BINARY)(LOGITS, MASK)
    assert one.item() == pytest.approx(0.3 * bce + 1.7 * dice, rel=1e-6)
    assert torch.equal(one, other)


@pytest.mark.parametrize(("name", "task"), [("cross-entropy", BINARY), ("bce", THREE)])
def test_a_loss_that_does_not_fit_is_refused_with_what_does(name: str, task: object) -> None:
    with pytest.raises(TrainingError) as caught:
        build_loss(sum_of({name: 1.0}), task)  # type: ignore[arg-type]
    assert caught.value.fix
    assert name in str(caught.value)


@pytest.mark.parametrize("shape", [(2, 2, 8, 8), (2, 1, 4, 4), (1, 1, 8, 8), (2, 8, 8)])
def test_logits_of_another_shape_are_refused_with_both_shapes(shape: tuple[int, ...]) -> None:
    with pytest.raises(TrainingError) as caught:
        check_logits(torch.zeros(shape), torch.zeros(2, 8, 8), BINARY)
    assert str(list(shape)) in caught.value.message
    assert "[2, 1, 8, 8]" in caught.value.message


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({"out": torch.zeros(1, 1, 4, 4), "aux": None}, "'out', 'aux'"),
        ([torch.zeros(1, 1, 4, 4)], "a sequence of 1"),
        ((torch.zeros(1), torch.zeros(1)), "a sequence of 2"),
        (None, "NoneType"),
        (3.0, "float"),
    ],
)
def test_what_is_no_tensor_is_said_as_bench_test_says_it(found: object, said: str) -> None:
    with pytest.raises(TrainingError, match="not one tensor of logits") as caught:
        check_logits(found, torch.zeros(1, 4, 4), BINARY)
    assert said in (caught.value.cause or "") and "logits only" in (caught.value.fix or "")
