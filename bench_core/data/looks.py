"""What two images are compared by: a small gray picture, and the perceptual hash of the study."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench_core.data.picture import Picture
from bench_core.data.samples import UInt8Array

SIDE = 32
"""Pixels of the side of the small gray picture."""
_SAMPLED = 20
"""Pixels of a large image, in each direction, whose mean is a pixel of its small picture."""
_LOW = 8
"""Frequencies of each direction that a hash is made of."""
SYMMETRIES = 8
"""Ways to turn and mirror a square."""
_ROUNDED = 1e-6
"""Coefficients are rounded to this part of a gray level, so that a flat image has no noise for a hash."""


def look_of(image: Picture) -> UInt8Array:
    """Return a small gray picture [32, 32] of an image.

    The whole image is stretched to the square, so that turning and stretching can change places. Of images
    whose shorter side is 1280 pixels and more each mean is taken over a grid of at least 20 x 20 pixels,
    which moves it by part of a gray level, and by a few at sharp edges.
    """
    from PIL import Image

    height, width = image.shape[:2]
    step = max(1, min(height, width) // (SIDE * _SAMPLED))
    gray = (image.thinned(width // step, height // step) if step > 1 else image).gray
    return np.asarray(gray.resize((SIDE, SIDE), Image.Resampling.BOX))


def study_hash_of(image: Picture) -> int:
    """Return the 64-bit hash of an image by the study's rule."""
    from PIL import Image

    sharp = np.asarray(image.gray.resize((SIDE, SIDE), Image.Resampling.LANCZOS))
    return int(hashes_of(sharp[None])[0])


def hashes_of(pictures: UInt8Array) -> NDArray[np.uint64]:
    """Return the 64-bit perceptual hash of each picture [N, 32, 32].

    The low 8 x 8 coefficients of the cosine transform (DCT-II), each above their median or not, the first
    one in the highest bit. With Lanczos-resampled pictures it is imagehash 4.3.2's `phash`.
    """
    low = np.round(low_of(pictures, _LOW) / _ROUNDED) * _ROUNDED
    bits = low > np.median(low, axis=1, keepdims=True)
    packed = np.packbits(bits, axis=1)
    return np.ascontiguousarray(packed).view(">u8").astype(np.uint64).reshape(-1)


def low_of(pictures: NDArray[Any], frequencies: int) -> NDArray[np.float64]:
    """Return the low F x F coefficients of the cosine transform of each picture [N, 1024] as [N, F * F]."""
    table = _cosines(frequencies)
    found = table @ pictures.reshape(-1, SIDE, SIDE).astype(np.float64) @ table.T
    return np.asarray(found.reshape(len(found), -1))


@cache
def _cosines(frequencies: int) -> NDArray[np.float64]:
    places = 2 * np.arange(SIDE) + 1
    table: NDArray[np.float64] = 2 * np.cos(np.pi * np.outer(np.arange(frequencies), places) / (2 * SIDE))
    return table


@cache
def turns() -> NDArray[np.int64]:
    """Return, for each of the 8 symmetries of a square, the places [8, 1024] that its pixels come from."""
    places = np.arange(SIDE * SIDE).reshape(SIDE, SIDE)
    found = [np.rot90(square, quarter) for square in (places, places[:, ::-1]) for quarter in range(4)]
    return np.stack([square.ravel() for square in found])


def bits_apart(one: NDArray[np.uint64], other: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """Return in how many of 64 bits hashes differ, broadcast against each other."""
    different = one ^ other
    if hasattr(np, "bitwise_count"):
        counted: NDArray[np.uint8] = np.bitwise_count(different)
        return counted
    halves = np.ascontiguousarray(different).view(np.uint16).reshape(*different.shape, 4)
    return np.asarray(_bits()[halves].sum(axis=-1, dtype=np.uint8))


@cache
def _bits() -> NDArray[np.uint8]:
    numbers = np.arange(2**16, dtype=np.uint16)
    return np.asarray(np.unpackbits(numbers.view(np.uint8)).reshape(-1, 16).sum(axis=1), dtype=np.uint8)
