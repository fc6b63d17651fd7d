"""BUSI: joined masks, normal images, and names with blanks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.helpers.published import (
    draw,
    reader,
    repaint,
    told,
)

TOP = "Dataset_BUSI_with_GT"
BENIGN = f"{TOP}/benign/benign (1)"
DOUBLE = f"{TOP}/benign/benign (2)"
NORMAL = f"{TOP}/normal/normal (1)"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("busi")
    draw("busi", root, 8)
    return root


def test_masks_of_an_image_are_joined(whole: Path) -> None:
    opened = reader("busi", whole, allow_missing=True)
    sample = next(each for each in opened.samples() if each.id == "benign (2)")
    parts = []
    for path in sample.files[1:]:
        with Image.open(path) as image:
            parts.append(np.array(image.convert("L")) > 0)
    assert len(parts) == 2 and all(part.any() for part in parts)
    assert (opened.read(sample)[1].astype(bool) == (parts[0] | parts[1])).all()


def test_numbers_are_paired_as_numbers(whole: Path) -> None:
    for sample in reader("busi", whole, allow_missing=True).samples():
        assert {path.stem.split("_mask")[0] for path in sample.files} == {sample.id}
    ids = [each.id for each in reader("busi", whole, allow_missing=True).samples()]
    assert ids[:4] == ["benign (1)", "benign (2)", "benign (3)", "benign (10)"]


def test_normal_images_are_kept_with_empty_masks_and_the_class_is_known(whole: Path) -> None:
    opened = reader("busi", whole, allow_missing=True)
    shown = {each.id: bool(opened.read(each)[1].any()) for each in opened.samples()}
    classes = {each.id: each.attributes["class"] for each in opened.samples()}
    assert all(shown[name] == (classes[name] != "normal") for name in shown)
    assert set(classes.values()) == {"benign", "malignant", "normal"}


def test_colored_marks_become_gray(whole: Path, tmp_path: Path) -> None:
    draw("busi", tmp_path, 8)

    def mark(pixels: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
        pixels[:4, :4] = (255, 0, 0)
        return pixels

    repaint(f"{BENIGN}.png", mark)(tmp_path)
    opened = reader("busi", tmp_path, allow_missing=True)
    image, _ = opened.read(opened.samples()[0])
    assert image.shape[2] == 1 and (image[:4, :4] == 76).all()


def test_second_masks_that_are_gone_are_noticed_by_their_number(whole: Path, tmp_path: Path) -> None:
    lines = told("busi", whole, tmp_path / "cache")
    assert sum("second masks: of 16" in line and "1 have it" in line for line in lines) == 1
    assert sum("437 benign images are missing: 4-9, 11-437" in line for line in lines) == 1
