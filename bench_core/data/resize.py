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
        image, mask = pad_square(image), pad_square(mask, IGNORE if fit.padding == "ignore" else 0)
    return _bilinear(image, fit.size), _nearest(mask, fit.size)


def pad_square(array: UInt8Array, value: int = 0) -> UInt8Array:
    """Center [H, W, ...] in `value` of [max(H, W), max(H, W), ...]; raises DataError above 16384 pixels."""
    height, width = array.shape[:2]
    side = max(height, width)
    if height == width:
        return array
    if side > LONGEST_PADDED_SIDE:
        raise DataError(
            f"the image is {width} x {height} pixels: too elongated to be padded to a square",
            cause=f"the square's side would be above {LONGEST_PADDED_SIDE} pixels",
            fix="crop or shrink it, or set `resize: stretch`",
        )
    padded = np.full((side, side, *array.shape[2:]), value, dtype=np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    padded[top : top + height, left : left + width] = array
    return padded


def _bilinear(image: UInt8Array, size: int) -> UInt8Array:
    from PIL import Image

    # Pillow widens the bilinear kernel when it shrinks, which is the antialiasing; OpenCV's does not.
    return _planes(image, size, Image.Resampling.BILINEAR)


def _nearest(mask: UInt8Array, size: int) -> UInt8Array:
    from PIL import Image

    return _planes(mask[:, :, None], size, Image.Resampling.NEAREST)[:, :, 0]


def _planes(array: UInt8Array, size: int, method: Any) -> UInt8Array:
    from PIL import Image

    if array.shape[:2] == (size, size):
        return array
    if array.shape[2] == 3:
        return np.asarray(Image.fromarray(np.ascontiguousarray(array)).resize((size, size), method))
    planes = [
        np.asarray(Image.fromarray(np.ascontiguousarray(array[:, :, channel])).resize((size, size), method))
        for channel in range(array.shape[2])
    ]
    return np.stack(planes, axis=2)
