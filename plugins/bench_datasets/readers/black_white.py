"""Published pictures and masks as arrays: masks are black and white, whatever their format made of it."""

from __future__ import annotations

from functools import reduce
from pathlib import Path

import numpy as np

from bench_core.data.picture import Picture
from bench_core.data.samples import UInt8Array
from bench_core.errors import DataError
from bench_datasets.decoding.pictures import decode_picture, decode_pixels

HIGH = 128
"""Mask values from here on are foreground."""
UNDECIDED = (64, 191)
"""Values in which a mask stored as JPEG, or smoothed once, says neither black nor white."""
MOST_UNDECIDED = 0.02
"""Part of a mask's pixels that may be undecided: the rims of shapes are, pictures mostly are."""
LARGEST_CHROMA = 32
"""Difference between the channels of a mask that JPEG may leave."""
NAMED = 3


def two_levels(path: Path, *, exact: bool, empty: bool = False) -> UInt8Array:
    """Return 1 where a mask is white [H, W]; raise DataError for one that is not black and white.

    `exact` masks hold 0 and 255 alone; the others (JPEG, smoothed) may hold values near them. Unless `empty`,
    a mask without foreground is an error.
    """
    values = _mask_values(path, 0 if exact else LARGEST_CHROMA)
    if exact:
        odd = (values != 0) & (values != 255)
        if odd.any():
            found, counts = np.unique(values[odd], return_counts=True)
            order = np.argsort(-counts, kind="stable")[:NAMED]
            shown = ", ".join(f"{found[at]} ({counts[at]} pixels)" for at in order)
            raise _unlike(path, f"holds values beside 0 and 255: {shown}")
    else:
        undecided = float(((values >= UNDECIDED[0]) & (values <= UNDECIDED[1])).mean())
        if undecided > MOST_UNDECIDED:
            raise _unlike(path, f"is neither black nor white in {undecided:.0%} of its pixels")
    mask = (values >= HIGH).view(np.uint8)
    if not empty and not mask.any():
        raise _unlike(path, f"shows nothing: its highest value is {int(values.max())}")
    return mask


def _mask_values(path: Path, chroma: int) -> UInt8Array:
    """Return gray values [H, W] from 0 (black) to 255 (white), whose channels differ by at most `chroma`."""
    pixels = decode_pixels(path, colors=True)
    if pixels.values.dtype != np.uint8:
        raise _unlike(path, f"holds {pixels.values.dtype} values instead of 8 bits")
    values: UInt8Array = pixels.values
    if values.ndim == 3:
        red, *others = (np.ascontiguousarray(values[:, :, number]) for number in range(values.shape[2]))
        high, low = reduce(np.maximum, others, red), reduce(np.minimum, others, red)
        if int((high - low).max()) > chroma:
            raise _unlike(path, "is in color")
        values = red
    if pixels.full is not None and pixels.full[1] not in (0, 255):
        values = np.round(values * (255 / pixels.full[1])).astype(np.uint8)
    return 255 - values if pixels.inverted else values


def _unlike(path: Path, what: str) -> DataError:
    return DataError(
        f"the mask {what}; published masks are black (0) and white (255)",
        place=str(path),
        fix="unpack it again; if it is a picture, image and mask folders are exchanged",
    )


def color_image(path: Path) -> Picture:
    """Return 3 channels."""
    return decode_picture(path, 3, "dtype")


def gray_image(path: Path) -> Picture:
    """Return 1 channel; colored marks become their luma (ITU-R BT.601)."""
    colors = decode_picture(path, 3, "dtype").array
    if (colors == colors[:, :, :1]).all():
        return Picture(np.ascontiguousarray(colors[:, :, :1]))
    weighted = colors.astype(np.uint32) @ np.array([299, 587, 114], dtype=np.uint32)
    return Picture(((weighted + 500) // 1000).astype(np.uint8)[:, :, None])
