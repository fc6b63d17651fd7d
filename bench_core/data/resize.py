"""From an image of any size to the square that all models see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from bench_core.data.samples import UInt8Array
from bench_core.declarations import IGNORE
from bench_core.errors import DataError

LONGEST_PADDED_SIDE = 16384
"""Pixels; a thin 1 x 100,000 image would need 10 GB once padded to a square."""


@dataclass(frozen=True)
class Fit:
    """The square that images are brought to."""

    size: int
    """Pixels of its side."""
    resize: str = "pad-square"
    """pad-square, or stretch."""
    padding: str = "background"
    """What masks hold where pad-square pads: background, or ignore."""


def fit_square(image: UInt8Array, mask: UInt8Array, fit: Fit) -> tuple[UInt8Array, UInt8Array]:
    """Bring image [H, W, C] and mask [H, W] to [size, size, C] and [size, size].

    `pad-square` first pads to a square, the image centered (an odd pixel goes to the right or bottom), with
    zeros in the image and background or IGNORE in the mask; `stretch` does not keep the aspect ratio. The
    image is resampled bilinearly with antialiasing, the mask takes the nearest pixel, so that no class is
    invented. Raises DataError for an image that is too elongated to be padded.
    """
    if fit.resize == "pad-square":
        if fit.size != image.shape[1] > image.shape[0]:
            # Pillow resamples rows first, so that a wide image is padded more cheaply between the two passes.
            _check_elongation(image)
            square = _pad_rows(_bilinear(image, fit.size, image.shape[0]), image.shape[1])
        else:
            square = pad_square(image)
        image, mask = square, pad_square(mask, IGNORE if fit.padding == "ignore" else 0)
    return _bilinear(image, fit.size), _nearest(mask, fit.size)


def pad_square(array: UInt8Array, value: int = 0) -> UInt8Array:
    """Center [H, W, ...] in `value` of [max(H, W), max(H, W), ...]; raises DataError above 16384 pixels."""
    height, width = array.shape[:2]
    if height == width:
        return array
    _check_elongation(array)
    if width > height:
        return _pad_rows(array, width, value)
    padded = np.full((height, height, *array.shape[2:]), value, dtype=np.uint8)
    left = (height - width) // 2
    padded[:, left : left + width] = array
    return padded


def _pad_rows(array: UInt8Array, height: int, value: int = 0) -> UInt8Array:
    """Center the rows of [H, W, ...] in [height, W, ...]."""
    padded = np.full((height, *array.shape[1:]), value, dtype=np.uint8)
    top = (height - array.shape[0]) // 2
    padded[top : top + array.shape[0]] = array
    return padded


def _check_elongation(array: UInt8Array) -> None:
    height, width = array.shape[:2]
    if max(height, width) > LONGEST_PADDED_SIDE:
        raise DataError(
            f"the image is {width} x {height} pixels: too elongated to be padded to a square",
            cause=f"the square's side would be above {LONGEST_PADDED_SIDE} pixels",
            fix="crop or shrink it, or set `resize: stretch`",
        )


def _bilinear(image: UInt8Array, width: int, height: int | None = None) -> UInt8Array:
    from PIL import Image

    # Pillow widens the bilinear kernel when it shrinks, which is the antialiasing; OpenCV's does not.
    return _planes(image, (width, height or width), Image.Resampling.BILINEAR)


def _nearest(mask: UInt8Array, size: int) -> UInt8Array:
    from PIL import Image

    return _planes(mask[:, :, None], (size, size), Image.Resampling.NEAREST)[:, :, 0]


def _planes(array: UInt8Array, size: tuple[int, int], method: Any) -> UInt8Array:
    """Return the array at `size`, (width, height)."""
    from PIL import Image

    if array.shape[1::-1] == size:
        return array
    if array.shape[2] == 3:
        return np.asarray(Image.fromarray(np.ascontiguousarray(array)).resize(size, method))
    planes = [
        np.asarray(Image.fromarray(np.ascontiguousarray(array[:, :, channel])).resize(size, method))
        for channel in range(array.shape[2])
    ]
    return np.stack(planes, axis=2)
