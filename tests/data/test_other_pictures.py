"""Masks in transparency, GIF, WebP and DICOM, and what is said of those that cannot be read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bench_core.errors import DataError
from bench_datasets.decoding.pictures import decode_image, decode_mask
from tests.helpers.folders import read_one, save_pair
from tests.helpers.formats import dicom
from tests.helpers.pictures import blob, picture

LABELS = np.arange(480, dtype=np.uint8).reshape(20, 24) % 4
RED = {"classes": {"lesion": "#c81e04"}}
COUNTS = np.random.default_rng(3).integers(0, 4096, (20, 24), dtype=np.uint16)


def with_alpha(color: Any, alpha: np.ndarray) -> np.ndarray:
    return np.dstack([np.full((*alpha.shape, 3), color, np.uint8), alpha])


@pytest.mark.parametrize("color", [(255, 255, 255), (0, 0, 0), (200, 30, 4)])
@pytest.mark.parametrize(
    "options", [{}, {"background": "rest"}, {"nearest": True}, {"classes": {"lesion": "#c81e04"}}]
)
def test_masks_drawn_in_transparency_are_not_taken_for_their_color(
    tmp_path: Path, color: tuple[int, int, int], options: dict[str, Any]
) -> None:
    save_pair(tmp_path, picture(0), with_alpha(color, blob(0)))
    with pytest.raises(DataError, match="the mask is drawn in its alpha channel") as caught:
        read_one(tmp_path, **options)
    assert "mask_channel: alpha" in str(caught.value.fix)
    mask = read_one(tmp_path, mask_channel="alpha")[1]
    assert (mask == (blob(0) > 0)).all()


def test_transparency_that_says_nothing_is_no_mask(tmp_path: Path) -> None:
    opaque = np.full((20, 24), 255, np.uint8)
    for alpha in (opaque, opaque * 0):
        save_pair(tmp_path, picture(0), with_alpha((0, 0, 0), alpha))
        assert not read_one(tmp_path)[1].any()
    four = np.dstack([*[blob(0)] * 3, blob(0)])
    save_pair(tmp_path, picture(0), four)
    assert (read_one(tmp_path)[1] == (blob(0) > 0)).all()
    save_pair(tmp_path, picture(0), blob(0))
    with pytest.raises(DataError, match="has no alpha channel, but the option says mask_channel: alpha"):
        read_one(tmp_path, mask_channel="alpha")


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_masks_as_gif_and_webp_hold_their_values(tmp_path: Path, suffix: str) -> None:
    given = {"lossless": True} if suffix == ".webp" else {}
    for values in (LABELS, LABELS * 85, blob(0)):
        Image.fromarray(values).save(tmp_path / f"a{suffix}", **given)
        assert (decode_mask(tmp_path / f"a{suffix}", colors=False) == values).all()


def test_a_gif_in_color_is_read_by_index_or_by_color(tmp_path: Path) -> None:
    made = (
        Image.fromarray(LABELS, mode="P") if hasattr(Image, "_fromarray_mode") else Image.new("P", (24, 20))
    )
    made.putdata(LABELS.ravel().tolist())
    made.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255])
    made.save(tmp_path / "a.gif", optimize=False)
    assert (decode_mask(tmp_path / "a.gif", colors=False) == LABELS).all()
    assert (decode_mask(tmp_path / "a.gif", colors=True)[:, :, 0] == (LABELS == 1) * 255).all()


def test_images_as_webp_are_read(tmp_path: Path) -> None:
    Image.fromarray(picture(0)).save(tmp_path / "a.webp", lossless=True)
    assert (decode_image(tmp_path / "a.webp", 3, "dtype") == picture(0)).all()


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_animations_are_refused(tmp_path: Path, suffix: str) -> None:
    frames = [Image.fromarray(picture(number)) for number in range(3)]
    frames[0].save(tmp_path / f"a{suffix}", save_all=True, append_images=frames[1:])
    with pytest.raises(DataError, match="holds 3 frames, expected one image"):
        decode_image(tmp_path / f"a{suffix}", 3, "dtype")


def save_dicom(path: Path, values: np.ndarray, **header: Any) -> Path:
    pytest.importorskip("pydicom")
    dicom(values, **header).save_as(path, enforce_file_format=True)
    return path


def test_dicom_uses_the_bits_that_are_stored(tmp_path: Path) -> None:
    path = save_dicom(tmp_path / "a.dcm", COUNTS, BitsStored=12, HighBit=11)
    expected = np.floor(COUNTS * (255 / 4095) + 0.5)
    assert (decode_image(path, 1, "dtype")[:, :, 0] == expected).all()
    assert (decode_mask(path, colors=False) == COUNTS).all()


def test_dicom_in_hounsfield_units_needs_a_window(tmp_path: Path) -> None:
    header = {
        "RescaleSlope": "1",
        "RescaleIntercept": "-1024",
        "WindowCenter": [40, 300],
        "WindowWidth": [400, 9],
    }
    path = save_dicom(tmp_path / "a.dcm", COUNTS, **header)
    with pytest.raises(DataError, match="whose range is not known") as caught:
        decode_image(path, 1, "dtype")
    assert "intensity: [low, high]" in str(caught.value.fix)
    units = COUNTS.astype(float) - 1024
    wanted = np.clip(np.floor((units + 100) * (255 / 200) + 0.5), 0, 255)
    assert (decode_image(path, 1, (-100.0, 100.0))[:, :, 0] == wanted).all()
    low, high = 40 - 0.5 - 399 / 2, 40 - 0.5 + 399 / 2
    wanted = np.clip(np.floor((units - low) * (255 / (high - low)) + 0.5), 0, 255)
    assert (decode_image(path, 1, "window")[:, :, 0] == wanted).all()


def test_dicom_whose_low_values_are_bright_is_turned_round(tmp_path: Path) -> None:
    plain = save_dicom(tmp_path / "a.dcm", COUNTS)
    bright = save_dicom(tmp_path / "b.dcm", COUNTS, PhotometricInterpretation="MONOCHROME1")
    assert (decode_image(bright, 1, (0.0, 4095.0)) == 255 - decode_image(plain, 1, (0.0, 4095.0))).all()
    assert (decode_mask(bright, colors=False) == COUNTS).all()


def test_dicom_in_color_and_signed(tmp_path: Path) -> None:
    assert (decode_image(save_dicom(tmp_path / "a.dcm", picture(0)), 3, "dtype") == picture(0)).all()
    signed = COUNTS.astype(np.int16) - 2000
    path = save_dicom(tmp_path / "b.dcm", signed)
    assert (decode_mask(path, colors=False) == signed).all()


DICOM_FAULTS = {
    "not a DICOM file": lambda path: path.write_bytes(b"hello" * 100),
    "holds 5 frames": lambda path: save_dicom(path, COUNTS, NumberOfFrames="5"),
    "its header promises 60000 x 60000": lambda path: save_dicom(path, COUNTS, Rows=60000, Columns=60000),
    "its pixels cannot be decoded": lambda path: save_dicom(path, COUNTS, Rows=400),
    "has a palette|with a palette": lambda path: save_dicom(
        path, COUNTS, PhotometricInterpretation="PALETTE COLOR"
    ),
}


@pytest.mark.parametrize("said", DICOM_FAULTS)
def test_dicom_that_cannot_be_read_is_named(tmp_path: Path, said: str) -> None:
    pytest.importorskip("pydicom")
    path = tmp_path / "a.dcm"
    DICOM_FAULTS[said](path)
    with pytest.raises(DataError, match=said) as caught:
        decode_image(path, 1, "image")
    assert caught.value.place == str(path) and caught.value.fix


def test_compressed_dicom_says_what_to_install(tmp_path: Path) -> None:
    pydicom = pytest.importorskip("pydicom")
    made = dicom(COUNTS)
    made.PixelData = pydicom.encaps.encapsulate([b"\xff\x4f\xff\x51" + bytes(100)])
    made["PixelData"].VR, made["PixelData"].is_undefined_length = "OB", True
    made.file_meta.TransferSyntaxUID = pydicom.uid.JPEG2000Lossless
    made.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    with pytest.raises(DataError, match=r"its pixels are compressed \(JPEG 2000") as caught:
        decode_image(tmp_path / "a.dcm", 1, "image")
    assert "pip install pylibjpeg" in str(caught.value.fix)
