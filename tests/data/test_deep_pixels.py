"""More and fewer than 8 bits a channel, other numbers and numbers of channels: as they were stored."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from bench_core.errors import DataError
from bench_datasets.decoding.pictures import as_picture, decode_image, decode_mask, decode_pixels
from bench_datasets.decoding.pixels import Content, turned
from bench_datasets.decoding.raster import noted_in
from bench_datasets.decoding.windows import Percentiles
from tests.helpers.folders import read_one, save_pair
from tests.helpers.formats import GRAY, GRAY_ALPHA, RGB, RGBA, orientation_chunk, png
from tests.helpers.pictures import blob, picture

TYPES = {GRAY: 1, RGB: 3, GRAY_ALPHA: 2, RGBA: 4}
NUMBERS = ("int8", "uint16", "int16", "int32", "uint32", "int64", "uint64", "float16", "float32", "float64")
TWELVE = np.random.default_rng(7).integers(0, 4096, (20, 24, 5), dtype=np.uint16)


def stretched(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """The oracle: [low, high] to 0..255, rounded half up."""
    return np.clip(np.floor((values.astype(np.float64) - low) * (255 / (high - low)) + 0.5), 0, 255)


def write_png(path: Path, values: np.ndarray, bits: int, color_type: int, extra: bytes = b"") -> Path:
    path.write_bytes(png(values, bits, color_type, extra))
    return path


def write_tiff(path: Path, values: np.ndarray, **given: Any) -> Path:
    tifffile.imwrite(path, values, **given)
    return path


@pytest.mark.parametrize("color_type", TYPES)
def test_png_of_16_bits_keeps_all_of_them(tmp_path: Path, color_type: int) -> None:
    values = TWELVE[:, :, : TYPES[color_type]]
    path = write_png(tmp_path / "a.png", values, 16, color_type)
    colors = values[:, :, :3] if color_type in (RGB, RGBA) else np.repeat(values[:, :, :1], 3, 2)
    assert (decode_image(path, 3, (0.0, 4095.0)) == stretched(colors, 0, 4095)).all()
    assert (decode_image(path, 3, "dtype") == stretched(colors, 0, 65535)).all()
    alpha = decode_pixels(path, colors=True).alpha
    if color_type in (RGBA, GRAY_ALPHA):
        assert alpha is not None and (alpha == values[:, :, -1]).all()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("bits", [8, 16])
def test_pictures_are_turned_alike_with_8_and_with_16_bits(
    tmp_path: Path, bits: int, orientation: int
) -> None:
    content = png(TWELVE[:, :, :3] >> (16 - bits), bits, RGB, orientation_chunk(orientation))
    (tmp_path / "a.png").write_bytes(content)
    upright = np.array(ImageOps.exif_transpose(Image.open(io.BytesIO(content))))
    found = decode_pixels(tmp_path / "a.png", colors=True).values
    assert found.shape == upright.shape and (found >> (bits - 8) == upright).all()
    stored = decode_pixels(tmp_path / "a.png", colors=True, upright=False).values
    assert (stored == TWELVE[:, :, :3] >> (16 - bits)).all()


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_gray_of_8_bits_is_what_pillow_decodes(kind: str, orientation: int) -> None:
    for height, width in ((1, 1), (7, 300), (257, 3), (90, 64)):
        buffer, exif = io.BytesIO(), Image.Exif()
        exif[0x0112] = orientation
        values = np.random.default_rng(height).integers(0, 256, (height, width), dtype=np.uint8)
        Image.fromarray(values).save(buffer, kind, exif=exif)
        expected = turned(np.array(Image.open(buffer)), orientation)
        found = decode_pixels(Content("a file", buffer.getvalue()), colors=False)
        assert (found.values == expected).all()
        assert (as_picture(found, 1, "dtype", Path("a file")).array[:, :, 0] == expected).all()
        assert (as_picture(found, 3, "dtype", Path("a file")).array == expected[:, :, None]).all()
        if orientation == 1:
            with pytest.raises(ValueError, match="read-only"):
                found.values[0, 0] = 1


@given(st.integers(1, 8), st.integers(1, 6), st.integers(1, 6))
def test_turning_is_that_of_pillow(orientation: int, height: int, width: int) -> None:
    values = np.arange(height * width, dtype=np.uint8).reshape(height, width)
    image = Image.fromarray(values)
    image.getexif()[0x0112] = orientation
    assert (turned(values, orientation) == np.array(ImageOps.exif_transpose(image))).all()


LAYOUTS = {
    "contiguous": {"photometric": "rgb"},
    "planes": {"photometric": "rgb", "planarconfig": "separate"},
    "big-endian": {"photometric": "rgb", "byteorder": ">"},
    "bigtiff": {"photometric": "rgb", "bigtiff": True},
    "deflate": {"photometric": "rgb", "compression": "zlib"},
    "tiles": {"photometric": "rgb", "tile": (16, 16)},
    "strips": {"photometric": "rgb", "rowsperstrip": 3},
    "turned": {"photometric": "rgb", "extratags": [(274, 3, 1, 3, True)]},
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
def test_tiff_in_color_keeps_its_values_in_every_layout(tmp_path: Path, layout: str, dtype: str) -> None:
    values = TWELVE[:, :, :3].astype(dtype) - (2000 if dtype == "int16" else 0)
    planes = np.moveaxis(values, 2, 0) if layout == "planes" else values
    path = write_tiff(tmp_path / "a.tif", planes, **LAYOUTS[layout])
    found = decode_pixels(path, colors=True).values
    assert found.dtype == dtype
    assert (found == (values[::-1, ::-1] if layout == "turned" else values)).all()


def test_tiff_packed_by_lzw_keeps_16_bits_in_color(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.tif"), TWELVE[:, :, 2::-1])
    assert tifffile.TiffFile(tmp_path / "a.tif").pages[0].compression == 5
    assert (decode_pixels(tmp_path / "a.tif", colors=True).values == TWELVE[:, :, :3]).all()


@pytest.mark.parametrize("dtype", [*NUMBERS])
@pytest.mark.parametrize("order", ["<", ">"])
def test_gray_tiff_holds_the_numbers_that_were_written(tmp_path: Path, dtype: str, order: str) -> None:
    low, high = (
        (-100, 100) if np.dtype(dtype).kind != "u" else (0, 2 ** (8 * np.dtype(dtype).itemsize - 1) + 9)
    )
    values = np.linspace(low, high, 480).reshape(20, 24).astype(dtype)
    path = write_tiff(tmp_path / "a.tif", values, byteorder=order)
    assert (decode_pixels(path, colors=True).values == values).all()
    found = decode_image(path, 1, (float(low), float(high)))[:, :, 0]
    assert (found == stretched(values, low, high)).all()
    if dtype != "uint16":
        with pytest.raises(DataError, match=f"holds {dtype} values, whose range is not known") as caught:
            decode_image(path, 3, "dtype")
        assert "percentiles" in str(caught.value.fix)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32"])
def test_white_is_zero_is_turned_round_whatever_its_bits(tmp_path: Path, dtype: str) -> None:
    values = TWELVE[:, :, 0].astype(dtype)
    path = write_tiff(tmp_path / "a.tif", values, photometric="miniswhite")
    assert (decode_pixels(path, colors=True).values == np.iinfo(dtype).max - values).all()


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_gray_of_few_bits_is_labels_in_masks_and_full_range_in_images(tmp_path: Path, bits: int) -> None:
    top = 2**bits - 1
    values = np.random.default_rng(bits).integers(0, top + 1, (20, 24))
    path = write_png(tmp_path / "a.png", values, bits, GRAY)
    assert (decode_mask(path, colors=False) == values).all()
    assert (decode_image(path, 1, "dtype")[:, :, 0] == values * (255 // top)).all()


def test_a_label_mask_of_2_bits_is_no_background(tmp_path: Path) -> None:
    labels = np.arange(480).reshape(20, 24) % 4
    save_pair(tmp_path, picture(0), blob(0))
    write_png(tmp_path / "masks/a.png", labels, 2, GRAY)
    for options in ({"background": "rest"}, {"nearest": True}, {}):
        mask = read_one(tmp_path, classes={"a": 1, "b": 2, "c": 3}, **options)[1]
        assert (mask == labels).all()


@pytest.mark.parametrize("color_type", TYPES)
def test_a_label_mask_of_16_bits_holds_its_labels(tmp_path: Path, color_type: int) -> None:
    labels = np.arange(480).reshape(20, 24) % 4
    channels = [labels] * (3 if color_type in (RGB, RGBA) else 1)
    if color_type in (RGBA, GRAY_ALPHA):
        channels.append(np.full_like(labels, 65535))
    save_pair(tmp_path, picture(0), blob(0))
    write_png(tmp_path / "masks/a.png", np.stack(channels, axis=2), 16, color_type)
    assert (read_one(tmp_path, classes={"a": 1, "b": 2, "c": 3}, background="rest")[1] == labels).all()


@pytest.mark.parametrize("planes", [False, True])
@pytest.mark.parametrize("channels", [2, 4, 5])
def test_any_number_of_channels_is_kept(tmp_path: Path, channels: int, planes: bool) -> None:
    values = TWELVE[:, :, :channels] if channels < 6 else TWELVE
    stored = np.moveaxis(values, 2, 0) if planes else values
    given = {"photometric": "minisblack", "planarconfig": "separate" if planes else "contig"}
    path = write_tiff(tmp_path / "a.tif", stored, **given)
    assert (decode_image(path, channels, (0.0, 4095.0)) == stretched(values, 0, 4095)).all()
    with pytest.raises(
        DataError, match=f"has {channels} channels, but the option says channels: 3"
    ) as caught:
        decode_image(path, 3, "image")
    assert f"channels: {channels}" in str(caught.value.fix) and "native" in str(caught.value.fix)
    with pytest.raises(DataError, match=f"has {channels} channels"):
        decode_image(path, 1, "image")


def test_transparency_is_a_channel_only_where_four_are_asked_for(tmp_path: Path) -> None:
    four = np.dstack([picture(0), blob(0)])
    Image.fromarray(four).save(tmp_path / "a.png")
    assert (decode_image(tmp_path / "a.png", 3, "dtype") == picture(0)).all()
    assert (decode_image(tmp_path / "a.png", 4, "dtype") == four).all()


def test_windows_of_percentiles_and_of_channels(tmp_path: Path) -> None:
    values = TWELVE[:, :, :3]
    path = write_png(tmp_path / "a.png", values, 16, RGB)
    low, high = np.percentile(values, [1, 99])
    assert (decode_image(path, 3, Percentiles(1, 99)) == stretched(values, low, high)).all()
    each = ((0.0, 100.0), (0.0, 4095.0), (1000.0, 2000.0))
    expected = np.dstack([stretched(values[:, :, place], *part) for place, part in enumerate(each)])
    assert (decode_image(path, 3, each) == expected).all()
    with pytest.raises(DataError, match="has 3 channels, but `intensity` has 2 ranges"):
        decode_image(path, 3, each[:2])


@settings(max_examples=25)
@given(st.integers(1, 12), st.integers(1, 12), st.sampled_from([RGB, RGBA, GRAY_ALPHA]), st.integers(0, 99))
def test_16_bits_in_color_are_exact_whatever_they_hold(
    tmp_path_factory: pytest.TempPathFactory, height: int, width: int, color_type: int, seed: int
) -> None:
    count = TYPES[color_type]
    values = np.random.default_rng(seed).integers(0, 65536, (height, width, count), dtype=np.uint16)
    path = write_png(tmp_path_factory.mktemp("deep") / "a.png", values, 16, color_type)
    found = decode_pixels(path, colors=True)
    kept = values[:, :, :3] if count > 2 else values[:, :, 0]
    assert (found.values == kept).all()


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("part", [0.3, 0.6, 0.9])
def test_deep_pictures_that_are_cut_off_are_named(tmp_path: Path, suffix: str, part: float) -> None:
    path = tmp_path / f"a{suffix}"
    if suffix == ".png":
        write_png(path, TWELVE[:, :, :3], 16, RGB)
    else:
        write_tiff(path, TWELVE[:, :, :3], photometric="rgb")
    path.write_bytes(path.read_bytes()[: int(part * path.stat().st_size)])
    with pytest.raises(DataError) as caught:
        decode_image(path, 3, "dtype")
    assert caught.value.place == str(path)


def rewritten(path: Path, **tags: int) -> None:
    """Write other values of tags of whole numbers into a TIFF."""
    content = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as opened:
        for name, value in tags.items():
            tag = opened.pages[0].tags[name]
            size = 2 if tag.dtype == 3 else 4
            content[tag.valueoffset : tag.valueoffset + size] = value.to_bytes(size, "little")
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_orientations_of_tiff_are_told_and_can_be_left(tmp_path: Path, dtype: str, orientation: int) -> None:
    values = TWELVE[:, :, :3].astype(dtype)
    tag = [(274, 3, 1, orientation, True)]
    path = write_tiff(tmp_path / "a.tif", values, photometric="rgb", extratags=tag)
    assert (decode_pixels(path, colors=True).values == turned(values, orientation)).all()
    assert (decode_pixels(path, colors=True, upright=False).values == values).all()
    assert noted_in(path) == orientation


@pytest.mark.parametrize("photometric", ["separated", "cielab", "palette"])
def test_colors_of_16_bits_that_are_not_rgb_are_refused(tmp_path: Path, photometric: str) -> None:
    values = TWELVE[:, :, :4] if photometric == "separated" else TWELVE[:, :, :3]
    given: dict[str, Any] = {"photometric": photometric}
    if photometric == "palette":
        values, given = (
            TWELVE[:, :, 0],
            {"photometric": "palette", "colormap": np.zeros((3, 65536), np.uint16)},
        )
    path = write_tiff(tmp_path / "a.tif", values, **given)
    with pytest.raises(DataError, match=f"of 16 bits in {photometric.upper()}, which is not read"):
        decode_pixels(path, colors=True)


def test_a_tiff_that_unpacks_to_more_than_it_promises_is_refused(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "a.tif", np.zeros((2000, 2000), np.uint16), compression="zlib")
    rewritten(path, ImageLength=10, RowsPerStrip=10)
    with pytest.raises(DataError, match="unpack to more than its header promises"):
        decode_image(path, 1, "image")


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize(
    ("tags", "said"),
    [
        ({"ImageLength": 9000}, "it lists 1 of the 450 parts of its pixels"),
        ({"ImageLength": 9000, "RowsPerStrip": 9000}, "cut off|cannot be decoded"),
    ],
)
def test_a_tiff_that_promises_more_than_it_holds_is_not_filled_up(
    tmp_path: Path, dtype: str, compression: str | None, tags: dict[str, int], said: str
) -> None:
    path = write_tiff(tmp_path / "a.tif", TWELVE[:, :, 0].astype(dtype), compression=compression)
    rewritten(path, **tags)
    with pytest.raises(DataError, match=said):
        decode_image(path, 1, "image")
