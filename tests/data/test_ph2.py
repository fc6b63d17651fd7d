"""PH2: 1-bit masks, case folders, and what is told of damaged ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.helpers.published import (
    Damage,
    check_damage,
    copy,
    cut,
    draw,
    edit,
    link,
    names,
    reader,
    remove,
    repaint,
    smaller,
    told,
    write,
)

TOP = "PH2Dataset/PH2 Dataset images"
LESION = f"{TOP}/IMD004/IMD004_lesion/IMD004_lesion.bmp"
IMAGE = f"{TOP}/IMD004/IMD004_Dermoscopic_Image/IMD004.bmp"
TABLE = "PH2Dataset/PH2_dataset.txt"
DAMAGES = [
    Damage("no mask", remove(LESION), LESION, "is missing: the mask", missing=True),
    Damage("no image", remove(IMAGE), IMAGE, "is missing: the image", missing=True),
    Damage("no case", remove(f"{TOP}/IMD004"), f"{TOP}/IMD004", "is missing: a case", missing=True),
    Damage("no table", remove(TABLE), TABLE, "is missing: the table", missing=True),
    Damage("mask cut off", cut(LESION), LESION, "cannot be decoded"),
    Damage("image cut off", cut(IMAGE), IMAGE, "cannot be decoded"),
    Damage("empty file", write(IMAGE, b""), IMAGE, "is empty (0 bytes)"),
    Damage("not a picture", write(LESION, "<html>"), LESION, "not an image in a known format"),
    Damage("another size", smaller(LESION), LESION, "pixels, its image IMD004.bmp"),
    Damage("a link to nowhere", link(LESION), LESION, "is a broken link"),
    Damage("an empty mask", repaint(LESION, np.zeros_like), LESION, "shows nothing"),
    Damage("the picture as mask", copy(IMAGE, LESION), LESION, "is in color"),
    Damage("a gray mask", repaint(LESION, lambda p: p.astype(np.uint8) * 100), LESION, "100 ("),
    Damage("a case twice", edit(TABLE, lambda t: t + "|| IMD004 || || 0 || ||\n"), TABLE, "a second line"),
    Damage(
        "a diagnosis unknown",
        edit(TABLE, lambda t: t.replace("|| IMD004 ||              ||      1", "|| IMD004 || ||  7")),
        TABLE,
        "is '7', not 0, 1 or 2",
    ),
    Damage("a table of nothing", write(TABLE, "nothing"), TABLE, "holds no lines"),
]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("ph2")
    draw("ph2", root, 6)
    return root


@pytest.mark.parametrize("damage", DAMAGES, ids=names(DAMAGES))
def test_damage_is_told_once(damage: Damage, whole: Path, tmp_path: Path) -> None:
    check_damage(damage, "ph2", whole, tmp_path)


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
