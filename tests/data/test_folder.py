"""Own images and masks: what the options mean, and what is said when files and options do not fit."""

from __future__ import annotations

import errno
import os
import shutil
import unicodedata
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from PIL import Image

from bench_core import DatasetRequest
from bench_core.data.opening import Source, open_arrays
from bench_core.data.resize import Fit
from bench_core.errors import DataError
from bench_core.options import differing
from bench_datasets.folder.reader import open_folder as open_without_root
from bench_datasets.plugin import FOLDER
from tests.helpers.pictures import blob, cache_folder, folder_options, open_folder, picture, write_folder


def read_one(root: Path, **given: Any) -> tuple[np.ndarray, np.ndarray]:
    reader = open_folder(root, **given)
    return reader.read(reader.samples()[0])


def save_pair(root: Path, image: Any, mask: Any, suffixes: tuple[str, str] = (".png", ".png")) -> Path:
    for kind, content, suffix in (("images", image, suffixes[0]), ("masks", mask, suffixes[1])):
        (root / kind).mkdir(parents=True, exist_ok=True)
        path = root / kind / f"a{suffix}"
        if suffix.startswith(".nii"):
            nibabel.Nifti1Image(content, np.eye(4)).to_filename(path)
        else:
            content = content if isinstance(content, Image.Image) else Image.fromarray(content)
            content.save(path)
    return root


def problems_of(root: Path, **given: Any) -> str:
    with pytest.raises(DataError) as caught:
        open_folder(root, **given).samples()
    assert caught.value.place == str(root)
    return str(caught.value)


def test_pairs_are_matched_by_name_and_sorted(tmp_path: Path) -> None:
    samples = open_folder(write_folder(tmp_path)).samples()
    assert [sample.id for sample in samples] == [f"case-{number:02d}" for number in range(6)]
    assert all(sample.group == sample.id for sample in samples)
    image, mask = read_one(tmp_path)
    assert (image == picture(0)).all() and (mask == (blob(0) > 0)).all()


def test_everything_wrong_with_the_layout_is_said_at_once(tmp_path: Path) -> None:
    write_folder(tmp_path)
    (tmp_path / "masks/case-01.png").unlink()
    (tmp_path / "images/case-02.png").unlink()
    shutil.copy(tmp_path / "images/case-03.png", tmp_path / "images/case-03.bmp")
    (tmp_path / "images/folder.png").mkdir()
    (tmp_path / "images/gone.png").symlink_to("nowhere.png")
    (tmp_path / "images/readme.txt").write_text("not a picture")
    (tmp_path / "images/.hidden.png").write_text("not one either")
    message = problems_of(tmp_path)
    assert "5 problem(s)" in message
    assert "images/case-01.png: has no mask (expected case-01 under masks)" in message
    assert "masks/case-02.png: has no image" in message
    assert "images/case-03.png: second image for case-03, beside case-03.bmp" in message
    assert "images/folder.png: is a folder" in message
    assert "images/gone.png: is a broken link" in message


def test_missing_folders_are_named(tmp_path: Path) -> None:
    assert "is not a folder" in problems_of(tmp_path / "nowhere")
    (tmp_path / "images").mkdir()
    assert "masks: no such folder" in problems_of(tmp_path)
    (tmp_path / "masks").mkdir()
    assert "images: holds no images" in problems_of(tmp_path)
    with pytest.raises(DataError, match=r"needs `root`"):
        open_without_root(DatasetRequest(root=None, options=folder_options()))


def test_suffixes_and_one_shared_folder(tmp_path: Path) -> None:
    for number in range(3):
        Image.fromarray(picture(number)).save(tmp_path / f"ISIC_{number}.jpg")
        Image.fromarray(blob(number)).save(tmp_path / f"ISIC_{number}_segmentation.png")
        Image.fromarray(blob(number)).save(tmp_path / f"ISIC_{number}_superpixels.bmp")
    options = {"images": "*.jpg", "masks": ".", "mask_suffix": "_segmentation"}
    assert [sample.id for sample in open_folder(tmp_path, **options).samples()] == [
        "ISIC_0",
        "ISIC_1",
        "ISIC_2",
    ]


def test_patterns_reach_into_one_folder_a_patient(tmp_path: Path) -> None:
    for patient in ("p1", "p2"):
        (tmp_path / patient).mkdir()
        Image.fromarray(picture(0)).save(tmp_path / patient / "scan.png")
        Image.fromarray(blob(0)).save(tmp_path / patient / "label.png")
    options = {"images": "*/scan.png", "masks": "*/label.png", "image_suffix": "scan", "mask_suffix": "label"}
    samples = open_folder(tmp_path, **options, group_pattern=r"^(p\d)/").samples()
    assert [sample.id for sample in samples] == ["p1/", "p2/"]
    assert [sample.group for sample in samples] == ["p1", "p2"]


@pytest.mark.parametrize("pattern", [r"case-(\d)", r"^case-(?P<group>\d)(\d)$", r"(?<=case-)\d"])
def test_groups_by_pattern(tmp_path: Path, pattern: str) -> None:
    samples = open_folder(write_folder(tmp_path, 12), group_pattern=pattern).samples()
    assert [sample.group for sample in samples] == ["0"] * 10 + ["1"] * 2


def test_a_pattern_that_finds_no_group_names_the_files(tmp_path: Path) -> None:
    assert "images/case-03.png: group_pattern" in problems_of(
        write_folder(tmp_path), group_pattern="case-0[012]"
    )


def test_groups_by_file(tmp_path: Path) -> None:
    write_folder(tmp_path, 4)
    lines = [
        "id,group",
        "case-00,anna",
        "case-01.png,anna",
        "images/case-02.png,ben",
        "case-03,ben",
        "other,x",
    ]
    (tmp_path / "groups.csv").write_text("\ufeff" + "\r\n".join(lines))
    samples = open_folder(tmp_path, group_file="groups.csv").samples()
    assert [sample.group for sample in samples] == ["anna", "anna", "ben", "ben"]


def test_a_broken_group_file_is_named_with_its_lines(tmp_path: Path) -> None:
    write_folder(tmp_path, 3)
    (tmp_path / "groups.csv").write_text("case-00,a\ncase-00,b\ncase-01\n")
    message = problems_of(tmp_path, group_file="groups.csv")
    assert "groups.csv:2: case-00 is given a second group" in message
    assert "groups.csv:3: expected two cells" in message
    assert "images/case-02.png: has no line in groups.csv" in message
    assert "cannot be read as CSV" in problems_of(tmp_path, group_file="missing.csv")
    (tmp_path / "groups.csv").write_bytes(b"\xff\xfe\x00")
    assert "cannot be read as CSV" in problems_of(tmp_path, group_file="groups.csv")


def test_label_values_lists_and_background(tmp_path: Path) -> None:
    mask = np.array([[0, 7, 1], [2, 3, 0]], dtype=np.uint8)
    save_pair(tmp_path, picture(0, 2, 3), mask)
    classes = {"cup": [1, 2], "disc": 3}
    assert read_one(tmp_path, classes=classes, background=[0, 7])[1].tolist() == [[0, 0, 1], [1, 2, 0]]
    assert read_one(tmp_path, classes=classes, background="rest")[1].tolist() == [[0, 0, 1], [1, 2, 0]]
    with pytest.raises(DataError, match=r"values that mean no class: 7 \(1 pixels\)") as caught:
        read_one(tmp_path, classes=classes)
    assert caught.value.place == str(tmp_path / "masks/a.png")


def test_colors_exact_and_nearest(tmp_path: Path) -> None:
    mask = np.zeros((32, 32, 3), dtype=np.uint8)
    mask[2:14, 2:14] = (255, 0, 0)
    mask[18:30, 18:30] = (0, 255, 0)
    expected = (mask[:, :, 0] > 0) * 2 + (mask[:, :, 1] > 0)
    classes = {"non-neoplastic": "#00ff00", "neoplastic": "#FF0000"}
    save_pair(tmp_path / "exact", picture(0, 32, 32), mask)
    assert (read_one(tmp_path / "exact", classes=classes)[1] == expected).all()
    save_pair(tmp_path / "jpeg", picture(0, 32, 32), mask, (".png", ".jpeg"))
    with pytest.raises(DataError, match="colors that mean no class: #"):
        read_one(tmp_path / "jpeg", classes=classes)
    decoded = read_one(tmp_path / "jpeg", classes=classes, nearest=True)[1]
    assert (decoded != expected).mean() < 0.05
    with pytest.raises(DataError, match="in color, but the classes are label values"):
        read_one(tmp_path / "exact")


def test_nearest_value_mends_gray_jpeg_masks(tmp_path: Path) -> None:
    save_pair(tmp_path, picture(0, 32, 32), blob(0, 32, 32), (".png", ".jpg"))
    decoded = read_one(tmp_path, nearest=True)[1]
    assert (decoded != (blob(0, 32, 32) > 0)).mean() < 0.02


def test_palette_masks_are_read_by_index_or_by_color(tmp_path: Path) -> None:
    indices = blob(0, value=1)
    mask = Image.fromarray(indices)
    mask = mask.convert("P")
    mask.putpalette([0, 0, 0, 10, 200, 30] + [0] * 762)
    mask.putdata(indices.ravel().tolist())
    save_pair(tmp_path, picture(0), mask)
    assert (read_one(tmp_path, classes={"lesion": 1})[1] == indices).all()
    assert (read_one(tmp_path, classes={"lesion": "#0ac81e"})[1] == indices).all()


IMAGES = {
    "gray": (picture(0, channels=1)[:, :, 0], np.repeat(picture(0, channels=1), 3, 2)),
    "rgba": (np.dstack([picture(0), np.full((20, 24), 9, np.uint8)]), picture(0)),
    "palette": (Image.fromarray(picture(0)).convert("P"), None),
    "one bit": (Image.fromarray(blob(0)).convert("1"), np.repeat(blob(0)[:, :, None], 3, 2)),
    "16 bit": (blob(0).astype(np.uint16) * 257, np.repeat(blob(0)[:, :, None], 3, 2)),
}


@pytest.mark.parametrize(("stored", "expected"), IMAGES.values(), ids=IMAGES)
def test_pixel_formats_become_rgb(tmp_path: Path, stored: Any, expected: np.ndarray | None) -> None:
    save_pair(tmp_path, stored, blob(0))
    image, _ = read_one(tmp_path)
    if expected is None:
        expected = np.asarray(stored.convert("RGB"))
    assert image.dtype == np.uint8 and (image == expected).all()


@pytest.mark.parametrize("suffix", [".jpg", ".JPEG", ".tif", ".tiff", ".bmp", ".PNG"])
def test_file_formats(tmp_path: Path, suffix: str) -> None:
    save_pair(tmp_path, picture(0, 64, 64), blob(0, 64, 64), (suffix, ".png"))
    image, _ = read_one(tmp_path)
    assert np.abs(image.astype(int) - picture(0, 64, 64)).mean() < (
        40 if suffix.lower().startswith(".j") else 0.01
    )


def test_cmyk_and_upside_down_photographs(tmp_path: Path) -> None:
    save_pair(tmp_path / "cmyk", Image.fromarray(picture(0)).convert("CMYK"), blob(0), (".jpg", ".png"))
    assert read_one(tmp_path / "cmyk")[0].shape == (20, 24, 3)
    exif = Image.Exif()
    exif[0x0112] = 6
    save_pair(tmp_path / "turned", picture(0), blob(0, 24, 20))
    Image.fromarray(picture(0)).save(tmp_path / "turned/images/a.png", exif=exif)
    assert (read_one(tmp_path / "turned")[0] == np.rot90(picture(0), -1)).all()


def test_nifti_is_turned_as_pictures_are(tmp_path: Path) -> None:
    image, mask = picture(0, channels=1)[:, :, 0], blob(0, value=3)
    save_pair(tmp_path, image.T, mask.T[:, :, None].astype(np.float32), (".nii.gz", ".nii"))
    decoded, labels = read_one(tmp_path, classes={"atrium": 3}, channels=1)
    assert (decoded[:, :, 0] == image).all() and (labels == (mask > 0)).all()
    save_pair(tmp_path / "volume", np.zeros((4, 5, 6), np.uint8), mask.T, (".nii", ".nii"))
    with pytest.raises(DataError, match="volume of 4 x 5 x 6"):
        read_one(tmp_path / "volume")


def test_intensities_are_scaled_as_the_option_says(tmp_path: Path) -> None:
    values = np.array([[-1000.0, 0.0], [500.0, 1000.0]], dtype=np.float32)
    save_pair(tmp_path, values.T, np.zeros((2, 2), np.uint8), (".nii", ".nii"))
    with pytest.raises(DataError, match="float32 values, whose range is not known"):
        read_one(tmp_path)
    assert read_one(tmp_path, intensity="image")[0][:, :, 0].tolist() == [[0, 128], [191, 255]]
    assert read_one(tmp_path, intensity=[0, 500])[0][:, :, 0].tolist() == [[0, 0], [255, 255]]
    save_pair(tmp_path, np.full((2, 2), np.nan, np.float32), np.zeros((2, 2), np.uint8), (".nii", ".nii"))
    with pytest.raises(DataError, match="not finite"):
        read_one(tmp_path, intensity=[0, 500])


def test_one_channel_takes_gray_images_only(tmp_path: Path) -> None:
    save_pair(tmp_path, np.repeat(picture(0, channels=1), 3, 2), blob(0))
    assert (read_one(tmp_path, channels=1)[0] == picture(0, channels=1)).all()
    save_pair(tmp_path, picture(0), blob(0))
    with pytest.raises(DataError, match="a color image"):
        read_one(tmp_path, channels=1)


def test_sizes_that_differ_are_named_with_both_files(tmp_path: Path) -> None:
    write_folder(tmp_path / "data")
    Image.fromarray(blob(1, 10, 12)).save(tmp_path / "data/masks/case-01.png")
    Image.fromarray(blob(4, 11, 12)).save(tmp_path / "data/masks/case-04.png")
    with pytest.raises(DataError) as caught:
        cache_folder(tmp_path / "data", tmp_path / "cache")
    message = str(caught.value)
    assert "masks/case-01.png: the mask is 12 x 10 pixels, its image case-01.png is 24 x 20" in message
    assert "masks/case-04.png: the mask is 12 x 11" in message


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"classes": {}}, "'classes' is needed"),
        ({"classes": {"a": "red"}}, "class 'a' is given as 'red'"),
        ({"classes": {"a": 1.5}}, "class 'a' is given as 1.5"),
        ({"classes": {"a": []}}, "no value or color"),
        ({"classes": {"a": 1, "b": [2, 1]}}, "1 stands for two classes, one of them 'b'"),
        ({"classes": {"a": 0}}, "0 stands for two classes"),
        ({"classes": {"a": "#ff0000", "b": "#FF0000"}}, "#ff0000 stands for two classes"),
        ({"classes": {"a": 1, "b": "#ff0000"}}, "mixes label values and colors"),
        ({"classes": {"a": 1}, "background": "#000000"}, "'background' must be of the same kind"),
        ({"background": "rest", "nearest": True}, "exclude each other"),
        ({"ignore": "rest", "nearest": True}, "exclude each other"),
        ({"ignore": "rest", "background": "rest"}, "exclude each other"),
        ({"classes": {"a": 1}, "ignore": 1}, "1 stands for two classes, one of them 'ignore'"),
        ({"classes": {"a": 1}, "ignore": [255, "#ffffff"]}, "must be of the same kind"),
        ({"classes": {"a": 1}, "ignore": []}, "'ignore' is given no value"),
        ({"classes": {"a": 1}, "ignore": 1.5}, "'ignore' is given as 1.5"),
        ({"classes": {"a": 1, "ignore": 255}}, "write `ignore: 255` beside `classes`"),
        ({"group_pattern": "("}, "'group_pattern' is not a regular expression"),
        ({"group_pattern": "a", "group_file": "b"}, "exclude each other"),
        ({"intensity": "auto"}, "'intensity' cannot be 'auto'"),
        ({"intensity": [5, 5]}, "low < high"),
        ({"images": ""}, "'images' is empty"),
        ({"images": "../other"}, "'images' leads out of the root"),
        ({"masks": "/etc"}, "'masks' leads out of the root"),
    ],
)
def test_options_are_checked_before_any_data_is_touched(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=r"option|class") as caught:
        FOLDER.task_for(folder_options(**given))
    assert message in str(caught.value)


def test_the_task_follows_from_the_options() -> None:
    task = FOLDER.task_for(folder_options(classes={"cup": 1, "disc": [2, 3]}, channels=1))
    assert task.classes == ("cup", "disc") and task.channels == 1


def test_big_endian_files_read_as_little_endian_ones(tmp_path: Path) -> None:
    values = (blob(0).astype(np.uint16) * 257).astype(">u2")
    save_pair(tmp_path, values.T, blob(0).T, (".nii", ".nii"))
    assert (read_one(tmp_path)[0][:, :, 0] == blob(0)).all()


def test_ignored_values_count_nowhere(tmp_path: Path) -> None:
    mask = np.array([[0, 1, 255], [2, 254, 0]], dtype=np.uint8)
    save_pair(tmp_path, picture(0, 2, 3), mask)
    classes = {"a": 1, "b": 2}
    assert read_one(tmp_path, classes=classes, ignore=[254, 255])[1].tolist() == [[0, 1, 255], [2, 255, 0]]
    assert read_one(tmp_path, classes=classes, ignore="rest")[1].tolist() == [[0, 1, 255], [2, 255, 0]]
    assert read_one(tmp_path, classes=classes, ignore=255, background="rest")[1].tolist() == [
        [0, 1, 255],
        [2, 0, 0],
    ]
    assert read_one(tmp_path, classes=classes, ignore=0, background=[254, 255])[1].tolist() == [
        [255, 1, 0],
        [2, 0, 255],
    ]
    with pytest.raises(DataError, match=r"values that mean no class: 254 \(1 pixels\)"):
        read_one(tmp_path, classes=classes, ignore=255)
    assert FOLDER.task_for(folder_options(ignore=7)).ignore
    assert not FOLDER.task_for(folder_options()).ignore


def test_ignored_colors_and_wide_values(tmp_path: Path) -> None:
    mask = np.zeros((2, 3, 3), dtype=np.uint8)
    mask[0, 0], mask[0, 1] = (255, 0, 0), (255, 255, 255)
    save_pair(tmp_path / "color", picture(0, 2, 3), mask)
    labels = read_one(tmp_path / "color", classes={"a": "#ff0000"}, ignore="#ffffff")[1]
    assert labels.tolist() == [[1, 255, 0], [0, 0, 0]]
    wide = np.array([[0, 300, 65535]], dtype=np.uint16)
    save_pair(tmp_path / "wide", picture(0, 1, 3), wide)
    labels = read_one(tmp_path / "wide", classes={"a": 300}, ignore=65535)[1]
    assert labels.tolist() == [[0, 1, 255]]


def test_ignored_pixels_reach_the_cache_and_are_no_class(tmp_path: Path) -> None:
    mask = blob(0, 32, 32, value=255)
    mask[20:, 20:] = 7
    save_pair(tmp_path / "data", picture(0, 32, 32), mask)
    arrays = cache_folder(tmp_path / "data", tmp_path / "cache", image_size=32, ignore=7)
    assert (arrays.masks[0] == np.where(mask == 7, 255, mask > 0)).all()
    assert dict(arrays.labels[0]) == {0: 32 * 32 - 90 - 144, 1: 90, 255: 144}


def test_a_group_file_written_on_a_mac_fits(tmp_path: Path) -> None:
    write_folder(tmp_path, 2)
    for kind in ("images", "masks"):
        (tmp_path / kind / "case-00.png").rename(tmp_path / kind / unicodedata.normalize("NFC", "Zoé.png"))
    lines = [unicodedata.normalize("NFD", "Zoé,Zoé"), "case-01,ben"]
    (tmp_path / "groups.csv").write_text("\n".join(lines), encoding="utf-8")
    samples = open_folder(tmp_path, group_file="groups.csv").samples()
    assert {sample.id: sample.group for sample in samples} == {"Zoé": "Zoé", "case-01": "ben"}


@pytest.mark.parametrize("way", ["../groups.csv", "link.csv", "{absolute}", "folder/../../groups.csv"])
def test_a_group_file_outside_of_the_root_is_not_read(tmp_path: Path, way: str) -> None:
    root = write_folder(tmp_path / "data", 2)
    (tmp_path / "groups.csv").write_text("secret of another user\n")
    (root / "folder").mkdir()
    (root / "link.csv").symlink_to(tmp_path / "groups.csv")
    message = problems_of(root, group_file=way.format(absolute=tmp_path / "groups.csv"))
    assert "lies outside of the root" in message and "secret" not in message


def test_a_group_file_that_is_no_file_is_named(tmp_path: Path) -> None:
    root = write_folder(tmp_path, 2)
    os.mkfifo(root / "pipe.csv")
    (root / "loop.csv").symlink_to("loop.csv")
    for name in ("pipe.csv", "images", "loop.csv", "a\0b"):
        assert "cannot be read as CSV" in problems_of(root, group_file=name)


def test_litter_of_file_managers_is_not_data(tmp_path: Path) -> None:
    write_folder(tmp_path, 3)
    for kind in ("images", "masks"):
        for name in (".DS_Store", "Thumbs.db", "desktop.ini", "._case-00.png", ".~lock.case-00.png#"):
            (tmp_path / kind / name).write_bytes(b"\x00litter")
    assert [sample.id for sample in open_folder(tmp_path).samples()] == ["case-00", "case-01", "case-02"]


def test_partners_in_formats_that_are_not_read_are_named(tmp_path: Path) -> None:
    write_folder(tmp_path, 3)
    Path(tmp_path / "masks/case-01.png").rename(tmp_path / "masks/case-01.webp")
    Path(tmp_path / "images/case-02.png").rename(tmp_path / "images/case-02.dcm")
    message = problems_of(tmp_path)
    assert "case-01 under masks); masks/case-01.webp is there, in a format that is not read" in message
    assert "masks/case-02.png: has no image; images/case-02.dcm is there" in message


def test_images_in_sub_folders_are_pointed_at(tmp_path: Path) -> None:
    for kind in ("images", "masks"):
        (tmp_path / kind / "p1").mkdir(parents=True)
        Image.fromarray(picture(0) if kind == "images" else blob(0)).save(tmp_path / kind / "p1/a.png")
    message = problems_of(tmp_path)
    assert "images: holds no images" in message and "its sub-folder p1 does: write images/*/*" in message
    samples = open_folder(tmp_path, images="images/*/*", masks="masks/*/*").samples()
    assert [sample.id for sample in samples] == ["p1/a"]


def test_a_header_that_promises_too_much_is_refused_unread(tmp_path: Path) -> None:
    save_pair(tmp_path, picture(0), blob(0))
    header = b"IHDR" + (60_000).to_bytes(4, "big") * 2 + b"\x08\x00\x00\x00\x00"
    chunks = [(13).to_bytes(4, "big") + header + zlib.crc32(header).to_bytes(4, "big")]
    chunks.append((9).to_bytes(4, "big") + b"IDAT" + zlib.compress(b"")[:9].ljust(9, b"\0") + bytes(4))
    (tmp_path / "images/a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))
    with pytest.raises(DataError, match=r"60000 x 60000|exceeds limit"):
        read_one(tmp_path)


def test_too_many_open_files_are_no_fault_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_folder(tmp_path / "data", 3)

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(Image, "open", full)
    with pytest.raises(DataError, match="Too many open files") as caught:
        cache_folder(tmp_path / "data", tmp_path / "cache")
    assert "ulimit -n" in str(caught.value) and "author" not in str(caught.value)


def test_files_that_are_passed_over_are_named(tmp_path: Path) -> None:
    write_folder(tmp_path, 3)
    for path in sorted((tmp_path / "masks").iterdir()):
        path.rename(path.with_name(f"{path.stem}_mask.png"))
    reader = open_folder(tmp_path, mask_suffix="_mask")
    assert reader.remarks() == []
    (tmp_path / "images/readme.txt").write_text("no data")
    (tmp_path / "masks/.hidden.webp").write_text("no data")
    for number in range(5):
        (tmp_path / f"images/b{number}.WEBP").write_bytes(b"")
    shutil.copy(tmp_path / "masks/case-00_mask.png", tmp_path / "masks/case-00_mask_1.png")
    assert reader.remarks() == [
        "passed over: 5 files (images/b0.WEBP, images/b1.WEBP, images/b2.WEBP and 2 more) under images in "
        "formats that are not read",
        "passed over: 1 file (masks/case-00_mask_1.png) under masks whose names do not end in '_mask'",
    ]


def test_attributes_come_from_a_table(tmp_path: Path) -> None:
    write_folder(tmp_path, 4)
    lines = [
        "image,age,sex,note",
        "case-00,41,f,1",
        "case-01.png,,m,2 of 3",
        "images/case-02.png,40.5,NA,",
        "x,9,f,",
    ]
    (tmp_path / "about.csv").write_text("\ufeff" + "\r\n".join(lines))
    samples = open_folder(tmp_path, attribute_file="about.csv").samples()
    assert [dict(sample.attributes) for sample in samples] == [
        {"age": 41.0, "sex": "f", "note": "1"},
        {"sex": "m", "note": "2 of 3"},
        {"age": 40.5},
        {},
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "its first line must name the columns"),
        ("id\ncase-00\n", "its first line must name the columns"),
        ("id,age,age\ncase-00,1,2\n", "its first line must name the columns"),
        ("id,age\ncase-00\n", "about.csv:2: expected 2 cells, found 1"),
        ("id,age\ncase-00,1\ncase-00,2\n", "about.csv:3: case-00 has a second line"),
        ("id,age\nnobody,1\n", "none of its ids is a sample, for example nobody"),
        ("id,sex\ncase-00,a\x1b[2J\n", "about.csv:2: a cell has more than 1024 or unprintable"),
        ("id,sex\ncase-00," + "x" * 2000 + "\n", "about.csv:2: a cell has more"),
    ],
)
def test_a_table_of_attributes_that_cannot_be_used_is_named(tmp_path: Path, text: str, message: str) -> None:
    write_folder(tmp_path, 2)
    (tmp_path / "about.csv").write_text(text)
    assert message in problems_of(tmp_path, attribute_file="about.csv")


def test_a_table_of_attributes_stays_in_the_root(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "data", 2)
    (tmp_path / "about.csv").write_text("id,age\ncase-00,3\n")
    assert "outside of the root" in problems_of(root, attribute_file="../about.csv")


def test_attributes_change_no_fingerprint_and_no_digest(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "data", 3)
    plain = cache_folder(root, tmp_path / "cache")
    (root / "about.csv").write_text("id,age\ncase-00,3\n")
    options = folder_options(attribute_file="about.csv")
    assert differing(FOLDER.options, options) == differing(FOLDER.options, folder_options())
    source = Source("mine", FOLDER, FOLDER.task_for(options), str(root), options)
    other = open_arrays(source, Fit(16), tmp_path / "other")
    again = open_arrays(replace(source, options=folder_options()), Fit(16), tmp_path / "other")
    assert other.path == again.path and other.fingerprint == again.fingerprint
    assert other.attributes[0] == {"age": 3.0} and again.attributes[0] == {}
    assert (plain.masks == other.masks).all()
