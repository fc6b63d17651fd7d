"""CVC-ColonDB: the official frames and the circulating ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.published import (
    Damage,
    copy,
    cut,
    draw,
    reader,
    remove,
    told,
    write,
)

TOP = "CVC-ColonDB"
CIRCULATING = [
    Damage(
        "no mask", remove(f"{TOP}/masks/1.png"), f"{TOP}/masks/1.png", "is missing: the mask", missing=True
    ),
    Damage("no image", remove(f"{TOP}/images/1.png"), f"{TOP}/images/1.png", "is missing", missing=True),
    Damage("cut off", cut(f"{TOP}/masks/2.png"), f"{TOP}/masks/2.png", "cannot be decoded"),
    Damage("empty", write(f"{TOP}/images/2.png", b""), f"{TOP}/images/2.png", "is empty"),
    Damage("no masks", remove(f"{TOP}/masks"), f"{TOP}/masks", "no such folder"),
    Damage(
        "the picture as mask",
        copy(f"{TOP}/images/2.png", f"{TOP}/masks/2.png"),
        f"{TOP}/masks/2.png",
        "in color",
    ),
]


@pytest.fixture(scope="module")
def official(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("official")
    draw("cvc-colondb", root, 3, seed=0)
    return root


@pytest.fixture(scope="module")
def circulating(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("circulating")
    draw("cvc-colondb", root, 3, seed=1)
    return root


def test_each_layout_has_its_published_number(official: Path, circulating: Path, tmp_path: Path) -> None:
    assert told("cvc-colondb", official, tmp_path / "one") == [f"{TOP}: 297 of 300 frames are missing: 4-300"]
    assert told("cvc-colondb", circulating, tmp_path / "two") == [
        f"{TOP}/images: holds 3 of 380 published frames"
    ]


def test_regions_and_contours_are_no_frames(official: Path) -> None:
    taken = [
        path.name
        for sample in reader("cvc-colondb", official, allow_missing=True).samples()
        for path in sample.files
    ]
    assert taken == ["1.tiff", "p1.tiff", "2.bmp", "p2.bmp", "3.tiff", "p3.tiff"]


def test_that_sequences_are_not_known_is_said(official: Path, circulating: Path) -> None:
    for root in (official, circulating):
        remarks = reader("cvc-colondb", root, allow_missing=True).remarks()
        assert sum("sequences" in remark for remark in remarks) == 1
