"""What is possible in a folder of own images and rarely meant is told, and nothing else is."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest
import tifffile
from PIL import Image

from bench_core.errors import DataError
from tests.helpers.folders import read_one
from tests.helpers.formats import GRAY, RGB, orientation_chunk, png
from tests.helpers.pictures import blob, open_folder, picture

GRAYS = np.random.default_rng(5).integers(0, 1024, (3, 20, 24), dtype=np.uint16)
GRAYS[0, 0, :2] = 0, 1023


def images(root: Path, suffix: str, values: np.ndarray) -> Path:
    for kind in ("images", "masks"):
        (root / kind).mkdir(parents=True)
    for number, image in enumerate(values):
        path = root / f"images/{number}{suffix}"
        if suffix == ".png":
            path.write_bytes(png(image, 16, GRAY if image.ndim == 2 else RGB))
        elif suffix == ".nii":
            nibabel.Nifti1Image(image.T, np.eye(4)).to_filename(path)
        else:
            tifffile.imwrite(path, image)
        Image.fromarray(blob(number)).save(root / f"masks/{number}.png")
    return root


@pytest.mark.parametrize("suffix", [".png", ".tif", ".nii"])
def test_images_that_use_a_fraction_of_16_bits_are_told_with_their_range(tmp_path: Path, suffix: str) -> None:
    root = images(tmp_path, suffix, GRAYS)
    (remark,) = open_folder(root).remarks()
    assert "3 images that were looked at hold values from 0 to 1023, of 0 to 65535" in remark
    assert "`intensity: [0, 1023]`" in remark
    assert open_folder(root, intensity=[0, 1023]).remarks() == []
    assert open_folder(root, intensity="image").remarks() == []
    assert open_folder(root, intensity={"percentiles": [1, 99]}).remarks() == []


def test_images_that_use_the_whole_range_are_not_told(tmp_path: Path) -> None:
    assert open_folder(images(tmp_path, ".png", GRAYS * 64)).remarks() == []


def test_a_fraction_in_color_and_of_8_bits_is_told_as_well(tmp_path: Path) -> None:
    color = np.repeat(GRAYS[..., None], 3, axis=3)
    (remark,) = open_folder(images(tmp_path / "color", ".png", color)).remarks()
    assert "from 0 to 1023, of 0 to 65535" in remark
    few = (GRAYS // 64).astype(np.uint8)
    (remark,) = open_folder(images(tmp_path / "few", ".tif", few)).remarks()
    assert "from 0 to 15, of 0 to 255" in remark


def test_a_window_that_cuts_most_values_off_is_told(tmp_path: Path) -> None:
    (remark,) = open_folder(images(tmp_path, ".png", GRAYS), intensity=[0, 255]).remarks()
    assert "lie outside of 0 to 255 and become 0 or 255" in remark and "[0, 1023]" in remark


def test_a_window_of_more_than_the_images_hold_is_told(tmp_path: Path) -> None:
    (remark,) = open_folder(images(tmp_path, ".png", GRAYS), intensity=[0, 4095]).remarks()
    assert "from 0 to 1023, of 0 to 4095" in remark


def turned_folder(root: Path, orientation: int, *, mask_too: bool = False) -> Path:
    for kind in ("images", "masks"):
        (root / kind).mkdir(parents=True, exist_ok=True)
    extra = orientation_chunk(orientation)
    (root / "images/a.png").write_bytes(png(picture(0), 8, RGB, extra))
    (root / "masks/a.png").write_bytes(png(blob(0), 8, GRAY, extra if mask_too else b""))
    return root


@pytest.mark.parametrize("orientation", [2, 3, 4])
def test_an_image_that_is_turned_without_its_mask_is_told(tmp_path: Path, orientation: int) -> None:
    (remark,) = open_folder(turned_folder(tmp_path, orientation)).remarks()
    assert remark.startswith("a: of image and mask one notes how it must be turned")
    assert open_folder(turned_folder(tmp_path, orientation), orientation="stored").remarks() == []
    assert open_folder(turned_folder(tmp_path, orientation, mask_too=True)).remarks() == []


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_as_stored_are_not_turned(tmp_path: Path, orientation: int) -> None:
    image, mask = read_one(turned_folder(tmp_path, orientation), orientation="stored")
    assert (image == picture(0)).all() and (mask == (blob(0) > 0)).all()


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_sizes_that_differ_by_a_turn_are_explained(tmp_path: Path, orientation: int) -> None:
    with pytest.raises(
        DataError, match=rf"the image notes that .* be turned \(EXIF orientation {orientation}\)"
    ) as caught:
        read_one(turned_folder(tmp_path, orientation))
    assert "orientation: stored" in str(caught.value.fix)


LEFT = {
    "another format": ("images/b.jp2", b"x", "1 file (images/b.jp2) under images, in a format that is not"),
    "no extension": ("images/b", b"\x89PNG\r\n", "1 file (images/b) under images, without an extension"),
    "DICOM": ("images/b", bytes(128) + b"DICM", "1 file (images/b) under images, without an extension"),
    "a sub-folder": ("images/old/b.png", b"x", "1 file (images/old/b.png) in sub-folders of images"),
}


@pytest.mark.parametrize(("name", "content", "said"), LEFT.values(), ids=LEFT)
def test_files_that_look_like_images_and_are_not_taken_are_named(
    tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    root = turned_folder(tmp_path, 1)
    (root / name).parent.mkdir(exist_ok=True)
    (root / name).write_bytes(content)
    (remark,) = open_folder(root).remarks()
    assert remark.startswith("passed over: ") and said in remark


def test_dicom_without_the_extra_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bench_datasets.folder import search

    monkeypatch.setattr(search, "EXTENSIONS", search.PICTURES)
    root = turned_folder(tmp_path, 1)
    (root / "images/b.dcm").write_bytes(b"x")
    (remark,) = open_folder(root).remarks()
    assert "images/b.dcm" in remark and "pip install 'segtrial[dicom]'" in remark
    (root / "masks/b.png").write_bytes((root / "masks/a.png").read_bytes())
    with pytest.raises(
        DataError, match=r"masks/b.png: has no image; images/b.dcm is there, DICOM, which needs pip"
    ):
        open_folder(root).samples()
