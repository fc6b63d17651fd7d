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
    if not classes.colors:
        values = decode_mask(path, colors=False).astype(np.int64)
        known = classes.values
    else:
        values = _packed(decode_mask(path, colors=True))
        known = {
            (red << 16) | (green << 8) | blue: label for (red, green, blue), label in classes.colors.items()
        }
    keys = np.array(sorted(known), dtype=np.int64)
    labels = np.array([known[int(key)] for key in keys], dtype=np.uint8)
    if classes.nearest:
        return labels[_nearest(values, keys, bool(classes.colors))]
    position = np.searchsorted(keys, values).clip(0, len(keys) - 1)
    exact = keys[position] == values
    if not exact.all() and not classes.rest_is_background:
        raise _unknown(path, values[~exact], bool(classes.colors))
    return np.where(exact, labels[position], 0).astype(np.uint8)


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


def _unknown(path: Path, values: NDArray[np.int64], colors: bool) -> DataError:
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
