"""PNGs whose pixel data end by themselves before the last row: decoders fill the rest and say nothing."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from bench_core.errors import DataError
from bench_datasets.decoding.raster import decode_raster
from tests.helpers.pictures import blob, picture

COLORS, GRAYS = picture(1, 19, 13), blob(1, 19, 13)
ADAM7 = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]


def chunks(content: bytes) -> list[tuple[bytes, bytes]]:
    found, place = [], 8
    while place < len(content):
        (length,) = struct.unpack(">I", content[place : place + 4])
        found.append((content[place + 4 : place + 8], content[place + 8 : place + 8 + length]))
        place += 12 + length
    return found


def png(parts: list[tuple[bytes, bytes]]) -> bytes:
    whole = b"\x89PNG\r\n\x1a\n"
    for kind, data in parts:
        whole += struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return whole


def unpacked(content: bytes) -> bytes:
    return zlib.decompress(b"".join(data for kind, data in chunks(content) if kind == b"IDAT"))


def with_rows(content: bytes, change: slice) -> bytes:
    """Return the PNG with a slice of its unpacked pixel data."""
    data = zlib.compress(unpacked(content)[change])
    before = [part for part in chunks(content) if part[0] not in (b"IDAT", b"IEND")]
    return png([*before, (b"IDAT", data), (b"IEND", b"")])


def saved(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def interlaced(values: np.ndarray) -> bytes:
    height, width = values.shape
    rows = b"".join(
        b"\0" + row.tobytes()
        for top, left, down, right in ADAM7
        for row in values[top::down, left::right]
        if row.size
    )
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 1)
    return png([(b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")])


KINDS = {
    "gray": saved(Image.fromarray(GRAYS)),
    "black": saved(Image.fromarray(GRAYS * 0)),
    "as memory is filled": saved(Image.fromarray(GRAYS * 0 + np.uint8(165))),
    "one bit": saved(Image.fromarray(GRAYS).convert("1")),
    "palette": saved(Image.fromarray(COLORS).convert("P")),
    "color": saved(Image.fromarray(COLORS)),
    "black color": saved(Image.fromarray(COLORS * 0)),
    "alpha": saved(Image.fromarray(np.dstack([COLORS, GRAYS]), "RGBA")),
    "gray alpha": saved(Image.fromarray(np.dstack([GRAYS, GRAYS]), "LA")),
    "16 bits": bytes(cv2.imencode(".png", GRAYS.astype(np.uint16) * 257)[1]),
    "16 bits of color": bytes(cv2.imencode(".png", COLORS.astype(np.uint16) * 257)[1]),
    "interlaced": interlaced(GRAYS),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_short_one_is_refused_and_a_whole_one_is_not(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(with_rows(KINDS[kind], slice(None)))
    whole = decode_raster(path, colors=True).values
    assert whole.shape[:2] == GRAYS.shape
    row = 14 if kind == "interlaced" else len(unpacked(KINDS[kind])) // len(GRAYS)
    for rows in (1, 2):
        path.write_bytes(with_rows(KINDS[kind], slice(-rows * row)))
        with pytest.raises(DataError, match="pixel data end early") as caught:
            decode_raster(path, colors=True)
        assert caught.value.place == str(path) and caught.value.fix


def test_an_interlaced_one_is_decoded_as_it_is_drawn(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(interlaced(GRAYS))
    assert (decode_raster(path, colors=True).values == GRAYS).all()
