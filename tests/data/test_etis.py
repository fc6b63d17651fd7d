"""ETIS-Larib: a folder within a folder, and masks with a prefix."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.helpers.published import (
    draw,
    reader,
    told,
)

TOP = "ETIS-LaribPolypDB"
IMAGE, MASK = f"{TOP}/{TOP}/1.tif", f"{TOP}/Ground Truth/p1.tif"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("etis")
    draw("etis", root, 2)
    return root


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
