"""NeoPolyp as published: JPEG masks by nearest color, hidden sessions, and told when it is damaged."""

from __future__ import annotations

import csv
import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from bench_core import Task
from bench_core.data.check import Wanted, prepare
from bench_core.data.layout import LayoutError
from bench_core.data.opening import Source
from bench_core.data.resize import Fit
from bench_core.data.samples import UInt8Array
from bench_core.options import complete_options
from bench_datasets.declared.study import NEOPOLYP
from bench_datasets.readers import neopolyp
from bench_datasets.readers.neopolyp import NeoPolypReader
from bench_datasets.readers.neopolyp_colors import classify, measured
from bench_datasets.readers.neopolyp_sessions import TABLE, sessions
from bench_datasets.readers.stored import Stored
from tests.helpers.study_copies import Damage, copied, cut, draw, problems, reader, told

COLORS = np.array([[0, 0, 0], [0, 255, 0], [255, 0, 0]], np.uint8)
TRAIN, TRAIN_GT = "train/train", "train_gt/train_gt"


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Mapping[str, Any]]:
    root = tmp_path_factory.mktemp("neopolyp") / "root"
    return root, draw(NEOPOLYP, root, samples=15)


@pytest.fixture
def root(drawn: tuple[Path, Mapping[str, Any]], tmp_path: Path) -> Path:
    return copied(drawn[0], tmp_path)


def test_samples_and_pixels_are_those_of_the_truth(drawn: tuple[Path, Mapping[str, Any]]) -> None:
    root, truth = drawn
    opened = reader(NEOPOLYP, root)
    samples = opened.samples()
    assert [sample.id for sample in samples] == [row["id"] for row in truth["samples"]]
    for sample, row in zip(samples, truth["samples"], strict=True):
        image, mask = opened.read(sample)
        assert [mask.shape[1], mask.shape[0]] == row["size"] and image.shape == (*mask.shape, 3)
        counts = np.bincount(mask.reshape(-1), minlength=3)
        drawn_ones = np.array([row["pixels"]["non-neoplastic"], row["pixels"]["neoplastic"]])
        # JPEG may move single pixels on the border.
        assert np.abs(counts[1:] - drawn_ones).max() <= 20 and mask.max() <= 2
        assert ((counts[1:] > 0) == (drawn_ones > 0)).all()


def test_the_copy_has_what_makes_the_published_data_hard(drawn: tuple[Path, Mapping[str, Any]]) -> None:
    root, truth = drawn
    assert {tuple(row["size"]) for row in truth["samples"]} >= {
        (320, 249),
        (320, 240),
        (320, 244),
        (320, 242),
    }
    assert Counter(row["shows"] for row in truth["samples"])["both"] >= 1
    (one, other), light = truth["duplicates"][0]["samples"], truth["duplicates"][1]["samples"]
    for folder in (TRAIN, TRAIN_GT):
        same = [(root / folder / f"{name}.jpeg").read_bytes() for name in (one, other)]
        assert same[0] == same[1]
    rows = {row["id"]: row for row in truth["samples"]}
    assert rows[one]["session"] == rows[other]["session"] == sessions()[one]
    assert rows[light[0]]["session"] == rows[light[1]]["session"]
    with Image.open(root / TRAIN_GT / f"{one}.jpeg") as mask:
        assert mask.format == "JPEG" and mask.mode == "RGB"
        assert len(np.unique(np.array(mask).reshape(-1, 3), axis=0)) > 3
    with Image.open(root / TRAIN / f"{one}.jpeg") as image:
        corner = np.array(image)[2:10, 2:30]
    assert corner.max() > 200 and corner.min() < 60


def test_flat_folders_and_one_level_more_give_the_same_samples(
    drawn: tuple[Path, Mapping[str, Any]], root: Path
) -> None:
    expected = [sample.id for sample in reader(NEOPOLYP, drawn[0]).samples()]
    for name in ("train", "train_gt", "test"):
        moved = (root / name / name).rename(root / "moving")
        (root / name).rmdir()
        moved.rename(root / name)
    assert [sample.id for sample in reader(NEOPOLYP, root).samples()] == expected
    (root / "bkai-igh-neopolyp").mkdir()
    for name in ("train", "train_gt"):
        (root / name).rename(root / "bkai-igh-neopolyp" / name)
    assert [sample.id for sample in reader(NEOPOLYP, root).samples()] == expected


def test_without_groups_each_image_is_its_own(drawn: tuple[Path, Mapping[str, Any]]) -> None:
    samples = reader(NEOPOLYP, drawn[0]).samples()
    assert all(sample.group == sample.id for sample in samples)


def test_sessions_join_images_and_name_those_that_are_in_none(drawn: tuple[Path, Mapping[str, Any]]) -> None:
    root, truth = drawn
    opened = reader(NEOPOLYP, root, groups="session")
    samples = {sample.id: sample for sample in opened.samples()}
    for row in truth["samples"]:
        expected = row["id"] if row["session"] is None else f"session-{row['session']}"
        assert samples[row["id"]].group == expected
    assert len({sample.group for sample in samples.values()}) < len(samples) - 5
    unknown = truth["traps"]["no known session"]
    (remark,) = [text for text in opened.remarks() if text.startswith("groups: ")]
    assert "no known session has 2 images" in remark and all(name in remark for name in unknown)
    assert not [text for text in reader(NEOPOLYP, root).remarks() if text.startswith("groups: ")]


def test_the_shipped_table_has_the_published_numbers() -> None:
    with TABLE.open(newline="") as file:
        rows = list(csv.DictReader(file))
    known = sessions()
    counts = Counter(known.values())
    assert len(rows) == 1200 and len(known) == 992 and len(counts) == 327
    assert sum(count for count in counts.values() if count > 1) == 878 and max(counts.values()) == 19
    test = {row["session"] for row in rows if row["part"] == "test" and row["session"]}
    siblings = [row for row in rows if row["part"] == "test" and row["session"] in counts.keys() & test]
    assert len(siblings) == 157


def test_unlabelled_images_are_known_and_not_used(drawn: tuple[Path, Mapping[str, Any]]) -> None:
    root, truth = drawn
    opened = reader(NEOPOLYP, root)
    unlabelled = set(truth["traps"]["unlabelled"])
    assert not unlabelled & {sample.id for sample in opened.samples()}
    assert f"not used: {len(unlabelled)} images in test/, published without masks" in opened.remarks()


def test_undecidable_pixels_are_counted_and_the_worst_masks_named(root: Path) -> None:
    path = sorted((root / TRAIN_GT).glob("*.jpeg"))[3]
    with Image.open(path) as image:
        pixels = np.array(image)
    pixels[100:120, 100:120] = (0, 0, 100)
    Image.fromarray(pixels).save(path, quality=95)
    doubts = [measured(Stored(mask)) for mask in sorted((root / TRAIN_GT).glob("*.jpeg"))]
    assert doubts[3].unsure >= 400
    (remark,) = reader(NEOPOLYP, root).pixel_remarks()
    assert f"{sum(doubt.unsure for doubt in doubts):,} of {sum(doubt.pixels for doubt in doubts):,}" in remark
    assert f"most in {TRAIN_GT}/{path.name} {doubts[3].share:.2%}" in remark


def test_masks_are_looked_at_once_for_each_content(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opened again, no mask is decoded to say which pixels are undecidable; a changed mask is."""
    path = sorted((root / TRAIN_GT).glob("*.jpeg"))[3]
    with Image.open(path) as image:
        pixels = np.array(image)
    pixels[100:120, 100:120] = (0, 0, 100)
    Image.fromarray(pixels).save(path, quality=95)
    options = complete_options(NEOPOLYP.options, {"allow_missing": True})
    task = NEOPOLYP.task
    assert isinstance(task, Task)
    wanted = Wanted(Source("a", NEOPOLYP, task, str(root), options), Fit(16))

    def said() -> list[str]:
        (ready,) = prepare([wanted], tmp_path / "cache")
        return [text for text in ready.warnings if "undecidable" in text]

    (first,) = said()
    with monkeypatch.context() as patched:
        patched.setattr(neopolyp, "measured", lambda mask: pytest.fail("decoded again"))
        assert said() == [first]
    (note,) = (tmp_path / "cache").glob("remarks-*")
    for damage in ("", "{}", '{"remarks": [7]}', "null"):
        note.write_text(damage)
        assert said() == [first]
    pixels[120:150, 100:130] = (0, 0, 100)
    Image.fromarray(pixels).save(path, quality=95)
    assert said() != [first]


def save_mask(path: Path, pixels: UInt8Array) -> Stored:
    Image.fromarray(pixels).save(path)
    return Stored(path)


@given(colors=st.lists(st.tuples(*[st.integers(0, 255)] * 3), min_size=1, max_size=12))
def test_each_pixel_takes_the_nearest_color(
    colors: list[tuple[int, int, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    pixels = np.array([colors], np.uint8)
    labels = classify(save_mask(tmp_path_factory.mktemp("colors") / "mask.png", pixels))
    distances = ((pixels[:, :, None].astype(int) - COLORS.astype(int)) ** 2).sum(3)
    best = distances.min(2)
    chosen = np.take_along_axis(distances, labels[:, :, None].astype(int), 2)[:, :, 0]
    assert (chosen == best).all()


def first(root: Path, folder: str) -> Path:
    return sorted((root / folder).glob("*.jpeg"))[0]


def repaint(path: Path, color: tuple[int, int, int], share: float) -> None:
    with Image.open(path) as image:
        pixels = np.array(image)
    pixels[: round(share * pixels.shape[0])] = color
    Image.fromarray(pixels).save(path, quality=95)


def no_mask(root: Path) -> str:
    path = first(root, TRAIN_GT)
    path.unlink()
    return f"{TRAIN_GT}/{path.name}: the mask is missing"


def no_image(root: Path) -> str:
    path = first(root, TRAIN)
    path.unlink()
    return f"{TRAIN}/{path.name}: the image is missing"


def no_masks(root: Path) -> str:
    shutil.rmtree(root / "train_gt")
    return f"{TRAIN_GT}: the published folder is missing"


def empty_masks(root: Path) -> str:
    for path in (root / TRAIN_GT).iterdir():
        path.unlink()
    return f"{TRAIN_GT}: holds none of the 1,000 published files"


def still_zipped(root: Path) -> str:
    for name in ("train", "train_gt", "test"):
        shutil.rmtree(root / name)
    (root / "bkai-igh-neopolyp.zip").write_bytes(b"PK")
    return f"{TRAIN}: the published folder is missing (is it still inside of its archive?)"


def half_unpacked(root: Path) -> str:
    for path in sorted((root / TRAIN).iterdir())[:4]:
        path.unlink()
        (root / TRAIN_GT / path.name).unlink()
    return f"{TRAIN}: holds 11 of 1,000 published images: unpacked in part?"


def cut_image(root: Path) -> str:
    path = first(root, TRAIN)
    cut(path)
    return f"{TRAIN}/{path.name}: cannot be decoded: "


def cut_mask(root: Path) -> str:
    path = first(root, TRAIN_GT)
    cut(path)
    return f"{TRAIN_GT}/{path.name}: cannot be decoded: "


def empty_mask(root: Path) -> str:
    path = first(root, TRAIN_GT)
    path.write_bytes(b"")
    return f"{TRAIN_GT}/{path.name}: is empty"


def another_size(root: Path) -> str:
    path = first(root, TRAIN_GT)
    with Image.open(path) as image:
        image.resize((160, 128), Image.Resampling.NEAREST).save(path, quality=95)
    return f"{TRAIN_GT}/{path.name}: the mask is 160 x 128 pixels, its image 320 x "


def blue_mask(root: Path) -> str:
    path = first(root, TRAIN_GT)
    repaint(path, (0, 0, 255), 0.1)
    return f"{TRAIN_GT}/{path.name}: its colors are not those of a mask: "


def white_mask(root: Path) -> str:
    path = first(root, TRAIN_GT)
    repaint(path, (255, 255, 255), 0.05)
    return f"{TRAIN_GT}/{path.name}: its colors are not those of a mask: "


def dim_mask(root: Path) -> str:
    path = first(root, TRAIN_GT)
    repaint(path, (110, 0, 0), 0.2)
    return f"{TRAIN_GT}/{path.name}: its colors are not those of a mask: "


def image_for_mask(root: Path) -> str:
    path = first(root, TRAIN_GT)
    shutil.copy(root / TRAIN / path.name, path)
    return f"{TRAIN_GT}/{path.name}: its colors are not those of a mask: "


def cmyk(root: Path) -> str:
    path = first(root, TRAIN)
    with Image.open(path) as image:
        image.convert("CMYK").save(path, "JPEG")
    return f"{TRAIN}/{path.name}: is stored as CMYK, published as RGB of 8 bits a channel"


def second_file(root: Path) -> str:
    path = first(root, TRAIN)
    shutil.copy(path, path.with_suffix(".jpg"))
    return f"{TRAIN}/{path.stem}.jpg: is a second file of {path.stem}"


def a_web_page(root: Path) -> str:
    path = first(root, TRAIN)
    path.write_text("<html></html>")
    return f"{TRAIN}/{path.name}: is not an image in a known format (JPEG, PNG)"


def half_flat(root: Path) -> str:
    path = first(root, TRAIN)
    path.rename(root / "train" / path.name)
    (root / TRAIN_GT / path.name).unlink()
    return f"train: holds 1 image beside the folder train/train: keep one of them ({path.name})"


DAMAGES = (
    half_flat,
    no_mask, no_image, no_masks, empty_masks, still_zipped, half_unpacked, cut_image, cut_mask, empty_mask,
    another_size, blue_mask, white_mask, dim_mask, image_for_mask, cmyk, second_file, a_web_page,
)  # fmt: skip
MISSING = (no_mask, no_image, no_masks, empty_masks, still_zipped, half_unpacked)


@pytest.mark.parametrize("allowed", [True, False], ids=["allowed", "strict"])
@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_damage_is_told_once_with_its_path(damage: Damage, allowed: bool, root: Path, tmp_path: Path) -> None:
    line = damage(root)
    text = told(NEOPOLYP, root, tmp_path, allow_missing=allowed)
    assert text.count(line) == 1, text


@pytest.mark.parametrize("damage", MISSING, ids=lambda damage: damage.__name__)
def test_what_is_missing_is_an_error_unless_it_is_allowed(damage: Damage, root: Path) -> None:
    line = damage(root)
    assert sum(line in problem for problem in problems(NEOPOLYP, root, allow_missing=False)) == 1
    remarks = [remark for remark in reader(NEOPOLYP, root).remarks() if line in remark]
    assert len(remarks) == 1 and remarks[0].startswith("missing and allowed: ")


def test_more_than_published_is_an_error_whatever_is_allowed(root: Path) -> None:
    for number in range(2):
        name = f"{number:032x}.jpeg"
        shutil.copy(first(root, TRAIN), root / TRAIN / name)
        shutil.copy(first(root, TRAIN_GT), root / TRAIN_GT / name)
    opened = NeoPolypReader(replace(NEOPOLYP, samples=16), root, {"groups": "none", "allow_missing": True})
    with pytest.raises(LayoutError) as caught:
        opened.samples()
    (line,) = caught.value.problems
    assert line == f"{TRAIN}: holds 17 images, 1 more than published"


def test_files_of_other_names_are_remarked_upon(root: Path) -> None:
    shutil.copy(first(root, TRAIN), root / TRAIN / "mine.jpeg")
    assert any(
        "passed over: 1 other file in train (mine.jpeg)" in text for text in reader(NEOPOLYP, root).remarks()
    )


def test_the_same_seed_draws_the_same_bytes(drawn: tuple[Path, Mapping[str, Any]], tmp_path: Path) -> None:
    root, truth = drawn
    again = tmp_path / "again"
    assert draw(NEOPOLYP, again, samples=15) == truth
    files = sorted(path.relative_to(root) for path in root.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(again) for path in again.rglob("*") if path.is_file())
    assert all((root / path).read_bytes() == (again / path).read_bytes() for path in files)
