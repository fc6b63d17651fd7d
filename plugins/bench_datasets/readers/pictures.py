"""Decode the JPEG and PNG files of published datasets strictly: what was not published so is refused."""

from __future__ import annotations

import numpy as np

from bench_core.data.picture import Picture
from bench_core.data.samples import UInt8Array
from bench_core.errors import DataError
from bench_datasets.decoding.pictures import as_picture, decode_pixels
from bench_datasets.decoding.pixels import Content, Pixels
from bench_datasets.readers.stored import REPLACE, Stored

FORMATS = ("JPEG", "PNG")
COLOR, GRAY = "RGB of 8 bits a channel", "gray of 8 bits"


def rgb(stored: Stored) -> Picture:
    """Return 3 channels; raise DataError for damage, other formats and more than 8 bits a channel."""
    pixels = _decoded(stored, ("RGB", "L"), COLOR)
    return as_picture(pixels, 3, "dtype", stored.path)


def gray(stored: Stored) -> UInt8Array:
    """Return [H, W]; raise DataError as `rgb` does, and for a picture in color."""
    values = _decoded(stored, ("RGB", "L", "1"), GRAY).values
    if values.ndim == 2:
        return values
    first, *others = (np.ascontiguousarray(values[:, :, number]) for number in range(3))
    if any((first != other).any() for other in others):
        raise _mode(stored, "a picture in color", GRAY)
    return first


def _decoded(stored: Stored, modes: tuple[str, ...], expected: str) -> Pixels:
    try:
        pixels = decode_pixels(Content(stored.place, stored.content()), colors=True, formats=FORMATS)
    except DataError as error:
        raise DataError(error.message, place=stored.place, cause=error.cause, fix=REPLACE) from error
    if pixels.mode not in modes:
        raise _mode(stored, pixels.mode, expected)
    if pixels.alpha is not None:
        raise _mode(stored, f"{pixels.mode} with transparency", expected)
    if pixels.values_type != np.uint8:
        raise _mode(stored, f"{pixels.mode} of {8 * pixels.values_type.itemsize} bits a channel", expected)
    return pixels


def _mode(stored: Stored, found: str, expected: str) -> DataError:
    return DataError(f"is stored as {found}, published as {expected}", place=stored.place, fix=REPLACE)
