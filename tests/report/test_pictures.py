"""Pictures of predictions: what each pixel says, in full size and made smaller."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from bench_core.analysis.pictured import exemplary, image_scores, kept_images, with_label_maps
from bench_core.labels import count
from bench_core.plan.job import Job
from bench_core.report import errormap, pictures
from bench_core.report.blocks import Comparison, Details, Prose
from bench_core.report.colors import SETS, lab, standing_out
from bench_core.report.compose import compose
from bench_core.report.sections.predictions import section
from tests.helpers.fake_study import Study
from tests.helpers.pictured_study import drawn, write_pictured

COLORS = SETS[0]
LABELS = arrays(np.uint8, (9, 7), elements=st.sampled_from((0, 0, 1, 2, 255)))
GUESSES = arrays(np.uint8, (9, 7), elements=st.sampled_from((0, 0, 1, 2)))


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return write_pictured(tmp_path_factory.mktemp("pictured"))


def decoded(source: str) -> np.ndarray:
    data = base64.b64decode(source.split(",")[1])
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGBA"))


@given(LABELS, GUESSES)
def test_an_error_map_has_the_pixels_that_are_counted(truth: np.ndarray, guess: np.ndarray) -> None:
    found = errormap.kinds(truth, guess)
    table = count(guess, truth, 2)
    number = {kind: int((found == kind).sum()) for kind in range(5)}
    assert number[errormap.HIT] == table[:, 0].sum()
    assert number[errormap.EXTRA] + number[errormap.SWAPPED] == table[:, 1].sum()
    assert number[errormap.MISSED] + number[errormap.SWAPPED] == table[:, 2].sum()


@given(LABELS, GUESSES)
def test_layers_survive_their_file(truth: np.ndarray, guess: np.ndarray) -> None:
    for layer in (
        errormap.error_fill(truth, guess, COLORS),
        errormap.error_outlines(truth, guess, COLORS),
        errormap.class_fill(truth),
        errormap.class_outlines(truth),
    ):
        back = decoded(pictures.data_uri(pictures.layer(layer)))
        assert (back[..., 3] == layer[..., 3]).all()
        shown = layer[..., 3] > 0
        assert (back[shown] == layer[shown]).all()


def test_a_thin_prediction_beside_its_truth_does_not_look_right() -> None:
    truth, guess = np.zeros((64, 64), np.uint8), np.zeros((64, 64), np.uint8)
    truth[20], guess[21] = 1, 1
    for draw in (errormap.error_fill, errormap.error_outlines):
        layer = draw(truth, guess, COLORS)
        assert not (layer[..., :3] == COLORS.hit).all(axis=2)[layer[..., 3] > 0].any()
        assert (layer[20, :, :3] == COLORS.missed).all()
        assert (layer[21, :, :3] == COLORS.extra).all()
        # Made smaller, both lines are still there, and nothing has the color of what is right.
        small = errormap.averaged(layer, 4)
        assert (small[5, :, 3] > 0).all()
        mean = (np.array(COLORS.missed) + COLORS.extra) / 2
        assert np.abs(small[5, :, :3] - mean).max() <= 1


@given(LABELS, GUESSES, st.integers(1, 4))
def test_a_smaller_layer_keeps_what_is_drawn(truth: np.ndarray, guess: np.ndarray, scale: int) -> None:
    layer = errormap.error_fill(truth, guess, COLORS)
    small = errormap.averaged(layer, scale)
    height, width = 9 // scale * scale, 7 // scale * scale
    drawn_there = (layer[:height, :width, 3] > 0).any()
    assert drawn_there == (small[..., 3] > 0).any()


def test_outlines_are_the_border_inside_the_area() -> None:
    area = np.zeros((6, 6), dtype=bool)
    area[1:5, 1:5] = True
    border = pictures.outline(area)
    assert border.sum() == 12
    assert not border[2:4, 2:4].any()
    assert not border[~area].any()
    assert pictures.outline(np.ones((3, 3), dtype=bool)).sum() == 8


def test_an_overlay_changes_only_labelled_pixels() -> None:
    image = np.full((40, 40, 3), 100, np.uint8)
    labels = np.zeros((40, 40), np.uint8)
    labels[5:15, 5:15], labels[20:35, 20:35] = 1, 2
    shown = pictures.overlay(image, labels)
    assert (shown[labels == 0] == 100).all()
    assert tuple(shown[5, 5]) == pictures.class_color(1)
    assert tuple(shown[20, 20]) == pictures.class_color(2)
    plain = (shown[7:13, 7:13] != 100).any(axis=2)
    striped = (shown[23:32, 23:32] != 100).any(axis=2)
    assert plain.all()
    assert 0.3 < striped.mean() < 0.7


def test_class_swatches_differ() -> None:
    assert len({pictures.swatch(label) for label in range(1, 7)}) == 6


@pytest.mark.parametrize(
    "tint", [(200, 60, 40), (20, 20, 20), (60, 140, 230), (240, 220, 90), (128, 128, 128)]
)
def test_errors_stand_out_on_the_image_at_hand(tint: tuple[int, int, int]) -> None:
    noise = np.random.default_rng(0).normal(0, 12, (48, 48, 3))
    image = np.clip(np.array(tint) + noise, 0, 255).astype(np.uint8)
    chosen = standing_out([image])
    for color in chosen.all:
        away = np.linalg.norm(lab(image.reshape(-1, 3)) - lab(np.array([color], dtype=np.uint8)), axis=1)
        assert np.percentile(away, 10) > 20


def test_colors_of_a_set_are_told_apart() -> None:
    for item in SETS:
        known = lab(np.array(item.all, dtype=np.uint8))
        away = np.linalg.norm(known[:, None] - known[None], axis=2) + 1000 * np.eye(4)
        assert away.min() > 30


def test_lab_is_that_of_the_literature() -> None:
    # White, black and the sRGB red, green and blue, as in Lindbloom's calculator (D65, 2 degrees).
    colors = np.array([[255, 255, 255], [0, 0, 0], [255, 0, 0], [0, 255, 0], [0, 0, 255]], dtype=np.uint8)
    known = [[100, 0, 0], [0, 0, 0], [53.24, 80.09, 67.20], [87.74, -86.18, 83.18], [32.30, 79.19, -107.86]]
    assert np.abs(lab(colors) - known).max() < 0.1


def test_all_models_are_shown_on_the_same_images(study: Study) -> None:
    evidence = study.evidence()
    found = section(evidence, {"median": True, "width": 256, "megabytes": 8, "images": "kept"})
    for number, data in enumerate(evidence.datasets):
        details = found.blocks[number]
        assert isinstance(details, Details)
        comparison = details.blocks[0]
        assert isinstance(comparison, Comparison)
        assert [row.title for row in comparison.rows] == [
            "worst for all", "best for all", "models differ most", "median"
        ]  # fmt: skip
        scores = image_scores(evidence, data.label)
        for row in comparison.rows:
            assert [view.label for view in row.views] == [
                "image", "ground truth", "BroadFormer", "WideNeXt", "RingNet"
            ]  # fmt: skip
            sample = row.detail.split(",")[0]
            dice = scores.of(sample)
            assert [view.detail for view in row.views[2:]] == [
                f"Dice {100 * dice[model]:.1f} %" for model in ("broad", "wide", "ring")
            ]
            _, mask = drawn(data.label, int(sample[-4:]), len(data.classes), 3, 40)
            filled = decoded(row.views[1].outline)[..., 3] > 0
            assert (filled <= (mask > 0)).all()
            assert filled.any()


def test_label_maps_are_those_of_the_store(study: Study) -> None:
    evidence = study.evidence()
    images = {
        image.id: image for image in with_label_maps(evidence, "polyps", kept_images(evidence, "polyps"))
    }
    assert images
    for cell in evidence.cells.values():
        for done in cell.folds if cell.dataset == "polyps" else ():
            kept = done.predictions()
            for sample, labels in zip(kept.ids, kept.labels, strict=True):
                if sample in images:
                    assert (images[sample].maps[cell.model] == labels).all()
    assert all(list(image.maps) == ["broad", "wide", "ring"] for image in images.values())


def test_examples_are_extremes_and_different() -> None:
    scores = {"a": [0.9, 0.8], "b": [0.1, 0.2], "c": [0.9, 0.1], "d": [0.5, 0.6], "e": []}
    assert exemplary(scores) == (
        ("worst for all", "b"), ("best for all", "a"), ("models differ most", "c"), ("median", "d")
    )  # fmt: skip
    assert exemplary(scores, median=False)[-1] == ("models differ most", "c")
    assert exemplary({"a": [0.5, 0.5]}) == (("worst for all", "a"),)
    assert exemplary({}) == ()


def test_a_cell_without_pictures_is_named(tmp_path: Path) -> None:
    def pictured(job: Job) -> bool:
        return (job.model.label, job.dataset.label) != ("ring", "hearts")

    study = write_pictured(tmp_path, models="[broad, ring]", searches=False, pictured=pictured)
    report = compose(study.evidence(), study.loaded.registry)
    part = next(item for item in report.sections if item.name == "predictions")
    assert Prose(("No readable pictures of ring on hearts.",)) in part.blocks
