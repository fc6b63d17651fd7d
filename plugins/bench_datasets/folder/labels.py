"""From mask values or colors to class indices."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench_core.data.samples import UInt8Array
from bench_core.errors import DataError
from bench_datasets.folder.classes import Classes
from bench_datasets.folder.pixels import decode_mask

UNKNOWN = 255
LISTED = 5
"""Unknown values that a message lists, the most frequent first."""


def read_mask(path: Path, classes: Classes) -> UInt8Array:
    """Return uint8 class indices [H, W]; raise DataError listing values or colors that mean no class."""
    colors = bool(classes.colors)
    pixels = decode_mask(path, colors=colors)
    if colors:
        pixels = _packed(pixels)
    if pixels.dtype == np.uint8:
        # Almost every mask: classify 256 values instead of millions of pixels.
        labels: UInt8Array = _classify(np.arange(256), classes)[pixels]
    else:
        labels = _classify(pixels.astype(np.int64), classes)
    unknown = labels == UNKNOWN
    if unknown.any():
        raise _unknown(path, pixels[unknown], colors)
    return labels


def _classify(values: NDArray[np.int64], classes: Classes) -> UInt8Array:
    """Return the class index of each value (or packed color), UNKNOWN where there is none."""
    known = classes.values or {
        (red << 16) | (green << 8) | blue: label for (red, green, blue), label in classes.colors.items()
    }
    keys = np.array(sorted(known), dtype=np.int64)
    labels = np.array([known[int(key)] for key in keys], dtype=np.uint8)
    if classes.nearest:
        return labels[_nearest(values, keys, bool(classes.colors))]
    position = np.searchsorted(keys, values).clip(0, len(keys) - 1)
    other = 0 if classes.rest_is_background else UNKNOWN
    return np.where(keys[position] == values, labels[position], np.uint8(other))


def _packed(colors: NDArray[Any]) -> NDArray[np.int64]:
    wide = colors.astype(np.int64)
    packed: NDArray[np.int64] = (wide[:, :, 0] << 16) | (wide[:, :, 1] << 8) | wide[:, :, 2]
    return packed


def _nearest(values: NDArray[np.int64], keys: NDArray[np.int64], colors: bool) -> NDArray[np.int64]:
    """Return for each pixel the position of the key nearest to it (in RGB for colors)."""
    best = np.full(values.shape, np.iinfo(np.int64).max)
    chosen = np.zeros(values.shape, dtype=np.int64)
    for position, key in enumerate(keys):
        if colors:
            distance = sum(
                (((values >> shift) & 255) - ((int(key) >> shift) & 255)) ** 2 for shift in (16, 8, 0)
            )
        else:
            distance = np.abs(values - key)
        closer = distance < best
        best = np.where(closer, distance, best)
        chosen[closer] = position
    return chosen


def _unknown(path: Path, values: NDArray[Any], colors: bool) -> DataError:
    found, counts = np.unique(values, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    shown = [
        f"{f'#{int(found[number]):06x}' if colors else int(found[number])} ({counts[number]} pixels)"
        for number in order[:LISTED]
    ]
    rest = f" and {len(found) - LISTED} more" if len(found) > LISTED else ""
    return DataError(
        f"the mask holds {'colors' if colors else 'values'} that mean no class: {', '.join(shown)}{rest}",
        place=str(path),
        fix="add them to `classes` or `background`; `background: rest` for all others; `nearest: true` for "
        "JPEG masks, whose values are not exact",
    )
