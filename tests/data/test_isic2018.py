"""ISIC 2018 as published: unpacked or zipped, with what lies among its files, and told when it is damaged."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bench_core.conformance.dataset_subject import digest
from bench_core.conformance.datasets import PROPERTIES, DatasetSubject, Property, judge, subject_of
from bench_core.plugins.wiring import load_registry
from bench_datasets.declared.study import ISIC2018
from bench_datasets.readers import archives
from bench_datasets.readers.isic2018 import PARTS, names_of
from tests.helpers.study_copies import Damage, copied, cut, draw, problems, reader, told

TRAIN, TRAIN_GT = names_of("training")
TEST, TEST_GT = names_of("test")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Mapping[str, Any]]:
    root = tmp_path_factory.mktemp("isic") / "root"
    return root, draw(ISIC2018, root)


@pytest.fixture
def root(drawn: tuple[Path, Mapping[str, Any]], tmp_path: Path) -> Path:
    return copied(drawn[0], tmp_path)


def zip_all(root: Path, method: int = zipfile.ZIP_DEFLATED) -> None:
    """Replace each folder by an archive of its name, with what macOS adds."""
    for folder in sorted(path for path in root.iterdir() if path.is_dir()):
        with zipfile.ZipFile(root / f"{folder.name}.zip", "w", method) as archive:
            archive.writestr(f"__MACOSX/{folder.name}/._ISIC_0000001.jpg", b"resource fork")
            for path in sorted(folder.iterdir()):
                archive.write(path, f"{folder.name}/{path.name}")
        shutil.rmtree(folder)


def pixels(root: Path) -> dict[str, str]:
    opened = reader(ISIC2018, root)
    return {sample.id: digest(opened.read(sample)) for sample in opened.samples()}


def test_samples_are_those_of_the_truth(drawn: tuple[Path, Mapping[str, Any]]) -> None:
    root, truth = drawn
    opened = reader(ISIC2018, root)
    rows = {row["id"]: row for row in truth["samples"]}
    samples = opened.samples()
    assert [sample.id for sample in samples] == sorted(
        rows, key=lambda key: (PARTS.index(rows[key]["part"]), key)
    )
    for sample in samples:
        image, mask = opened.read(sample)
        row = rows[sample.id]
        assert sample.attributes == {"part": row["part"]} and sample.group == sample.id
        assert [mask.shape[1], mask.shape[0]] == row["size"] and image.shape == (*mask.shape, 3)
        assert int(np.count_nonzero(mask == 1)) == row["pixels"]["lesion"] == int(mask.sum())


def test_portraits_dots_and_masks_of_the_whole_image_are_samples(
    drawn: tuple[Path, Mapping[str, Any]],
) -> None:
    root, truth = drawn
    opened = reader(ISIC2018, root)
    samples = {sample.id: sample for sample in opened.samples()}
    masks = {
        kind: [opened.read(samples[key])[1] for key in truth["traps"][kind]]
        for kind in ("portrait", "tiny lesion", "full mask")
    }
    assert all(mask.shape[0] > mask.shape[1] for mask in masks["portrait"]) and len(masks["portrait"]) == 3
    assert all(0 < mask.mean() < 0.02 for mask in masks["tiny lesion"]) and masks["tiny lesion"]
    assert all(mask.mean() == 1 for mask in masks["full mask"]) and masks["full mask"]
    assert (
        len({mask.shape[0] / mask.shape[1] for mask in (opened.read(item)[1] for item in samples.values())})
        > 2
    )


def test_superpixels_attributes_and_texts_are_no_masks(drawn: tuple[Path, Mapping[str, Any]]) -> None:
    root, truth = drawn
    used = {
        path.relative_to(root).as_posix() for item in reader(ISIC2018, root).samples() for path in item.files
    }
    others = set(truth["traps"]["not data"])
    assert len(others) == 6 and not others & used
    assert not [remark for remark in reader(ISIC2018, root).remarks() if "passed over" in remark]


@pytest.mark.parametrize("way", ["stored", "deflated", "apart", "in folders of their names", "zips apart"])
def test_other_ways_of_unpacking_give_the_same_pixels(
    way: str, drawn: tuple[Path, Mapping[str, Any]], root: Path
) -> None:
    folders = sorted(path for path in root.iterdir() if path.is_dir())
    if way == "apart":
        for folder in folders:
            part = next(part for part in PARTS if folder.name in names_of(part))
            (root / "isic" / part).mkdir(parents=True, exist_ok=True)
            folder.rename(root / "isic" / part / folder.name)
    elif way == "in folders of their names":
        for folder in folders:
            moved = folder.rename(root / "moving")
            folder.mkdir()
            moved.rename(folder / folder.name)
    else:
        zip_all(root, zipfile.ZIP_STORED if way == "stored" else zipfile.ZIP_DEFLATED)
        if way == "zips apart":
            (root / "downloads").mkdir()
            for path in root.glob("*.zip"):
                path.rename(root / "downloads" / path.name)
    assert pixels(root) == pixels(drawn[0])


def test_zipped_samples_name_their_archives_and_nothing_is_written(root: Path) -> None:
    zip_all(root)
    before = sorted((path, path.stat().st_mtime_ns) for path in root.rglob("*"))
    opened = reader(ISIC2018, root)
    sample = opened.samples()[0]
    assert sample.files == (root / f"{TRAIN}.zip", root / f"{TRAIN_GT}.zip")
    opened.read(sample)
    assert sorted((path, path.stat().st_mtime_ns) for path in root.rglob("*")) == before


def test_many_threads_read_one_archive(root: Path) -> None:
    expected = pixels(root)
    zip_all(root)
    opened = reader(ISIC2018, root)
    samples = list(opened.samples()) * 5
    fresh = reader(ISIC2018, root)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda sample: (sample.id, digest(fresh.read(sample))), samples))
    assert all(expected[key] == value for key, value in found) and len(found) == len(samples)


def first(root: Path, folder: str, ending: str) -> Path:
    return sorted((root / folder).glob(f"ISIC_???????{ending}"))[0]


def no_mask(root: Path) -> str:
    path = first(root, TRAIN_GT, "_segmentation.png")
    path.unlink()
    return f"{TRAIN_GT}/{path.name}: the mask is missing"


def no_image(root: Path) -> str:
    path = first(root, TEST, ".jpg")
    path.unlink()
    return f"{TEST}/{path.name}: the image is missing"


def no_folder(root: Path) -> str:
    shutil.rmtree(root / TEST_GT)
    return f"{TEST_GT}: the published folder is missing, and no {TEST_GT}.zip either"


def empty_folder(root: Path) -> str:
    for path in (root / TRAIN_GT).glob("*_segmentation.png"):
        path.unlink()
    return f"{TRAIN_GT}: holds no masks: 2,594 were published"


def half_unpacked(root: Path) -> str:
    for path in sorted((root / TRAIN).glob("*.jpg"))[:3]:
        path.unlink()
        (root / TRAIN_GT / f"{path.stem}_segmentation.png").unlink()
    left = len(list((root / TRAIN).glob("*.jpg")))
    return f"{TRAIN}: holds {left} of 2,594 published images: unpacked in part?"


def cut_image(root: Path) -> str:
    path = first(root, TRAIN, ".jpg")
    cut(path)
    return f"{TRAIN}/{path.name}: cannot be decoded: "


def cut_mask(root: Path) -> str:
    path = first(root, TEST_GT, "_segmentation.png")
    cut(path)
    return f"{TEST_GT}/{path.name}: cannot be decoded: "


def empty_image(root: Path) -> str:
    path = first(root, TRAIN, ".jpg")
    path.write_bytes(b"")
    return f"{TRAIN}/{path.name}: is empty"


def a_web_page(root: Path) -> str:
    path = first(root, TRAIN, ".jpg")
    path.write_text("<html>please log in</html>")
    return f"{TRAIN}/{path.name}: is not an image in a known format (JPEG, PNG)"


def another_size(root: Path) -> str:
    path = first(root, TRAIN_GT, "_segmentation.png")
    with Image.open(path) as image:
        image.resize((100, 80), Image.Resampling.NEAREST).save(path)
    return f"{TRAIN_GT}/{path.name}: the mask is 100 x 80 pixels, its image 256 x "


def gray_mask(root: Path) -> str:
    path = first(root, TRAIN_GT, "_segmentation.png")
    with Image.open(path) as image:
        values = np.array(image)
    values[0, :2] = 17, 128
    Image.fromarray(values).save(path)
    return f"{TRAIN_GT}/{path.name}: the mask holds the values 17, 128 beside 0 and 255"


def colored_mask(root: Path) -> str:
    path = first(root, TRAIN_GT, "_segmentation.png")
    with Image.open(path) as image:
        values = np.array(image.convert("RGB"))
    values[..., 2] = 0
    Image.fromarray(values).save(path)
    return f"{TRAIN_GT}/{path.name}: is stored as a picture in color, published as gray of 8 bits"


def sixteen_bits(root: Path) -> str:
    path = first(root, TRAIN_GT, "_segmentation.png")
    Image.fromarray(np.full((192, 256), 65535, np.uint16)).save(path)
    return f"{TRAIN_GT}/{path.name}: is stored as I;16, published as gray of 8 bits"


def second_file(root: Path) -> str:
    path = first(root, TRAIN, ".jpg")
    shutil.copy(path, path.with_suffix(".jpeg"))
    return f"{TRAIN}/{path.name}: is a second file of {path.stem}"


def twice(root: Path) -> str:
    shutil.copytree(root / TEST, root / "old" / TEST)
    return f"old/{TEST}: lies there a second time, beside {TEST}: remove one of them"


def in_two_parts(root: Path) -> str:
    path = first(root, TRAIN, ".jpg")
    mask = f"{path.stem}_segmentation.png"
    shutil.copy(path, root / TEST / path.name)
    shutil.copy(root / TRAIN_GT / mask, root / TEST_GT / mask)
    return f"{TEST}/{path.name}: the part training holds {path.stem} as well"


def a_bomb(root: Path) -> str:
    path = first(root, TRAIN_GT, "_segmentation.png")
    Image.new("1", (12_000, 12_000)).save(path)
    return f"{TRAIN_GT}/{path.name}: its header promises 12000 x 12000 pixels"


def cut_archive(root: Path) -> str:
    zip_all(root)
    cut(root / f"{TRAIN}.zip")
    return f"{TRAIN}.zip: the archive is damaged: it has no end: download it again"


def damaged_member(root: Path) -> str:
    zip_all(root, zipfile.ZIP_STORED)
    path = root / f"{TRAIN}.zip"
    member = next(item for item in archives.members(path) if item.name.endswith(".jpg"))
    content = bytearray(path.read_bytes())
    content[member.offset + 400] ^= 255
    path.write_bytes(content)
    return f"{TRAIN}.zip/{member.name}: is damaged inside the archive: its checksum differs"


def encrypted_archive(root: Path) -> str:
    zip_all(root)
    path = root / f"{TRAIN}.zip"
    content = bytearray(path.read_bytes())
    start = 0
    while (start := content.find(b"PK\1\2", start)) >= 0:
        content[start + 8] |= 1
        start += 4
    path.write_bytes(content)
    return f"{TRAIN}.zip: the archive is encrypted"


def twice_doubled(root: Path) -> str:
    shutil.copytree(root / TEST, root / "moving")
    (root / "moving").rename(root / TEST / TEST)
    return f"{TEST}: lies there a second time, beside {TEST}/{TEST}: remove one of them"


DAMAGES = (
    twice_doubled,
    no_mask, no_image, no_folder, empty_folder, half_unpacked, cut_image, cut_mask, empty_image, a_web_page,
    another_size, gray_mask, colored_mask, sixteen_bits, second_file, twice, in_two_parts, a_bomb,
    cut_archive, damaged_member, encrypted_archive,
)  # fmt: skip
MISSING = (no_mask, no_image, no_folder, empty_folder, half_unpacked)


@pytest.mark.parametrize("allowed", [True, False], ids=["allowed", "strict"])
@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_damage_is_told_once_with_its_path(damage: Damage, allowed: bool, root: Path, tmp_path: Path) -> None:
    line = damage(root)
    text = told(ISIC2018, root, tmp_path, allow_missing=allowed)
    assert text.count(line) == 1, text


@pytest.mark.parametrize("damage", MISSING, ids=lambda damage: damage.__name__)
def test_what_is_missing_is_an_error_unless_it_is_allowed(damage: Damage, root: Path) -> None:
    line = damage(root)
    assert sum(line in problem for problem in problems(ISIC2018, root, allow_missing=False)) == 1
    remarks = [remark for remark in reader(ISIC2018, root).remarks() if line in remark]
    assert len(remarks) == 1 and remarks[0].startswith("missing and allowed: ")


def test_missing_and_damaged_files_come_in_one_message(root: Path, tmp_path: Path) -> None:
    lines = [no_image(root), cut_image(root)]
    text = told(ISIC2018, root, tmp_path, allow_missing=False)
    assert all(line in text for line in lines) and "allow_missing: true" in text
    assert text.count("published images: unpacked in part?") == 3


def test_many_missing_files_are_one_line(root: Path) -> None:
    masks = sorted((root / TRAIN_GT).glob("*_segmentation.png"))
    image = root / TRAIN / f"{masks[0].name.removesuffix('_segmentation.png')}.jpg"
    for number in range(12):
        shutil.copy(image, root / TRAIN / f"ISIC_999{number:04d}.jpg")
    found = [line for line in problems(ISIC2018, root, allow_missing=False) if "the mask is missing" in line]
    assert len(found) == 1 and "12 times: ISIC_9990000_segmentation.png" in found[0]


def test_an_archive_is_read_within_bounds(
    root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    zip_all(root)
    monkeypatch.setattr(archives, "MOST_CONTENTS", 100)
    text = told(ISIC2018, root, tmp_path)
    assert f"{TRAIN}.zip: the archive's table of contents is too large" in text


def test_a_member_that_grows_beyond_its_claim_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(10_000_000))
    (member,) = archives.members(path)
    small = archives.Member(member.name, member.offset, member.packed, 1000, member.deflated, member.crc)
    with pytest.raises(ValueError, match="damaged inside the archive"):
        small.read(path, 20_000)
    with pytest.raises(ValueError, match="larger than 20,000 bytes"):
        member.read(path, 20_000)


def test_the_same_seed_draws_the_same_bytes(drawn: tuple[Path, Mapping[str, Any]], tmp_path: Path) -> None:
    root, truth = drawn
    assert draw(ISIC2018, tmp_path / "again") == truth
    files = sorted(path.relative_to(root) for path in root.rglob("*") if path.is_file())
    assert files == sorted(
        path.relative_to(tmp_path / "again") for path in (tmp_path / "again").rglob("*") if path.is_file()
    )
    assert all((root / path).read_bytes() == (tmp_path / "again" / path).read_bytes() for path in files)
    other = draw(ISIC2018, tmp_path / "other", samples=1, seed=1)
    assert {row["id"] for row in other["samples"]} != {row["id"] for row in truth["samples"]}


@pytest.fixture(scope="module")
def zipped(drawn: tuple[Path, Mapping[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = copied(drawn[0], tmp_path_factory.mktemp("zipped"))
    zip_all(root)
    return root


@pytest.mark.parametrize("item", PROPERTIES, ids=lambda item: item.name)
def test_archives_are_what_every_dataset_must_be(item: Property[DatasetSubject], zipped: Path) -> None:
    subject = subject_of(load_registry(), "isic2018", {"allow_missing": True}, zipped)
    finding = judge(item, subject)
    assert finding.state in ("ok", "skipped"), finding


def test_two_files_of_one_name_in_an_archive_are_refused(root: Path, tmp_path: Path) -> None:
    zip_all(root)
    with zipfile.ZipFile(root / f"{TEST}.zip", "a") as archive:
        archive.writestr("elsewhere/LICENSE.txt", "another")
    text = told(ISIC2018, root, tmp_path)
    assert f"{TEST}.zip: the archive holds two files named 'LICENSE.txt'" in text


def test_a_picture_that_a_camera_noted_as_turned_is_upright(root: Path) -> None:
    opened = reader(ISIC2018, root)
    sample = opened.samples()[0]
    image, mask = opened.read(sample)
    exif = Image.Exif()
    exif[0x0112] = 6
    for path, pixels in zip(sample.files, (image, mask * np.uint8(255)), strict=True):
        Image.fromarray(np.ascontiguousarray(np.rot90(pixels))).save(path, exif=exif, quality=100)
    again, mask_again = opened.read(sample)
    assert (mask_again == mask).all() and again.shape == image.shape


def test_files_outside_of_the_published_folders_are_told(root: Path) -> None:
    path = first(root, TRAIN, ".jpg")
    shutil.copy(path, root / "ISIC_0000001.jpg")
    words = "1 file outside of the published folders, whose names tell the parts"
    assert f"passed over: {words} (ISIC_0000001.jpg)" in reader(ISIC2018, root).remarks()
    shutil.rmtree(root / TRAIN)
    assert f"ISIC_0000001.jpg: is one of {words}" in problems(ISIC2018, root, allow_missing=False)
