"""From an image of any size to the square that all models see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench_core.data.picture import Picture
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
    return fit_image(Picture(image), fit), fit_mask(mask, fit)


def fit_image(image: Picture, fit: Fit) -> UInt8Array:
    """Return the image as `fit_square` does."""
    padded = fit.resize == "pad-square"
    if padded:
        _check_elongation(image.shape)
    planes = [np.asarray(_resized(plane, fit.size, padded)) for plane in image.planes]
    if len(planes) > 1:
        return np.stack(planes, axis=2)
    return planes[0][:, :, None] if planes[0].ndim == 2 else planes[0]


def fit_mask(mask: UInt8Array, fit: Fit) -> UInt8Array:
    """Return the mask as `fit_square` does; only the pixels that Pillow's NEAREST takes are touched."""
    height, width = mask.shape
    if fit.resize != "pad-square":
        return mask[_places(height, fit.size)][:, _places(width, fit.size)]
    _check_elongation(mask.shape)
    places, side = _places(max(height, width), fit.size), max(height, width)
    rows, columns = places - (side - height) // 2, places - (side - width) // 2
    down, across = _within(rows, height), _within(columns, width)
    small = np.full((fit.size, fit.size), IGNORE if fit.padding == "ignore" else 0, dtype=np.uint8)
    small[down, across] = mask[rows[down]][:, columns[across]]
    return small


def _within(places: NDArray[np.int64], side: int) -> slice:
    """Return which of these rising places lie on a side."""
    first, last = np.searchsorted(places, [0, side])
    return slice(int(first), int(last))


def _places(side: int, size: int) -> NDArray[np.int64]:
    """Return which of `side` pixels each of `size` takes; added up step by step, as Pillow does."""
    step = side / size
    return np.cumsum(np.concatenate([[step * 0.5], np.full(size - 1, step)])).astype(np.int64)


def _resized(plane: Any, size: int, padded: bool) -> Any:
    """Return a Pillow image resampled to the square, after padding it to one or not."""
    from PIL import Image

    # Pillow widens the bilinear kernel when it shrinks, which is the antialiasing; OpenCV's does not.
    method, (width, height) = Image.Resampling.BILINEAR, plane.size
    if not padded or width == height:
        return plane.resize((size, size), method)
    # Pillow resamples across, then down, so that each direction may have its turn alone.
    if width > height:
        return _strip(plane.resize((size, height), method), size, width, down=True)
    return _strip(plane, size, height, down=False).resize((size, size), method)


def _strip(plane: Any, size: int, side: int, *, down: bool) -> Any:
    """Return a Pillow image padded with zeros to `side` in one direction and resampled to `size` in it.

    Where no number is rounded on the way, as with sizes that are powers of two, zeros that reach no other
    pixel are left out of the sum; the result is the same.
    """
    from PIL import Image

    length, other = (plane.height, plane.width) if down else (plane.width, plane.height)
    before, step = (side - length) // 2, side / size
    first, last, low, high = 0, size, 0, side
    if size & (size - 1) == 0 and side * size < 2**24:
        reach = max(step, 1.0)
        first = max(0, floor((before - reach) / step - 0.5))
        last = min(size, ceil((before + length + reach) / step + 0.5))
        low = max(0, floor((first + 0.5) * step - reach) - 1)
        high = min(side, ceil((last + 0.5) * step + reach) + 1)

    def of(across: float, along: float) -> tuple[Any, Any]:
        return (across, along) if down else (along, across)

    strip = Image.new(plane.mode, of(other, high - low))
    strip.paste(plane, of(0, before - low))
    box = (*of(0, first * step - low), *of(other, last * step - low))
    found = strip.resize(of(other, last - first), Image.Resampling.BILINEAR, box)
    if last - first == size:
        return found
    whole = Image.new(plane.mode, of(other, size))
    whole.paste(found, of(0, first))
    return whole


def _check_elongation(shape: Sequence[int]) -> None:
    height, width = shape[:2]
    if height != width and max(height, width) > LONGEST_PADDED_SIDE:
        raise DataError(
            f"the image is {width} x {height} pixels: too elongated to be padded to a square",
            cause=f"the square's side would be above {LONGEST_PADDED_SIDE} pixels",
            fix="crop or shrink it, or set `resize: stretch`",
        )
