"""Decode the JPEG and PNG files of published datasets strictly: what was not published so is refused."""

from __future__ import annotations

import warnings
from io import BytesIO
from typing import Any

import numpy as np

from bench_core.data.samples import UInt8Array
from bench_core.errors import DataError
from bench_datasets.decoding.pictures import MOST_PIXELS
from bench_datasets.readers.stored import REPLACE, Stored

FORMATS = ("JPEG", "PNG")
ORIENTATION = 0x0112
"""The EXIF tag by which a camera says how it was held; 1 is upright."""


def rgb(stored: Stored) -> UInt8Array:
    """Return [H, W, 3]; raise DataError for damage, other formats and more than 8 bits a channel."""
    image = _decoded(stored)
    if image.mode not in ("RGB", "L"):
        raise _mode(stored, image.mode, "RGB of 8 bits a channel")
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))


def gray(stored: Stored) -> UInt8Array:
    """Return [H, W]; raise DataError as `rgb` does, and for a picture in color."""
    image = _decoded(stored)
    if image.mode in ("L", "1"):
        return np.array(image.convert("L"))
    if image.mode != "RGB":
        raise _mode(stored, image.mode, "gray of 8 bits")
    pixels = np.array(image)
    if (pixels != pixels[:, :, :1]).any():
        raise _mode(stored, "a picture in color", "gray of 8 bits")
    return np.ascontiguousarray(pixels[:, :, 0])


def _decoded(stored: Stored) -> Any:
    from PIL import Image, ImageOps, UnidentifiedImageError

    content = stored.content()
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)
    try:
        with Image.open(BytesIO(content), formats=FORMATS) as image:
            if not 0 < image.width * image.height <= MOST_PIXELS:
                raise DataError(
                    f"its header promises {image.width} x {image.height} pixels",
                    place=stored.place,
                    fix=REPLACE,
                )
            image.load()
            # Turning makes a copy also of an image that lies as it should.
            upright = image.getexif().get(ORIENTATION, 1) == 1
            return image if upright else ImageOps.exif_transpose(image)
    except UnidentifiedImageError as error:
        raise DataError("is neither a JPEG nor a PNG picture", place=stored.place, fix=REPLACE) from error
    except (DataError, MemoryError):
        raise
    except Exception as error:  # Decoders raise almost anything on damaged input.
        reason = str(error) or type(error).__name__
        raise DataError(f"cannot be decoded: {reason}", place=stored.place, fix=REPLACE) from error


def _mode(stored: Stored, found: str, expected: str) -> DataError:
    return DataError(f"is stored as {found}, published as {expected}", place=stored.place, fix=REPLACE)
