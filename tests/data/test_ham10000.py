"""HAM10000: lesions as groups, attributes, and masks of one value."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from bench_datasets.readers.ham10000 import ONE_VALUED, SAME_LESION
from tests.helpers.published import (
    draw,
    reader,
    told,
)

IMAGE = "HAM10000_images_part_1/ISIC_0024306.jpg"
MASKS = "HAM10000_segmentations_lesion_tschandl"
MASK = f"{MASKS}/ISIC_0024306_segmentation.png"
TABLE = "HAM10000_metadata"
LINE = "HAM_0000000,ISIC_0024306"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("ham")
    draw("ham10000", root, 6)
    return root


def test_images_of_a_lesion_share_a_group_and_known_pairs_of_two_lesions_do(whole: Path) -> None:
    groups = {each.id: each.group for each in reader("ham10000", whole, allow_missing=True).samples()}
    assert groups["ISIC_0024306"] == groups["ISIC_0024307"] == "HAM_0000000"
    one, other = (f"ISIC_{number:07d}" for number in SAME_LESION[0])
    assert groups[one] == groups[other]
    assert len(set(groups.values())) == 4


def test_two_published_masks_of_one_value_are_taken_as_they_are(whole: Path) -> None:
    opened = reader("ham10000", whole, allow_missing=True)
    means = {each.id: opened.read(each)[1].mean() for each in opened.samples()}
    assert [means[name] for name in ONE_VALUED] == [0.0, 1.0]
    assert sum(ONE_VALUED[0] in remark for remark in opened.remarks()) == 1


def test_attributes_leave_out_what_is_not_known(whole: Path) -> None:
    first, second, *_ = reader("ham10000", whole, allow_missing=True).samples()
    assert first.attributes == {"age": 30.0, "sex": "male", "localization": "back", "diagnosis": "nv"}
    assert "age" not in second.attributes


@pytest.mark.parametrize("table", ["HAM10000_metadata.csv", "HAM10000_metadata"])
def test_repacked_folders_are_read_with_the_metadata(table: str, whole: Path, tmp_path: Path) -> None:
    for source, target in (
        ("HAM10000_images_part_1", "images"),
        ("HAM10000_images_part_2", "images"),
        (MASKS, "masks"),
    ):
        shutil.copytree(whole / source, tmp_path / target, dirs_exist_ok=True)
    shutil.copy(whole / TABLE, tmp_path / table)
    found, expected = (reader("ham10000", root, allow_missing=True).samples() for root in (tmp_path, whole))
    assert [(each.id, each.group, each.attributes) for each in found] == [
        (each.id, each.group, each.attributes) for each in expected
    ]


def test_half_of_the_images_gone_is_one_line_per_image_and_one_of_the_folder(
    whole: Path, tmp_path: Path
) -> None:
    root = tmp_path / "root"
    shutil.copytree(whole, root)
    shutil.rmtree(root / "HAM10000_images_part_2")
    lines = told("ham10000", root, tmp_path / "cache")
    assert sum("one of the two folders" in line for line in lines) == 1
    assert sum("in neither folder of images" in line for line in lines) == 3
