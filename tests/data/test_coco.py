"""COCO annotations: polygons and both forms of RLE against pycocotools, and what is told of damaged files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.layouts import opened, told, write_coco

coco = pytest.importorskip("pycocotools.mask")
TABLE = "annotations.json"


def change(edit: Callable[[dict[str, Any]], object]) -> Callable[[Path], object]:
    """Edit the annotations."""

    def harm(root: Path) -> None:
        table = json.loads((root / TABLE).read_text())
        edit(table)
        (root / TABLE).write_text(json.dumps(table))

    return harm


def region(**fields: Any) -> Callable[[Path], object]:
    """Set fields of the first annotation."""
    return change(lambda table: table["annotations"][0].update(fields))


def image(**fields: Any) -> Callable[[Path], object]:
    """Set fields of the first image."""
    return change(lambda table: table["images"][0].update(fields))


def rle(counts: Any, size: Any = (20, 24)) -> Callable[[Path], object]:
    """Give the first annotation an RLE."""
    return region(segmentation={"size": list(size), "counts": counts})


SMALL = coco.encode(np.asfortranarray(np.eye(5, dtype=np.uint8)))["counts"].decode()
CASES: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "no table": (lambda root: (root / TABLE).unlink(), TABLE, "is missing"),
    "a broken table": (lambda root: (root / TABLE).write_text("{"), TABLE, "cannot be read as JSON"),
    "no image": (lambda root: (root / "images/0.png").unlink(), "images/0.png", "is missing"),
    "cut off": (
        lambda root: (root / "images/0.png").write_bytes(b"\x89PNG"), "images/0.png", "cannot be decoded"
    ),
    "another size": (image(width=25), "images/0.png", "is 24 x 20 pixels, annotations.json says 25 x 20"),
    "no size": (image(width=None), TABLE, "images[0] says no width and height"),
    "out of the root": (image(file_name="../../a.png"), TABLE, "images[0] names no id"),
    "an image twice": (image(file_name="1.png"), TABLE, "is a second '1.png'"),
    "no categories": (change(lambda table: table.pop("categories")), TABLE, "categories must list"),
    "a category more": (
        change(lambda table: table["categories"].append({"id": 9, "name": "clip"})), TABLE, "clip: 9"
    ),
    "an unknown image": (region(image_id=999), TABLE, "annotations[0] is of no image"),
    "an unknown category": (region(category_id=999), TABLE, "annotations[0] is of no category"),
    "a polygon of two corners": (region(segmentation=[[1, 2, 3, 4]]), TABLE, "three or more corners"),
    "a polygon far away": (region(segmentation=[[0, 0, 1e9, 0, 0, 1e9]]), TABLE, "leaves the image"),
    "a polygon of text": (region(segmentation=[["a"] * 6]), TABLE, "corners are not numbers"),
    "no polygon": (region(segmentation=[]), TABLE, "has no polygon"),
    "an RLE of another size": (rle([0, 480], (24, 20)), TABLE, "an RLE of the image's size [20, 24]"),
    "an RLE too short": (rle([0, 10]), TABLE, "does not end where the image does"),
    "an RLE too long": (rle([0, 10**15]), TABLE, "does not end where the image does"),
    "negative runs": (rle([-5, 485]), TABLE, "whole numbers from 0 on"),
    "a compressed RLE too short": (rle(SMALL), TABLE, "a compressed RLE that does not end"),
    "a compressed RLE of nonsense": (rle("\u00e4\u00f6"), TABLE, "a compressed RLE that does not end"),
    "a compressed RLE that never ends": (rle("o" * 50), TABLE, "a compressed RLE that does not end"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_damage_is_told_once(name: str, tmp_path: Path) -> None:
    harm, path, words = CASES[name]
    root = tmp_path / "root"
    write_coco(root)
    harm(root)
    lines = told("coco", root, tmp_path / "cache")
    about = [line for line in lines if line.startswith(f"{path}: ") and words in line]
    assert len(about) == 1, lines


def test_polygons_and_both_forms_of_rle_are_painted_as_pycocotools_does(tmp_path: Path) -> None:
    arrays = write_coco(tmp_path)
    reader = opened("coco", tmp_path)
    for sample in reader.samples():
        found, mask = reader.read(sample)
        assert (found == arrays[sample.id][0]).all() and (mask == arrays[sample.id][1]).all()


def test_of_classes_that_overlap_the_later_one_wins_whatever_their_order_in_the_file(tmp_path: Path) -> None:
    write_coco(tmp_path)
    box = [[0, 0, 24, 0, 24, 20, 0, 20]]
    change(lambda table: [entry.update(segmentation=box) for entry in table["annotations"]])(tmp_path)
    change(lambda table: table["annotations"].reverse())(tmp_path)
    for classes, winner in (({"polyp": 1, "tool": 7}, 2), ({"tool": 7, "polyp": 1}, 2)):
        reader = opened("coco", tmp_path, classes=classes)
        assert (reader.read(reader.samples()[0])[1] == winner).all()


def test_images_without_regions_and_files_without_images_are_told(tmp_path: Path) -> None:
    write_coco(tmp_path)
    change(lambda table: table["annotations"].__delitem__(slice(0, 2)))(tmp_path)
    (tmp_path / "images/extra.png").write_bytes((tmp_path / "images/0.png").read_bytes())
    reader = opened("coco", tmp_path)
    assert not reader.read(reader.samples()[0])[1].any()
    assert reader.remarks() == [
        "1 of 6 images have no region of a class: they are read as background",
        "passed over: 1 images that annotations.json does not list: extra.png",
    ]


def test_images_in_folders_keep_them_in_their_names_and_groups(tmp_path: Path) -> None:
    write_coco(tmp_path)
    (tmp_path / "images/patient-3").mkdir()
    (tmp_path / "images/0.png").rename(tmp_path / "images/patient-3/0.png")
    image(file_name="patient-3/0.png")(tmp_path)
    samples = opened("coco", tmp_path, group_pattern=r"^(patient-\d|\d)").samples()
    assert [(each.id, each.group) for each in samples if "/" in each.id] == [("patient-3/0", "patient-3")]


@given(st.integers(0, 2**32), st.integers(1, 40), st.integers(1, 40))
def test_the_length_of_every_compressed_rle_is_known_before_it_is_decoded(
    seed: int, height: int, width: int
) -> None:
    from bench_datasets.readers.coco_regions import ends_where

    mask = (np.random.default_rng(seed).random((height, width)) < 0.3).astype(np.uint8)
    assert ends_where(coco.encode(np.asfortranarray(mask))["counts"].decode()) == height * width
