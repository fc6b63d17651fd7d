"""Boundary metrics: equal to brute force and to MONAI, and never better for a structure that is missed."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.ndimage import binary_erosion, distance_transform_edt

from bench_core.metrics.counts import mean_defined
from bench_core.metrics.surface import assd, diagonal, hd95, nsd, surface_distances

torch.set_num_threads(1)
Maps = tuple[np.ndarray, np.ndarray, int]
SPACINGS = st.none() | st.tuples(st.floats(0.1, 5), st.floats(0.1, 5))
DISTANCES = (hd95, assd)
ALL: tuple[Callable[..., Any], ...] = (hd95, assd, nsd)


@st.composite
def label_maps(draw: st.DrawFn, least: int = 1, classes: int = 3) -> Maps:
    """Prediction and truth [H, W]: overlapping rectangles, so that structures are large, cut or absent."""
    shape = draw(st.tuples(st.integers(least, 16), st.integers(least, 16)))
    maps = []
    for _ in range(2):
        labels = np.zeros(shape, np.uint8)
        for _ in range(draw(st.integers(0, 5))):
            top, left = draw(st.integers(0, shape[0] - 1)), draw(st.integers(0, shape[1] - 1))
            high, wide = draw(st.integers(1, shape[0])), draw(st.integers(1, shape[1]))
            labels[top : top + high, left : left + wide] = draw(st.integers(0, classes))
        maps.append(labels)
    return maps[0], maps[1], classes


def brute(prediction: np.ndarray, truth: np.ndarray, spacing: tuple[float, float] | None) -> list[np.ndarray]:
    """Both directed sets of distances, from SciPy's distance transforms of the whole image."""
    edges = [mask & ~binary_erosion(mask) for mask in (prediction, truth)]
    far = [distance_transform_edt(~edge, sampling=spacing) for edge in edges]
    return [far[1][edges[0]], far[0][edges[1]]]


@settings(max_examples=200, deadline=None)
@given(label_maps(), SPACINGS, st.floats(0, 6))
def test_all_three_equal_scipys_distance_transforms(
    maps: Maps, spacing: tuple[float, float] | None, tolerance: float
) -> None:
    prediction, truth, classes = maps
    found = [metric(prediction, truth, classes, spacing) for metric in DISTANCES]
    shares = nsd(prediction, truth, classes, spacing, tolerance=tolerance)
    for index in range(classes):
        masks = prediction == index + 1, truth == index + 1
        if not (masks[0].any() and masks[1].any()):
            continue
        directed = brute(*masks, spacing)
        assume(not any(np.isclose(part, tolerance, atol=1e-9).any() for part in directed))
        both = np.concatenate(directed)
        assert found[0][index] == pytest.approx(max(np.percentile(part, 95) for part in directed), rel=1e-9)
        assert found[1][index] == pytest.approx(both.mean(), rel=1e-9)
        assert shares[index] == np.count_nonzero(both <= tolerance) / both.size


def one_hot(labels: np.ndarray, classes: int) -> torch.Tensor:
    return torch.nn.functional.one_hot(torch.from_numpy(labels.astype(np.int64)), classes + 1).permute(
        2, 0, 1
    )[None]


@pytest.mark.slow  # importing MONAI's metrics takes seconds
@pytest.mark.filterwarnings("ignore:the (prediction|ground truth) of class")
@settings(max_examples=60, deadline=None)
@given(label_maps(least=4))
def test_all_three_equal_monai_where_both_have_the_structure(maps: Maps) -> None:
    from monai.metrics import compute_average_surface_distance, compute_hausdorff_distance
    from monai.metrics.surface_dice import compute_surface_dice

    prediction, truth, classes = maps
    mine = [hd95(*maps), assd(*maps), nsd(*maps, tolerance=2.0)]
    pair = one_hot(prediction, classes), one_hot(truth, classes)
    theirs = [
        compute_hausdorff_distance(*pair, percentile=95)[0],
        compute_average_surface_distance(*pair, symmetric=True)[0],
        compute_surface_dice(*pair, class_thresholds=[2.0] * classes)[0],
    ]
    for index in range(classes):
        if (prediction == index + 1).any() and (truth == index + 1).any():
            for one, other in zip(mine, theirs, strict=True):
                assert one[index] == pytest.approx(float(other[index]), rel=1e-5, abs=1e-6)


@settings(max_examples=100, deadline=None)
@given(label_maps(), SPACINGS)
def test_empty_is_undefined_and_one_alone_is_the_worst(
    maps: Maps, spacing: tuple[float, float] | None
) -> None:
    prediction, truth, classes = maps
    longest = diagonal(truth.shape, spacing)
    for metric in ALL:
        found = metric(prediction, truth, classes, spacing)
        for index, score in enumerate(found):
            has = (prediction == index + 1).any(), (truth == index + 1).any()
            if has == (False, False):
                assert math.isnan(score)
            elif has != (True, True):
                assert score == (0.0 if metric is nsd else longest)
            elif metric is not nsd:
                assert 0 <= score < longest


def badness(metric: Callable[..., Any], score: Any) -> Any:
    return -score if metric is nsd else score


def over_all(scores: np.ndarray) -> float:
    """The mean over all images and classes at once."""
    return float(mean_defined(scores.ravel()))


def over_images(scores: np.ndarray) -> float:
    """The mean over images of the mean over an image's classes."""
    return float(mean_defined(mean_defined(scores)))


@settings(max_examples=100, deadline=None)
@given(st.lists(label_maps(), min_size=1, max_size=3), SPACINGS, st.data())
def test_deleting_a_predicted_structure_improves_no_score_and_no_mean(
    images: list[Maps], spacing: tuple[float, float] | None, data: st.DataObject
) -> None:
    present = [
        (row, label)
        for row, (prediction, truth, _) in enumerate(images)
        for label in (1, 2, 3)
        if (prediction == label).any() and (truth == label).any()
    ]
    assume(present)
    row, label = data.draw(st.sampled_from(present))
    prediction, truth, classes = images[row]
    without = np.where(prediction == label, 0, prediction).astype(np.uint8)
    for metric in ALL:
        before = np.stack([metric(*maps, spacing) for maps in images])
        after = before.copy()
        after[row] = metric(without, truth, classes, spacing)
        assert badness(metric, after[row, label - 1]) >= badness(metric, before[row, label - 1])
        assert (np.isnan(before) == np.isnan(after)).all()
        for mean in (over_all, over_images):
            assert badness(metric, mean(after)) >= badness(metric, mean(before))


@settings(max_examples=80, deadline=None)
@given(label_maps(classes=1), st.integers(0, 3), st.integers(0, 6), st.integers(1, 6), SPACINGS)
def test_moving_a_structure_further_away_improves_no_score(
    maps: Maps, side: int, gap: int, step: int, spacing: tuple[float, float] | None
) -> None:
    prediction, truth, _ = maps
    assume(prediction.any() and truth.any())
    turned = [np.rot90(labels, side) for labels in (prediction, truth)]
    width = turned[0].shape[1]
    room = 2 * width + gap + step
    scores = []
    for offset in (width + gap, width + gap + step):
        canvas = np.zeros((2, turned[0].shape[0], room), np.uint8)
        canvas[1, :, :width] = turned[1]
        canvas[0, :, offset : offset + width] = turned[0]
        scores.append([float(metric(canvas[0], canvas[1], 1, spacing)[0]) for metric in ALL])
    for metric, near, far in zip(ALL, *scores, strict=True):
        assert badness(metric, far) >= badness(metric, near)


@settings(max_examples=60, deadline=None)
@given(label_maps())
def test_truth_and_prediction_may_change_places(maps: Maps) -> None:
    prediction, truth, classes = maps
    for metric in ALL:
        np.testing.assert_array_equal(metric(prediction, truth, classes), metric(truth, prediction, classes))


@settings(max_examples=60, deadline=None)
@given(label_maps())
def test_equal_maps_are_perfect(maps: Maps) -> None:
    _, truth, classes = maps
    for metric, perfect in ((hd95, 0.0), (assd, 0.0), (nsd, 1.0)):
        found = metric(truth, truth, classes)
        for index in range(classes):
            if (truth == index + 1).any():
                assert found[index] == perfect
            else:
                assert math.isnan(found[index])


@settings(max_examples=60, deadline=None)
@given(label_maps(), st.data())
def test_what_is_predicted_under_ignore_changes_nothing(maps: Maps, data: st.DataObject) -> None:
    prediction, truth, classes = maps
    random = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    ignore = random.random(truth.shape) < 0.3
    other = np.where(ignore, random.integers(0, classes + 1, truth.shape), prediction).astype(np.uint8)
    hidden = [np.where(ignore, 0, labels).astype(np.uint8) for labels in (prediction, truth)]
    for metric in ALL:
        expected = metric(hidden[0], hidden[1], classes)
        np.testing.assert_array_equal(metric(prediction, truth, classes, None, ignore), expected)
        np.testing.assert_array_equal(metric(other, truth, classes, None, ignore), expected)


def test_a_hand_computed_example() -> None:
    """A square of 3 x 3 pixels, and the same two columns to the right, 0.5 mm high and 2 mm wide."""
    truth = np.zeros((5, 7), np.uint8)
    truth[1:4, 1:4] = 1
    prediction = np.roll(truth, 2, axis=1)
    # Of each boundary of 8 pixels: 3 at distance 0, 3 at 2 pixels, and the middle column's two at 1 (its
    # middle pixel is inside).
    assert assd(prediction, truth, 1)[0] == pytest.approx((3 * 0 + 3 * 2 + 2 * 1) / 8)
    assert hd95(prediction, truth, 1)[0] == pytest.approx(2.0)
    assert nsd(prediction, truth, 1, tolerance=1.0)[0] == pytest.approx(5 / 8)
    # In mm the way along a row costs 2 a pixel; 1 row and 0 columns cost 0.5.
    assert hd95(prediction, truth, 1, (0.5, 2.0))[0] == pytest.approx(4.0)
    assert nsd(prediction, truth, 1, (0.5, 2.0), tolerance=2.0)[0] == pytest.approx(5 / 8)
    assert diagonal((3, 4), (1.0, 1.0)) == 5.0


def test_a_tolerance_includes_its_own_distance_in_any_unit() -> None:
    truth, prediction = np.zeros((1, 8), np.uint8), np.zeros((1, 8), np.uint8)
    truth[0, 0], prediction[0, 3] = 1, 1
    assert nsd(prediction, truth, 1, (0.1, 0.1), tolerance=0.3)[0] == 1.0
    assert nsd(prediction, truth, 1, (0.1, 0.1), tolerance=0.29)[0] == 0.0


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"truth": np.zeros((4, 5), np.uint8)}, "alike"),
        ({"classes": 0}, "at least one class"),
        ({"spacing": (0.0, 1.0)}, "spacing"),
        ({"spacing": (1.0, math.nan)}, "spacing"),
        ({"spacing": (1.0,)}, "spacing"),
        ({"ignore": np.zeros((4, 4), np.uint8)}, "ignore"),
        ({"ignore": np.zeros((2, 4), bool)}, "ignore"),
    ],
)
def test_what_does_not_fit_is_refused(changes: dict[str, Any], says: str) -> None:
    blank = np.zeros((4, 4), np.uint8)
    arguments = {"prediction": blank, "truth": blank, "classes": 1, **changes}
    for metric in ALL:
        with pytest.raises(ValueError, match=says):
            metric(**arguments)


@pytest.mark.parametrize("tolerance", [-1.0, math.nan, math.inf])
def test_a_tolerance_that_is_none_is_refused(tolerance: float) -> None:
    blank = np.zeros((4, 4), np.uint8)
    with pytest.raises(ValueError, match="tolerance"):
        nsd(blank, blank, 1, tolerance=tolerance)


def test_an_empty_structure_has_no_boundary() -> None:
    full, empty = np.ones((2, 2), bool), np.zeros((2, 2), bool)
    with pytest.raises(ValueError, match="empty"):
        surface_distances(full, empty)


def test_metrics_need_neither_torch_nor_scipy() -> None:
    code = (
        "import sys, numpy as np\n"
        "for name in ('torch', 'scipy'):\n    sys.modules[name] = None\n"
        "from bench_core.metrics import counts, surface\n"
        "a = np.eye(9, dtype=np.uint8)\n"
        "print(surface.hd95(a, a[::-1], 1)[0] > 0, counts.micro(np.ones((1, 1, 3), int))['miou'])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == ["True", "0.3333333333333333"], done.stderr
