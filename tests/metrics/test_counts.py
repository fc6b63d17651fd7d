from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bench_core.declarations import Task
from bench_core.metrics.counts import (
    METRICS,
    by_group,
    macro,
    mean_defined,
    micro,
    per_class,
    per_image,
    per_image_micro,
    scores,
)
from bench_core.protocol.evaluator import count
from bench_core.spec.protocol import Metrics

pytestmark = pytest.mark.usefixtures("one_thread")


@st.composite
def segmentations(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, int]:
    """Masks and predictions [N, H, W] over `classes` foreground classes."""
    classes = draw(st.integers(1, 4))
    shape = draw(st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 4)))
    labels = st.lists(st.integers(0, classes), min_size=math.prod(shape), max_size=math.prod(shape))
    masks, predictions = (np.array(draw(labels)).reshape(shape) for _ in range(2))
    return masks, predictions, classes


def counted(masks: np.ndarray, predictions: np.ndarray, classes: int) -> np.ndarray:
    """Counts as the contract takes them, from logits whose largest entry is the predicted class."""
    task = Task(classes=tuple("abcd"[:classes]), channels=3)
    if task.binary:
        logits = torch.from_numpy(predictions * 2.0 - 1.0)[:, None]
    else:
        logits = torch.nn.functional.one_hot(torch.from_numpy(predictions), classes + 1).permute(0, 3, 1, 2)
    return count(logits.float(), torch.from_numpy(masks), task, Metrics()).numpy()


def oracle(pairs: list[tuple[int, int]], label: int) -> tuple[int, int, int]:
    """TP, FP, FN of a class over (mask, prediction) pixels, one pixel at a time."""
    hit = false_alarm = miss = 0
    for truth, predicted in pairs:
        hit += truth == label and predicted == label
        false_alarm += truth != label and predicted == label
        miss += truth == label and predicted != label
    return hit, false_alarm, miss


def exact(hit: int, false_alarm: int, miss: int) -> dict[str, float]:
    """The four formulas in rational numbers, rounded once; precision of a missed structure is 0."""
    if miss and not hit + false_alarm:
        return {"mdsc": 0.0, "miou": 0.0, "mrecall": 0.0, "mprecision": 0.0}
    terms = {
        "mdsc": (2 * hit, 2 * hit + false_alarm + miss),
        "miou": (hit, hit + false_alarm + miss),
        "mrecall": (hit, hit + miss),
        "mprecision": (hit, hit + false_alarm),
    }
    return {name: float(Fraction(top, below)) if below else math.nan for name, (top, below) in terms.items()}


def naive_mean(values: list[float]) -> float:
    defined = [value for value in values if not math.isnan(value)]
    return sum(defined) / len(defined) if defined else math.nan


def pixels(masks: np.ndarray, predictions: np.ndarray) -> list[tuple[int, int]]:
    return list(zip(masks.ravel().tolist(), predictions.ravel().tolist(), strict=True))


@settings(max_examples=200, deadline=None)
@given(segmentations())
def test_micro_metrics_equal_a_naive_oracle_exactly(case: tuple[np.ndarray, np.ndarray, int]) -> None:
    masks, predictions, classes = case
    pooled = [oracle(pixels(masks, predictions), label) for label in range(1, classes + 1)]
    expected = exact(*(sum(parts) for parts in zip(*pooled, strict=True)))
    np.testing.assert_array_equal(
        [micro(counted(*case))[name] for name in METRICS], [expected[name] for name in METRICS]
    )


@settings(max_examples=100, deadline=None)
@given(segmentations())
def test_class_and_image_views_equal_a_naive_oracle(case: tuple[np.ndarray, np.ndarray, int]) -> None:
    masks, predictions, classes = case
    values = counted(*case)
    for label in range(1, classes + 1):
        expected = exact(*oracle(pixels(masks, predictions), label))
        for name in METRICS:
            np.testing.assert_array_equal(per_class(values)[name][label - 1], expected[name])
    for image in range(len(masks)):
        each = [
            exact(*oracle(pixels(masks[image], predictions[image]), label)) for label in range(1, classes + 1)
        ]
        pooled = exact(
            *np.sum(
                [oracle(pixels(masks[image], predictions[image]), label + 1) for label in range(classes)],
                axis=0,
            ).tolist()
        )
        for name in METRICS:
            mean = naive_mean([one[name] for one in each])
            np.testing.assert_allclose(per_image(values)[name][image], mean, rtol=1e-15)
            np.testing.assert_array_equal(per_image_micro(values)[name][image], pooled[name])
    for name in METRICS:
        mean = naive_mean(per_class(values)[name].tolist())
        np.testing.assert_allclose(macro(values)[name], mean, rtol=1e-15)


@given(segmentations(), st.randoms())
@settings(max_examples=50, deadline=None)
def test_the_order_of_images_does_not_matter(case: tuple, random: object) -> None:
    values = counted(*case)
    order = list(range(len(values)))
    random.shuffle(order)  # type: ignore[attr-defined]
    np.testing.assert_equal(micro(values[order]), micro(values))


@given(segmentations())
@settings(max_examples=50, deadline=None)
def test_dice_is_twice_iou_over_one_plus_iou(case: tuple) -> None:
    found = scores(counted(*case))
    np.testing.assert_allclose(found["mdsc"], 2 * found["miou"] / (1 + found["miou"]), rtol=1e-12)


def test_the_hand_computed_example() -> None:
    values = np.array([[[8, 2, 4], [0, 0, 0]], [[0, 3, 0], [1, 0, 1]]])
    assert micro(values) == {"mdsc": 18 / 28, "miou": 9 / 19, "mrecall": 9 / 14, "mprecision": 9 / 14}
    assert per_class(values)["miou"].tolist() == [8 / 17, 1 / 2]
    assert macro(values)["miou"] == (8 / 17 + 1 / 2) / 2
    assert per_image(values)["miou"].tolist() == [8 / 14, (0 + 1 / 2) / 2]
    assert per_image_micro(values)["miou"].tolist() == [8 / 14, 1 / 5]


ABSENT, ONLY_PREDICTED, ONLY_IN_MASK = [0, 0, 0], [0, 5, 0], [0, 0, 5]


@pytest.mark.parametrize(("policy", "score"), [("ignore", 0.5), ("one", 0.75), ("zero", 0.25)])
def test_a_class_absent_from_mask_and_prediction_follows_the_policy(policy: str, score: float) -> None:
    values = np.array([[ABSENT, [1, 1, 1]]])
    assert per_image(values, policy)["mprecision"].tolist() == [score]  # type: ignore[arg-type]


@pytest.mark.parametrize(("policy", "score"), [("ignore", math.nan), ("one", 1.0), ("zero", 0.0)])
def test_an_image_without_any_foreground_follows_the_policy(policy: str, score: float) -> None:
    values = np.array([[ABSENT, ABSENT]])
    for name in METRICS:
        np.testing.assert_array_equal(per_image(values, policy)[name], [score])  # type: ignore[arg-type]


@pytest.mark.parametrize("policy", ["ignore", "one", "zero"])
def test_a_missed_structure_scores_zero_and_recall_asks_about_the_truth_alone(policy: str) -> None:
    values = np.array([[ONLY_PREDICTED], [ONLY_IN_MASK]])
    for view in (per_image, per_image_micro):
        found = view(values, policy)  # type: ignore[arg-type]
        np.testing.assert_array_equal(found["mrecall"], [math.nan, 0.0])
        for name in ("mdsc", "miou", "mprecision"):
            np.testing.assert_array_equal(found[name], [0.0, 0.0])


@settings(max_examples=300, deadline=None)
@given(segmentations(), st.data(), st.sampled_from(["ignore", "one", "zero"]))
def test_deleting_a_predicted_structure_improves_no_score_and_no_mean(
    case: tuple[np.ndarray, np.ndarray, int], data: st.DataObject, policy: str
) -> None:
    masks, predictions, classes = case
    before = counted(*case)
    present = np.argwhere((before[..., 0] + before[..., 2] > 0) & (before[..., 0] + before[..., 1] > 0))
    assume(len(present))
    image, index = data.draw(st.sampled_from(present.tolist()))
    changed = predictions.copy()
    changed[image][changed[image] == index + 1] = 0
    after = counted(masks, changed, classes)
    for name in METRICS:
        one, other = scores(before)[name], scores(after)[name]
        assert other[image, index] <= one[image, index]
        assert (np.isnan(one) == np.isnan(other)).all()
        assert mean_defined(other.ravel()) <= mean_defined(one.ravel())
        views = [per_image(values, policy)[name] for values in (before, after)]  # type: ignore[arg-type]
        assert mean_defined(views[1]) <= mean_defined(views[0])
    hits, extra, _ = before[image, index]
    pooled = [[view(values) for values in (before, after)] for view in (micro, macro)]
    for one, other in pooled:
        assert other["mrecall"] <= one["mrecall"]
        if 2 * hits >= hits + extra:
            assert other["mdsc"] <= one["mdsc"] and other["miou"] <= one["miou"]


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 40), st.integers(0, 40), st.integers(0, 40), st.integers(0, 40))
def test_moving_a_structure_where_it_meets_less_of_the_truth_improves_no_score(
    hits: int, extra: int, missed: int, moved: int
) -> None:
    lost = min(moved, hits)
    before = scores(np.array([hits, extra, missed]))
    after = scores(np.array([hits - lost, extra + lost, missed + lost]))
    assert all(after[name] <= before[name] for name in METRICS)


def test_a_fold_in_which_nothing_is_predicted_has_a_precision_of_zero() -> None:
    """Left out, it would raise the mean over folds."""
    values = np.array([[ONLY_IN_MASK, ABSENT]])
    assert micro(values) == {"mdsc": 0.0, "miou": 0.0, "mrecall": 0.0, "mprecision": 0.0}
    assert macro(values)["mprecision"] == 0.0


def test_undefined_pooled_metrics_are_nan_not_zero() -> None:
    values = np.array([[ABSENT], [ABSENT]])
    for view in (micro, macro):
        assert all(math.isnan(score) for score in view(values).values())
    assert all(np.isnan(score).all() for score in per_class(values).values())


def test_counts_of_a_large_study_do_not_overflow_or_round() -> None:
    huge = 2**52
    values = np.array([[[huge, 1, 0]], [[0, 0, 1]]])
    assert micro(values)["miou"] == float(Fraction(huge, huge + 2))


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.lists(st.integers(0, 9), min_size=3, max_size=3)), min_size=1
    )
)
def test_counts_of_a_group_are_the_sum_of_its_images(rows: list[tuple[str, list[int]]]) -> None:
    groups = [group for group, _ in rows]
    values = np.array([[counts] for _, counts in rows], dtype=np.int64)
    found = by_group(values, groups)
    assert found.sum() == values.sum()
    for number, group in enumerate(dict.fromkeys(groups)):
        assert found[number, 0].tolist() == [
            sum(counts[place] for name, counts in rows if name == group) for place in range(3)
        ]
