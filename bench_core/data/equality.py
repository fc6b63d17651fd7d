"""Which images have equal pixels, without hashing the millions of pixels of each."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence

import numpy as np

from bench_core.data.picture import Picture
from bench_core.data.reading import Recipe, read_all
from bench_core.data.samples import Sample, UInt8Array
from bench_core.errors import DataError


def told_apart(recipe: Recipe, samples: Sequence[Sample], keys: Sequence[str]) -> list[dict[str, str]]:
    """Return hashes by which images are equal where their pixels are, and of the masks of such images.

    Images of one key alone are decoded again and hashed whole, which few are.
    Raises ChangedFileError or DataError for a sample that cannot be read.
    """
    several = Counter(keys)
    found = [{"pixel_hashes": key, "mask_hashes": ""} for key in keys]
    again = [number for number, key in enumerate(keys) if several[key] > 1]
    hashed = read_all(recipe, [samples[number] for number in again], _hashed)
    for number, hashes in zip(again, hashed, strict=True):
        if isinstance(hashes, DataError):
            raise hashes
        found[number] = dict(zip(("pixel_hashes", "mask_hashes"), hashes, strict=True))
    return found


def _hashed(image: Picture, mask: UInt8Array) -> tuple[str, str]:
    return _pixel_hash(image.array), _pixel_hash(mask)


def _pixel_hash(array: UInt8Array) -> str:
    pixels = hashlib.sha256(f"{array.shape}".encode())
    pixels.update(np.ascontiguousarray(array).data)
    return pixels.hexdigest()
