"""ETIS-Larib: a folder within a folder, masks with a prefix, and what is told of damaged ones."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.published import (
    Damage,
    check_damage,
    copy,
    cut,
    draw,
    names,
    reader,
    remove,
    repaint,
    smaller,
    told,
    write,
)

TOP = "ETIS-LaribPolypDB"
IMAGE, MASK = f"{TOP}/{TOP}/1.tif", f"{TOP}/Ground Truth/p1.tif"
DAMAGES = [
    Damage("no mask", remove(MASK), MASK, "is missing: the mask", missing=True),
    Damage("no image", remove(IMAGE), IMAGE, "is missing: the image", missing=True),
    Damage(
        "no prefix",
        lambda r: (r / MASK).rename(r / MASK.replace("p1", "1")),
        MASK,
        "is missing",
        missing=True,
    ),
    Damage("cut off", cut(IMAGE), IMAGE, "cannot be decoded"),
    Damage("not a picture", write(MASK, "Not Found"), MASK, "not an image in a known format"),
    Damage("another size", smaller(MASK), MASK, "pixels, its image 1.tif"),
    Damage(
        "another size of both",
        lambda r: (smaller(IMAGE)(r), smaller(MASK)(r)),
        IMAGE,
        "published are 1225 x 966",
    ),
    Damage("empty mask", repaint(MASK, np.zeros_like), MASK, "shows nothing"),
    Damage("the picture as mask", copy(IMAGE, MASK), MASK, "is in color"),
    Damage("no folder of masks", remove(f"{TOP}/Ground Truth"), f"{TOP}/Ground Truth", "no such folder"),
]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("etis")
    draw("etis", root, 2)
    return root


@pytest.mark.parametrize("damage", DAMAGES, ids=names(DAMAGES))
def test_damage_is_told_once(damage: Damage, whole: Path, tmp_path: Path) -> None:
    check_damage(damage, "etis", whole, tmp_path)


def test_an_archive_that_nests_once_more_is_read(whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole / TOP, tmp_path / TOP / TOP)
    expected = reader("etis", whole, allow_missing=True).samples()
    found = reader("etis", tmp_path, allow_missing=True).samples()
    assert [each.id for each in found] == [each.id for each in expected] == ["1", "2"]


def test_the_circulating_layout_gives_the_same_samples(tmp_path: Path) -> None:
    truth = draw("etis", tmp_path, 2, seed=1)
    assert truth["layout"] == "circulating"
    found = reader("etis", tmp_path, allow_missing=True).samples()
    assert [each.id for each in found] == ["1", "2"]


def test_what_is_missing_is_told_by_number(whole: Path, tmp_path: Path) -> None:
    assert told("etis", whole, tmp_path / "cache") == [f"{TOP}/{TOP}: 194 of 196 frames are missing: 3-196"]
