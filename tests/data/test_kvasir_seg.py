"""Kvasir-SEG and HyperKvasir's copy: JPEG masks, the table of boxes, and what is told of damaged folders."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.helpers.published import (
    DECLARED,
    Damage,
    check_damage,
    copy,
    cut,
    draw,
    link,
    names,
    reader,
    remove,
    repaint,
    smaller,
    told,
    write,
)

SEED = 3


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("kvasir")
    draw("kvasir-seg", root, 4, SEED)
    return root


def damages() -> list[Damage]:
    from bench_datasets.fakes.kvasir_seg import _digest

    key = "cju" + _digest(SEED, 0)[:22]
    image, mask, table = (
        f"Kvasir-SEG/images/{key}.jpg",
        f"Kvasir-SEG/masks/{key}.jpg",
        "Kvasir-SEG/kavsir_bboxes.json",
    )

    def unlisted(root: Path) -> None:
        boxes = json.loads((root / table).read_text())
        del boxes[key]
        (root / table).write_text(json.dumps(boxes))

    def without_both(root: Path) -> None:
        (root / image).unlink()
        (root / mask).unlink()

    return [
        Damage("no mask", remove(mask), mask, "is missing: the mask", missing=True),
        Damage("no image", remove(image), image, "is missing: the image", missing=True),
        Damage("neither", without_both, image, "but has a box", missing=True),
        Damage("no table", remove(table), table, "is missing: the table of boxes", missing=True),
        Damage("image cut off", cut(image), image, "cannot be decoded"),
        Damage("mask cut off", cut(mask, 0.3), mask, "cannot be decoded"),
        Damage("empty file", write(mask, b""), mask, "is empty"),
        Damage("a link to nowhere", link(image), image, "is a broken link"),
        Damage("another size", smaller(mask), mask, f"pixels, its image {key}.jpg"),
        Damage("the picture as mask", copy(image, mask), mask, "is in color"),
        Damage("gray values", repaint(mask, lambda p: p // 2), mask, "neither black nor white"),
        Damage("values of 0 and 1", repaint(mask, lambda p: p // 255, quality=100), mask, "shows nothing"),
        Damage("a broken table", write(table, "{"), table, "cannot be read as JSON"),
        Damage("a table of lists", write(table, "[]"), table, "holds no table"),
        Damage("an unlisted image", unlisted, image, "is not in the published table"),
        Damage("no folder of masks", remove("Kvasir-SEG/masks"), "Kvasir-SEG/masks", "no such folder"),
    ]


@pytest.mark.parametrize("damage", damages(), ids=names(damages()))
def test_damage_is_told_once(damage: Damage, whole: Path, tmp_path: Path) -> None:
    check_damage(damage, "kvasir-seg", whole, tmp_path)


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
