"""Pictures of cases: outlines, patterns, sizes."""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image

from bench_core.records import Case
from bench_core.report import pictures
from tests.helpers.fake_study import fake_cases


def decoded(source: str) -> np.ndarray:
    data = base64.b64decode(source.removeprefix("data:image/png;base64,"))
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def test_the_outline_is_the_border_inside_the_area() -> None:
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


def test_large_images_shrink_and_gray_ones_become_rgb() -> None:
    random = np.random.default_rng(0)
    image = random.integers(0, 255, (512, 512, 1), dtype=np.uint8)
    mask = np.zeros((512, 512), np.uint8)
    mask[100:300, 100:300] = 1
    case = Case("a", "best", 1.0, image, mask, mask)
    for source in pictures.case_pictures(case, 96):
        picture = decoded(source)
        assert picture.shape == (85, 85, 3)
    assert len({len(source) for source in pictures.case_pictures(case, 96)}) > 1


def test_more_cases_get_smaller_pictures() -> None:
    large = [
        Case(
            case.id,
            case.rank,
            case.dice,
            *(
                np.kron(part, np.ones((4, 4, 1) if part.ndim == 3 else (4, 4), np.uint8))
                for part in (case.image, case.mask, case.prediction)
            ),
        )
        for case in fake_cases("polyps", 2, 3, 0)
    ]
    few = pictures.choose_width(large, 1_000_000)
    many = pictures.choose_width(large * 60, 1_000_000)
    assert few == pictures.WIDTHS[0]
    assert many < few
    size = sum(len(source) for case in large for source in pictures.case_pictures(case, many)) * 60
    assert size <= 1_100_000 or many == pictures.WIDTHS[-1]


def test_class_swatches_differ() -> None:
    assert len({pictures.swatch(label) for label in range(1, 7)}) == 6
