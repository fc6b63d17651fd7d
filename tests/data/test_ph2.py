"""PH2: case folders, and masks of 1 and of 24 bits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.helpers.published import (
    copy,
    draw,
    reader,
    told,
)

TOP = "PH2Dataset/PH2 Dataset images"
LESION = f"{TOP}/IMD004/IMD004_lesion/IMD004_lesion.bmp"
IMAGE = f"{TOP}/IMD004/IMD004_Dermoscopic_Image/IMD004.bmp"
TABLE = "PH2Dataset/PH2_dataset.txt"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("ph2")
    draw("ph2", root, 6)
    return root


def test_masks_of_one_and_of_24_bits_read_alike(whole: Path) -> None:
    kinds = set()
    for sample in reader("ph2", whole, allow_missing=True).samples():
        with Image.open(sample.files[1]) as image:
            kinds.add(image.mode)
            expected = np.array(image.convert("L")) > 0
        _, mask = reader("ph2", whole).read(sample)
        assert (mask.astype(bool) == expected).all() and mask.max() == 1
    assert kinds == {"1", "RGB"}


def test_masks_of_regions_and_copies_beside_the_lesion_are_not_taken(whole: Path, tmp_path: Path) -> None:
    root = tmp_path / "ph2"
    draw("ph2", root, 6)
    copy(IMAGE, LESION.replace(".bmp", ".jpg"))(root)
    taken = [
        path.name for sample in reader("ph2", root, allow_missing=True).samples() for path in sample.files
    ]
    assert len(taken) == 12 and all(name.startswith("IMD") and "_R1" not in name for name in taken)


@pytest.mark.parametrize("place", [".", "PH2Dataset", TOP])
def test_any_of_the_three_folders_may_be_the_root(whole: Path, place: str) -> None:
    samples = reader("ph2", whole / place, allow_missing=True).samples()
    assert [sample.id for sample in samples] == ["IMD002", "IMD004", "IMD006", "IMD008", "IMD010", "IMD012"]
    if place != TOP:
        assert samples[1].attributes == {"diagnosis": "atypical nevus"}


def test_another_folder_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    assert len(told("ph2", tmp_path / "root", tmp_path / "cache")) == 1


def test_a_count_that_differs_is_told(whole: Path, tmp_path: Path) -> None:
    lines = told("ph2", whole, tmp_path / "cache")
    assert lines == [f"{TOP}: holds 6 of 200 published cases"]
