"""Own images and masks: what the options mean, and what is said when files and options do not fit."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bench_core import DatasetRequest
from bench_core.errors import DataError
from bench_datasets.folder.reader import open_folder as open_without_root
from bench_datasets.plugin import FOLDER
from tests.helpers.folders import problems_of, read_one, save_pair
from tests.helpers.pictures import blob, cache_folder, folder_options, open_folder, picture, write_folder


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
    assert "5 problems" in message
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


def test_label_values_lists_and_background(tmp_path: Path) -> None:
    mask = np.array([[0, 7, 1], [2, 3, 0]], dtype=np.uint8)
    save_pair(tmp_path, picture(0, 2, 3), mask)
    classes = {"cup": [1, 2], "disc": 3}
    assert read_one(tmp_path, classes=classes, background=[0, 7])[1].tolist() == [[0, 0, 1], [1, 2, 0]]
    assert read_one(tmp_path, classes=classes, background="rest")[1].tolist() == [[0, 0, 1], [1, 2, 0]]
    with pytest.raises(DataError, match=r"values that mean no class: 7 \(1 pixels\)") as caught:
        read_one(tmp_path, classes=classes)
    assert caught.value.place == str(tmp_path / "masks/a.png")


def test_a_range_of_values_is_one_class(tmp_path: Path) -> None:
    mask = np.array([[0, 7, 1], [2, 300, 299]], dtype=np.uint16)
    save_pair(tmp_path, picture(0, 2, 3), mask)
    classes = {"nuclei": ["1..7", "290..299"], "debris": 300}
    assert read_one(tmp_path, classes=classes)[1].tolist() == [[0, 1, 1], [1, 2, 1]]


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
        ({"classes": {"a": "9..3"}}, "expected a range of 65536 at most"),
        ({"classes": {"a": "1..99999999"}}, "expected a range of 65536 at most"),
        ({"classes": {"a": "1..5", "b": 5}}, "5 stands for two classes"),
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
