"""Kvasir-SEG and HyperKvasir's copy: JPEG masks and the same pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.helpers.published import (
    DECLARED,
    draw,
    reader,
    told,
)

SEED = 3


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("kvasir")
    draw("kvasir-seg", root, 4, SEED)
    return root


def test_masks_are_read_exactly_although_jpeg_moves_their_values(whole: Path, tmp_path: Path) -> None:
    truth = {row["id"]: row for row in draw("kvasir-seg", tmp_path, 4, SEED)["samples"]}
    for sample in reader("kvasir-seg", whole, allow_missing=True).samples():
        with Image.open(sample.files[1]) as image:
            assert len(np.unique(np.array(image))) > 2
        _, mask = reader("kvasir-seg", whole).read(sample)
        assert int(mask.sum()) == truth[sample.id]["foreground"]


def test_hyperkvasir_holds_the_same_pictures_and_says_so(whole: Path, tmp_path: Path) -> None:
    root = tmp_path / "hyper"
    draw("hyperkvasir", root, 4, SEED)
    mine = [
        reader("kvasir-seg", whole).read(each)[0]
        for each in reader("kvasir-seg", whole, allow_missing=True).samples()
    ]
    theirs = [
        reader("hyperkvasir", root).read(each)[0]
        for each in reader("hyperkvasir", root, allow_missing=True).samples()
    ]
    assert sorted(image.tobytes() for image in mine) == sorted(image.tobytes() for image in theirs)
    assert "hyperkvasir" in DECLARED["kvasir-seg"].same_images
    assert "kvasir-seg" in DECLARED["hyperkvasir"].same_images


@pytest.mark.parametrize(("named", "other"), [("kvasir-seg", "hyperkvasir"), ("hyperkvasir", "kvasir-seg")])
def test_the_other_ones_folder_is_told_by_name(named: str, other: str, tmp_path: Path) -> None:
    root = tmp_path / "root"
    draw(other, root, 3)
    below = next(root.iterdir())
    lines = told(named, below, tmp_path / "cache", allow_missing=True)
    assert len(lines) == 1 and f"is this `name: {other}`?" in lines[0]
