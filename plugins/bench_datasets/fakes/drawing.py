"""What small copies share: pictures of a wanted shape, a burned-in clock, and bytes that never vary."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bench_core.data.samples import UInt8Array

GLYPHS = {
    "0": "757", "1": "262", "2": "717", "3": "737", "4": "531", "5": "747", "6": "447", "7": "711",
    "8": "777", "9": "731", "/": "124", ":": "202",
}  # fmt: skip
"""Rows of three bits each, stretched to five rows: enough to look like digits on an overlay."""
STRETCH = (0, 0, 1, 1, 2)


def middle(picture: UInt8Array, height: int, width: int) -> UInt8Array:
    """Return the middle [height, width] of a picture, with zeros around it where it is smaller."""
    for axis, wanted in ((0, height), (1, width)):
        spare = picture.shape[axis] - wanted
        if spare > 0:
            picture = picture.take(range(spare // 2, spare // 2 + wanted), axis=axis)
        elif spare < 0:
            around = [(0, 0)] * picture.ndim
            around[axis] = (-spare // 2, -spare - -spare // 2)
            picture = np.pad(picture, around)
    return np.ascontiguousarray(picture)


def burn(picture: UInt8Array, lines: tuple[str, ...], top: int = 3, left: int = 3) -> None:
    """Write lines of digits into a picture [H, W, 3], white on black, as endoscopes do."""
    width = max(map(len, lines)) * 4 + 1
    picture[top - 1 : top + 7 * len(lines), left - 1 : left + width] = 0
    for row, line in enumerate(lines):
        for column, character in enumerate(line):
            rows = [int(GLYPHS[character][part]) for part in STRETCH]
            for down, bits in enumerate(rows):
                for across in range(3):
                    if bits & (4 >> across):
                        picture[top + 7 * row + down, left + 4 * column + across] = 255


def save_jpeg(path: Path, picture: UInt8Array, quality: int = 95) -> None:
    """Write a baseline JPEG with colors at half resolution (4:2:0), as cameras do."""
    from PIL import Image

    Image.fromarray(picture).save(path, "JPEG", quality=quality, subsampling=2)


def save_png(path: Path, picture: UInt8Array) -> None:
    """Write a PNG."""
    from PIL import Image

    Image.fromarray(picture).save(path, "PNG")
