"""What is possible in a dataset and rarely meant is said before training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench_core import IGNORE, Task
from bench_core.data.cache import CachedArrays
from bench_core.data.describe import Part, data_warnings, label_pixels
from tests.helpers.pictures import ArrayReader, in_memory, open_arrays, picture

TWO = Task(classes=("common", "rare"), channels=3)
ONE = Task(classes=("lesion",), channels=3)


def arrays(*masks: list[int]) -> CachedArrays:
    """One column of pixels a sample, repeated."""
    made = in_memory(len(masks))
    columns = [np.repeat(np.resize(mask, 8)[:, None], 8, axis=1) for mask in masks]
    return replace(made, masks=np.stack(columns).astype(np.uint8))


def parts(*numbers: list[int], role: str = "") -> list[Part]:
    return [Part(f"part {place}", np.array(chosen), role) for place, chosen in enumerate(numbers)]


def test_nothing_is_said_of_what_is_usual() -> None:
    assert data_warnings(arrays([0, 1], [0, 2], [1, 2]), TWO, parts([0, 2], [1, 0])) == []


def test_classes_that_occur_nowhere_are_named() -> None:
    assert data_warnings(arrays([0, 1], [0, 1]), TWO) == ["class 'rare' is in none of the 2 masks"]
    assert data_warnings(arrays([0], [0], [0]), TWO, parts([0], [1])) == [
        "no pixel of any class (common, rare) is in any of the 3 masks"
    ]


def test_classes_that_a_part_lacks_are_named_with_it() -> None:
    masks = arrays([0, 1, 2], [0, 1], [0, 1], [0, 1], [0, 1])
    assert data_warnings(masks, TWO, parts([0], [1], [2], [3], [4])) == [
        "class 'rare' is in no mask of part 1, part 2, part 3 and 1 more"
    ]


@pytest.mark.parametrize(
    ("role", "consequence"),
    [
        ("training", ": nothing can be learned from them"),
        ("validation", ": no epoch and no learning rate can be chosen by them"),
        ("test", ": most scores on them are undefined"),
    ],
)
def test_parts_without_foreground_say_what_follows(role: str, consequence: str) -> None:
    found = data_warnings(arrays([0], [0], [0, 1], [0, 1]), ONE, parts([0, 1], [2], role=role))
    assert found == [
        "2 masks (s000, s001) are without foreground",
        f"no pixel of any class is in part 0{consequence}",
    ]


def test_constant_masks_are_named() -> None:
    assert data_warnings(arrays([1], [1], [1]), ONE) == [
        "3 masks (s000, s001, s002) (all of them) are of nothing but class 'lesion'"
    ]
    assert data_warnings(arrays([1], [0, 1], [0]), ONE) == [
        "1 mask (s002) is without foreground",
        "1 mask (s000) is of nothing but class 'lesion'",
    ]


def test_ignored_pixels_are_no_class_and_no_background() -> None:
    masks = arrays([IGNORE, 1], [IGNORE], [0, 1, IGNORE])
    assert data_warnings(masks, ONE) == [
        "1 mask (s000) is of nothing but class 'lesion'",
        "1 masks (s001) hold nothing but ignored pixels".replace("1 masks", "1 mask"),
    ]


def test_spacing_that_some_images_lack_is_named() -> None:
    masks = replace(arrays([0, 1], [0, 1]), spacing=((1.0, 1.0), None))
    assert data_warnings(masks, ONE) == ["1 of 2 images say their spacing; distances will be in pixels"]


@given(st.lists(st.lists(st.sampled_from([0, 1, 2, IGNORE]), min_size=1, max_size=8), min_size=1, max_size=6))
def test_pixels_of_a_label_are_those_of_the_mask(masks: list[list[int]]) -> None:
    found = label_pixels(arrays(*masks))
    assert (found.sum(axis=1) == 64).all()
    for number, mask in enumerate(masks):
        column = np.resize(mask, 8)
        for label in (0, 1, 2, IGNORE):
            assert found[number, label] == 8 * int((column == label).sum())


@pytest.mark.parametrize(("height", "width"), [(20, 24), (24, 20), (7, 31), (31, 7), (16, 16)])
@pytest.mark.parametrize("size", [16, 32, 33])
def test_masks_of_one_class_are_named_although_padding_surrounds_them(
    tmp_path: Path, height: int, width: int, size: int
) -> None:
    image, full = picture(0, height, width) | 1, np.ones((height, width), np.uint8)
    part = full.copy()
    part[: height // 2] = 0
    made = open_arrays(ArrayReader([image, image], [full, part]), tmp_path, image_size=size)
    assert data_warnings(made, ONE) == ["1 mask (s0) is of nothing but class 'lesion'"]
    stretched = open_arrays(ArrayReader([image], [part]), tmp_path, image_size=size, resize="stretch")
    assert data_warnings(stretched, ONE) == []
