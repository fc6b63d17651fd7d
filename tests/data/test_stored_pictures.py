"""A published picture is decoded alike as a file of its own and inside of an archive."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from bench_core.errors import DataError
from bench_datasets.decoding.pictures import decode_image
from bench_datasets.readers.pictures import gray, rgb
from bench_datasets.readers.stored import Stored, bare_members
from tests.helpers.pictures import blob, picture

COLORS, GRAYS = picture(1), blob(1)


def _saved(image: Image.Image, kind: str = "PNG", **how: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **how)  # type: ignore[arg-type]
    return buffer.getvalue()


def _turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return _saved(Image.fromarray(COLORS), "JPEG", exif=exif)


def _deep(values: np.ndarray) -> bytes:
    return bytes(cv2.imencode(".png", values.astype(np.uint16) * 257)[1])


def _alpha(image: np.ndarray, mode: str) -> bytes:
    return _saved(Image.fromarray(np.dstack([image, GRAYS]), mode))


KINDS: dict[str, tuple[bytes, str, str]] = {
    "color": (_saved(Image.fromarray(COLORS)), "", "a picture in color"),
    "jpeg": (_saved(Image.fromarray(COLORS), "JPEG"), "", "a picture in color"),
    "turned": (_turned(), "", "a picture in color"),
    "gray": (_saved(Image.fromarray(GRAYS)), "", ""),
    "gray as color": (_saved(Image.fromarray(GRAYS).convert("RGB")), "", ""),
    "one bit": (_saved(Image.fromarray(GRAYS).convert("1")), "is stored as 1,", ""),
    "CMYK": (_saved(Image.fromarray(COLORS).convert("CMYK"), "JPEG"), "as CMYK", "as CMYK"),
    "palette": (_saved(Image.fromarray(COLORS).convert("P")), "as P,", "as P,"),
    "alpha": (_alpha(COLORS, "RGBA"), "as RGBA", "as RGBA"),
    "gray alpha": (_alpha(GRAYS, "LA"), "as LA", "as LA"),
    "transparent color": (
        _saved(Image.fromarray(COLORS), transparency=(1, 2, 3)), "RGB with transp", "RGB with transp",
    ),
    "16 bits": (_deep(COLORS), "RGB of 16 bits", "RGB of 16 bits"),
    "16 bits of gray": (_deep(GRAYS), "as I;16", "as I;16"),
    "a TIFF": (_saved(Image.fromarray(COLORS), "TIFF"), "not an image in a known", "not an image in a known"),
    "several frames": (
        _saved(Image.fromarray(COLORS), save_all=True, append_images=[Image.fromarray(COLORS ^ 1)]),
        "holds 2 frames", "holds 2 frames",
    ),
    "cut off": (_saved(Image.fromarray(COLORS), "JPEG")[:400], "cannot be decoded", "cannot be decoded"),
    "empty": (b"", "is empty", "is empty"),
}  # fmt: skip
"""Bytes, and what is said of them where color and where gray is expected; nothing where they are taken."""


def _outcome(read: Callable[[Stored], object], stored: Stored) -> object:
    try:
        found = read(stored)
    except DataError as error:
        assert error.place == stored.place and error.fix
        return error.message
    return getattr(found, "array", found)


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_and_a_member_are_one(tmp_path: Path, kind: str) -> None:
    content, in_color, in_gray = KINDS[kind]
    path = tmp_path / "picture.png"
    path.write_bytes(content)
    with zipfile.ZipFile(tmp_path / "all.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("folder/picture.png", content)
    member = bare_members(tmp_path / "all.zip")["picture.png"]
    for read, told in ((rgb, in_color), (gray, in_gray)):
        alone, inside = _outcome(read, Stored(path)), _outcome(read, member)
        if told:
            assert alone == inside and isinstance(alone, str) and told in alone
        else:
            assert isinstance(alone, np.ndarray) and isinstance(inside, np.ndarray)
            expected = decode_image(path, 3, "dtype")
            assert (alone == inside).all()
            assert (alone == (expected if read is rgb else expected[:, :, 0])).all()
