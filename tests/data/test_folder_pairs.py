"""How images find their masks: several of them, other layouts, names in other spellings, parts of a split."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from bench_core.data.layout import LayoutError
from bench_core.errors import DataError
from bench_datasets.folder.labels import joined
from bench_datasets.plugin import FOLDER
from tests.helpers.folders import problems_of, save_pair
from tests.helpers.pictures import blob, cache_folder, folder_options, open_folder, picture, write_folder


def save(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)


def only(root: Path, **given: Any) -> np.ndarray:
    reader = open_folder(root, **given)
    samples = reader.samples()
    assert len(samples) == 1
    return reader.read(samples[0])[1]


ONE = np.zeros((20, 24), np.uint8)
ONE[2:5, 2:5] = 255
TWO = np.zeros((20, 24), np.uint8)
TWO[4:9, 4:9] = 255


@pytest.mark.parametrize("ending", ["_1", "-2", " (3)", ".4", "5"])
@pytest.mark.parametrize("suffix", ["_mask", ""])
def test_further_masks_are_joined_where_the_option_says_so(tmp_path: Path, suffix: str, ending: str) -> None:
    save(tmp_path / "images/a.png", picture(0))
    save(tmp_path / f"masks/a{suffix}.png", ONE)
    save(tmp_path / f"masks/a{suffix}{ending}.png", TWO)
    assert (only(tmp_path, mask_suffix=suffix, several_masks="union") == ((ONE | TWO) > 0)).all()
    if suffix:
        reader = open_folder(tmp_path, mask_suffix=suffix)
        (remark,) = reader.remarks()
        assert f"a{suffix}{ending}.png" in remark and "several_masks: union" in remark
    else:
        assert f"a{ending}.png: has no image" in problems_of(tmp_path)


def test_an_image_whose_name_ends_in_a_number_keeps_its_own_mask(tmp_path: Path) -> None:
    for name in ("a", "a_1"):
        save(tmp_path / f"images/{name}.png", picture(len(name)))
        save(tmp_path / f"masks/{name}.png", ONE)
    save(tmp_path / "masks/a_1_1.png", TWO)
    reader = open_folder(tmp_path, several_masks="union")
    first, second = reader.samples()
    assert (reader.read(first)[1] == (ONE > 0)).all()
    assert (reader.read(second)[1] == ((ONE | TWO) > 0)).all()


def test_images_without_a_mask_are_background_where_the_option_says_so(tmp_path: Path) -> None:
    root = write_folder(tmp_path, 3)
    (root / "masks/case-01.png").unlink()
    assert "case-01.png: has no mask" in problems_of(root)
    reader = open_folder(root, missing_masks="background")
    first, second, _ = reader.samples()
    assert reader.read(first)[1].any() and not reader.read(second)[1].any()
    (remark,) = reader.remarks()
    assert remark == "without a mask and all background (missing_masks: background): case-01"
    (root / "masks/case-01.jp2").write_bytes(b"x")
    assert "masks/case-01.jp2 is there" in problems_of(root, missing_masks="background")


def test_masks_that_name_two_classes_of_a_pixel_are_refused(tmp_path: Path) -> None:
    save(tmp_path / "images/a.png", picture(0))
    save(tmp_path / "masks/a.png", ONE)
    save(tmp_path / "masks/a_1.png", (TWO > 0).astype(np.uint8) * 7)
    with pytest.raises(DataError, match="1 pixels are of another class"):
        only(tmp_path, several_masks="union", classes={"cup": 255, "disc": 7})


@settings(max_examples=50)
@given(st.lists(st.lists(st.sampled_from([0, 1, 255]), min_size=4, max_size=4), min_size=1, max_size=5))
def test_a_union_does_not_depend_on_the_order_of_its_masks(rows: list[list[int]]) -> None:
    masks = [np.array([row], np.uint8) for row in rows]
    paths = [Path(f"{number}.png") for number in range(len(rows))]
    found = joined(masks, paths)
    assert (joined(masks[::-1], paths) == found).all()
    every = np.stack(masks)
    assert ((found == 1) == (every == 1).any(axis=0)).all()
    assert ((found == 0) == (every == 0).all(axis=0)).all()


def test_one_folder_a_patient_is_paired_by_what_names_share(tmp_path: Path) -> None:
    for name in ("IMD001", "IMD002"):
        save(tmp_path / name / f"{name}_Dermoscopic_Image" / f"{name}.bmp", picture(3))
        save(tmp_path / name / f"{name}_lesion" / f"{name}_lesion.bmp", ONE)
    where = {"images": "*/*_Dermoscopic_Image/*.bmp", "masks": "*/*_lesion/*.bmp"}
    samples = open_folder(tmp_path, **where, pair_by="^([^/]+)/").samples()
    assert [sample.id for sample in samples] == ["IMD001", "IMD002"]
    assert "pair_by 'x(y)' finds no id in" in problems_of(tmp_path, **where, pair_by="x(y)")


def test_many_masks_in_a_folder_of_their_own_are_joined(tmp_path: Path) -> None:
    save(tmp_path / "stage1/abc/images/abc.png", picture(3))
    save(tmp_path / "stage1/abc/masks/0f.png", ONE)
    save(tmp_path / "stage1/abc/masks/a7.png", TWO)
    where = {"images": "stage1/*/images/*", "masks": "stage1/*/masks/*", "pair_by": "^([^/]+)/"}
    assert (only(tmp_path, **where, several_masks="union") == ((ONE | TWO) > 0)).all()
    assert "stage1/abc/masks/a7.png: second mask for abc, beside 0f.png" in problems_of(tmp_path, **where)


def test_ids_that_are_numbers_are_not_taken_for_the_numbers_of_masks(tmp_path: Path) -> None:
    for number in ("12", "13"):
        save(tmp_path / f"images/scan{number}.png", picture(3))
        save(tmp_path / f"masks/seg{number}.png", ONE)
    samples = open_folder(tmp_path, pair_by=r"(\d+)$", several_masks="union").samples()
    assert [sample.id for sample in samples] == ["12", "13"]


def test_several_parentheses_make_one_id(tmp_path: Path) -> None:
    for part in ("train", "test"):
        save(tmp_path / part / "images/a.png", picture(3))
        save(tmp_path / part / "masks/a.png", ONE)
    where = {"images": "*/images/*", "masks": "*/masks/*", "pair_by": "^(.*)/(?:images|masks)/(.*)$"}
    samples = open_folder(tmp_path, **where, part_pattern="^(train|test)/").samples()
    assert [sample.id for sample in samples] == ["test/a", "train/a"]
    assert [sample.attributes for sample in samples] == [{"part": "test"}, {"part": "train"}]


def test_names_are_one_name_in_whatever_form_accents_are_stored(tmp_path: Path) -> None:
    save(tmp_path / f"images/{unicodedata.normalize('NFD', 'Zoé')}.png", picture(0))
    save(tmp_path / f"masks/{unicodedata.normalize('NFC', 'Zoé')}.png", ONE)
    assert (only(tmp_path) == (ONE > 0)).all()
    save(tmp_path / f"images/{unicodedata.normalize('NFC', 'Zoé')}.png", picture(0))
    assert "second image for Zoé" in problems_of(tmp_path)


def test_names_that_differ_in_case_only_are_told(tmp_path: Path) -> None:
    save_pair(tmp_path, picture(0), ONE)
    save(tmp_path / "images/B.png", picture(1))
    save(tmp_path / "masks/b.png", ONE)
    message = problems_of(tmp_path)
    assert (
        "images/B.png: has no mask (expected B under masks); masks/b.png differs in upper and lower"
        in message
    )
    assert "masks/b.png: has no image; images/B.png differs in upper and lower case only" in message
    (tmp_path / "masks/b.png").rename(tmp_path / "masks/B.png")
    save(tmp_path / "images/A.png", picture(2))
    save(tmp_path / "masks/A.png", ONE)
    assert open_folder(tmp_path).remarks() == ["ids differ in upper and lower case only: A and a"]


LISTS = json.dumps({"train": ["case-00", "case-03"], "val": ["case-01"], "test": ["case-02"]})
PARTS = {
    "csv": (
        "split.csv",
        "id,split\ncase-00,train\ncase-01.png,val\nimages/case-02.png,test\ncase-03,train\n",
    ),
    "json": (
        "split.json",
        json.dumps({"train": ["case-00", "case-03"], "val": ["case-01"], "test": ["case-02"]}),
    ),
}


@pytest.mark.parametrize(("name", "text"), PARTS.values(), ids=PARTS)
def test_a_split_file_gives_each_sample_its_part(tmp_path: Path, name: str, text: str) -> None:
    write_folder(tmp_path, 4)
    (tmp_path / name).write_text(text)
    samples = open_folder(tmp_path, part_file=name).samples()
    assert [sample.attributes["part"] for sample in samples] == ["train", "validation", "test", "train"]


def test_lists_of_ids_give_each_sample_its_part(tmp_path: Path) -> None:
    write_folder(tmp_path, 4)
    (tmp_path / "train.txt").write_text("case-00\r\n\r\ncase-03.png\n")
    (tmp_path / "val.txt").write_text("case-01\n")
    lists = {"train": "train.txt", "val": "val.txt"}
    assert "images/case-02.png: is in no part of train.txt, val.txt" in problems_of(tmp_path, part_file=lists)
    (tmp_path / "val.txt").write_text("case-01\ncase-02\n")
    samples = open_folder(tmp_path, part_file=lists).samples()
    assert [sample.attributes["part"] for sample in samples] == ["train", "validation", "validation", "train"]
    (tmp_path / "val.txt").write_text("case-01\ncase-02\ncase-00\n")
    assert "val.txt:3: case-00 is in train as well" in problems_of(tmp_path, part_file=lists)
    assert "gone.txt'" in problems_of(tmp_path, part_file={"train": "gone.txt"})
    assert "lies outside of the root" in problems_of(tmp_path, part_file="../x.csv")


def test_parts_change_no_job_and_bad_options_are_told_early() -> None:
    assert not FOLDER.options["part_file"].counts and not FOLDER.options["part_pattern"].counts
    for bad in ({"part_file": 3}, {"part_file": {}}, {"part_pattern": "("}, {"pair_by": "["}):
        with pytest.raises(ValueError, match=r"part_file|part_pattern|pair_by"):
            FOLDER.task_for(folder_options(**bad))


def test_what_is_missing_and_what_is_damaged_comes_in_one_message(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "data", 6)
    (root / "masks/case-01.png").unlink()
    (root / "images/case-02.png").write_bytes(b"")
    Image.fromarray(blob(3, 10, 12)).save(root / "masks/case-03.png")
    with pytest.raises(LayoutError) as caught:
        cache_folder(root, tmp_path / "cache")
    assert caught.value.problems == (
        "images/case-01.png: has no mask (expected case-01 under masks)",
        "images/case-02.png: is an empty file",
        "masks/case-03.png: the mask is 12 x 10 pixels, its image case-03.png is 24 x 20",
    )
