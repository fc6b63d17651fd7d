"""Label maps as indexed PNGs, on the grid that models are compared on or at the image's original size."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray

from bench_core.errors import MissingDependencyError, StoreError
from bench_core.install import install_command
from bench_core.report.pictures import class_color

Labels = NDArray[np.uint8]
MOST_PIXELS = 2**28
"""Of one image: what a store says of sizes is bounded before memory is asked for."""


def to_original(labels: Labels, height: int, width: int, resize: str) -> Labels:
    """Return a label map [S, S] as [height, width]: resized to the nearest pixel, its padding cut off.

    Undoes bench_core.data.resize: `pad-square` centers the image in a square of its longer side, an odd pixel
    going to the right or bottom. Raises StoreError beyond MOST_PIXELS.
    """
    if height < 1 or width < 1 or height * width > MOST_PIXELS:
        raise StoreError(f"an image of {width} x {height} pixels is not exported")
    side = max(height, width)
    high, wide = (side, side) if resize == "pad-square" else (height, width)
    top, left = ((high - height) // 2, (wide - width) // 2)
    rows = _nearest(top, height, high, labels.shape[0])
    columns = _nearest(left, width, wide, labels.shape[1])
    found: Labels = labels[np.ix_(rows, columns)]
    return found


def _nearest(first: int, count: int, length: int, cells: int) -> NDArray[np.int64]:
    """Return which of `cells` equal cells the centers of pixels `first`, ... of `length` lie in."""
    centers = 2 * (first + np.arange(count, dtype=np.int64)) + 1
    return np.minimum(centers * cells // (2 * length), cells - 1)


def to_png(labels: Labels) -> bytes:
    """Return a PNG whose pixel values are the class indices, with the report's colors as its palette.

    Equal maps give equal bytes. Raises MissingDependencyError without Pillow.
    """
    try:
        from PIL import Image
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            "label maps are written with the package 'pillow', which is not installed",
            fix=install_command("data"),
        ) from error
    picture = Image.fromarray(np.ascontiguousarray(labels))
    picture.putpalette(palette())
    out = io.BytesIO()
    picture.save(out, format="PNG", compress_level=6)
    return out.getvalue()


def palette() -> list[int]:
    """Return 256 colors (red, green, blue in turn): black for background, then those of the classes."""
    return [0, 0, 0, *(value for label in range(1, 256) for value in class_color(label))]
