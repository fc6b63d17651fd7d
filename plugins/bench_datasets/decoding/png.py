"""Whether the pixels of a PNG are all there: decoders fill what is missing and say nothing."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

from bench_core.errors import DataError
from bench_datasets.decoding.pixels import REPLACE, Content

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_PASSES = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
"""Of Adam7: first row and column, and the distance of rows and columns."""


def is_interlaced(content: bytes) -> bool:
    """Say whether a PNG is stored in passes, so that its last row may come before others."""
    return content[28:29] == b"\x01"


def check_all_rows(path: Path | Content, content: bytes) -> None:
    """Raise DataError for a PNG whose pixel data end, by themselves, before its last row does."""
    needed, found = _promised(content), 0
    stream = zlib.decompressobj()
    for part in _pixel_data(content):
        while part and not stream.eof:
            found += len(stream.decompress(part, 2**20))
            if found >= needed:
                return
            part = stream.unconsumed_tail
    raise DataError(
        f"is a PNG whose pixel data end early: {found} bytes of {needed}", place=str(path), fix=REPLACE
    )


def _promised(content: bytes) -> int:
    """Return the bytes of all rows, each with the byte that names its filter."""
    width, height, depth, kind, _, _, interlaced = struct.unpack(">IIBBBBB", content[16:29])
    bits = depth * _CHANNELS.get(kind, 1)
    total = 0
    for top, left, down, right in _PASSES if interlaced else ((0, 0, 1, 1),):
        rows, columns = -(-(height - top) // down), -(-(width - left) // right)
        if rows > 0 and columns > 0:
            total += rows * (1 + (columns * bits + 7) // 8)
    return total


def _pixel_data(content: bytes) -> Iterator[bytes]:
    place = len(SIGNATURE)
    while place + 8 <= len(content):
        (length,) = struct.unpack(">I", content[place : place + 4])
        if content[place + 4 : place + 8] == b"IDAT":
            yield content[place + 8 : place + 8 + length]
        place += 12 + length
