from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bench_core.declarations import IGNORE
from bench_core.errors import TrainingError
from bench_core.protocol.evaluator import Evaluator, count, predict_labels
from bench_core.spec.protocol import Metrics
from tests.helpers.tiny_jobs import BINARY, THREE

pytestmark = pytest.mark.usefixtures("one_thread")


@settings(deadline=None)
@given(st.lists(st.floats(-15, 15, width=32), min_size=1, max_size=40), st.floats(0.01, 0.99))
def test_a_probability_threshold_cuts_where_the_sigmoid_passes_it(
    values: list[float], threshold: float
) -> None:
    logits = torch.tensor(values)
    labels = predict_labels(logits[None, None, None], BINARY, Metrics(threshold=threshold)).flatten()
    for value, label in zip(values, labels.tolist(), strict=True):
        probability = 1 / (1 + math.exp(-value))
        if abs(probability - threshold) > 1e-6:
            assert label == (probability > threshold)


def test_the_two_spaces_differ_at_the_same_number() -> None:
    logits = torch.tensor([0.3, 0.6])[None, None, None]
    assert predict_labels(logits, BINARY, Metrics()).flatten().tolist() == [1, 1]
    raw = Metrics(threshold=0.5, threshold_space="logit")
    assert predict_labels(logits, BINARY, raw).flatten().tolist() == [0, 1]
    equivalent = Metrics(threshold=1 / (1 + math.exp(-0.5)))
    assert predict_labels(logits, BINARY, equivalent).flatten().tolist() == [0, 1]


@pytest.mark.parametrize(("threshold", "label"), [(0.0, 1), (-1.0, 1), (1.0, 0), (2.0, 0)])
def test_thresholds_at_the_ends_take_everything_or_nothing(threshold: float, label: int) -> None:
    logits = torch.tensor([-80.0, 80.0])[None, None, None]
    assert predict_labels(logits, BINARY, Metrics(threshold=threshold)).unique().tolist() == [label]


def test_half_precision_logits_meet_the_threshold_in_single_precision() -> None:
    logits = torch.tensor([0.5, 0.50048828125], dtype=torch.float16)[None, None, None]
    just_above = Metrics(threshold=0.5001, threshold_space="logit")
    assert predict_labels(logits, BINARY, just_above).flatten().tolist() == [0, 1]


def test_the_first_of_equal_logits_wins_and_the_largest_otherwise() -> None:
    logits = torch.tensor([[1.0, 1.0, 0.0], [0.0, 2.0, 2.0], [0.0, -1.0, 0.5]]).T.reshape(1, 3, 1, 3)
    assert predict_labels(logits, THREE, Metrics()).flatten().tolist() == [0, 1, 2]


def test_counts_are_whole_numbers_a_class_without_background() -> None:
    labels = torch.tensor([[0, 1, 2, 2], [1, 1, 0, 2]])
    logits = torch.nn.functional.one_hot(labels, 3).float().permute(0, 2, 1)[:, :, None]
    masks = torch.tensor([[[0, 1, 2, 1]], [[0, 1, 2, 2]]])
    values = count(logits, masks, THREE, Metrics())
    assert values.dtype == torch.int64
    assert values.tolist() == [[[1, 0, 1], [1, 1, 0]], [[1, 1, 0], [1, 0, 1]]]


def batches(count_images: int) -> list[tuple[tuple[str, ...], torch.Tensor, torch.Tensor]]:
    random = torch.Generator().manual_seed(0)
    return [
        (
            (f"a{number}", f"b{number}"),
            torch.randn(2, 1, 6, 6, generator=random),
            torch.randint(0, 2, (2, 6, 6), generator=random),
        )
        for number in range(count_images // 2)
    ]


def test_counts_come_in_the_order_asked_for_whatever_the_order_of_batches() -> None:
    ids = ("b2", "a0", "a1", "b0", "a2", "b1")
    forward, backward = Evaluator(BINARY, Metrics()), Evaluator(BINARY, Metrics())
    for batch in batches(6):
        forward.add(*batch)
    for batch in reversed(batches(6)):
        backward.add(*batch)
    np.testing.assert_array_equal(forward.values(ids), backward.values(ids))
    first_ids, logits, masks = batches(6)[0]
    single = count(logits, masks, BINARY, Metrics())[first_ids.index("a0")]
    np.testing.assert_array_equal(forward.values(ids)[1], single.numpy())


def test_a_nan_is_an_error_and_not_background() -> None:
    evaluator = Evaluator(BINARY, Metrics())
    ids, logits, masks = batches(2)[0]
    logits[1, 0, 2, 2] = math.nan
    evaluator.add(ids, logits, masks)
    with pytest.raises(TrainingError, match="NaN for 1 of 2 images, b0"):
        evaluator.values(ids)


@pytest.mark.parametrize("ids", [("a0",), ("a0", "b0", "a1"), ("a0", "c0")])
def test_every_image_is_counted_exactly_once(ids: tuple[str, ...]) -> None:
    evaluator = Evaluator(BINARY, Metrics())
    evaluator.add(*batches(2)[0])
    with pytest.raises(TrainingError, match="predictions for"):
        evaluator.values(ids)
    evaluator.add(*batches(2)[0])
    with pytest.raises(TrainingError, match="4 predictions for 2 images"):
        evaluator.values(("a0", "b0"))


def test_ignored_pixels_count_nowhere_whatever_is_predicted() -> None:
    torch.manual_seed(3)
    masks = torch.randint(0, 3, (4, 6, 6))
    ignored = torch.rand(4, 6, 6) < 0.4
    logits = torch.randn(4, 3, 6, 6)
    holed = torch.where(ignored, IGNORE, masks)
    expected = torch.zeros(4, 2, 3, dtype=torch.int64)
    labels = logits.argmax(1)
    for image in range(4):
        for label in (1, 2):
            seen = ~ignored[image]
            predicted, true = labels[image][seen] == label, masks[image][seen] == label
            expected[image, label - 1] = torch.stack(
                [(predicted & true).sum(), (predicted & ~true).sum(), (~predicted & true).sum()]
            )
    assert torch.equal(count(logits, holed, THREE, Metrics()), expected)
    everything = torch.full_like(masks, IGNORE)
    assert not count(logits, everything, THREE, Metrics()).any()
