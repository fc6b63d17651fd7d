"""From mask values or colors to class indices."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench_core import IGNORE
from bench_core.data.samples import UInt8Array
from bench_core.errors import DataError
from bench_datasets.decoding.pictures import decode_mask
from bench_datasets.folder.classes import Classes

LISTED = 5
"""Unknown values that a message lists, the most frequent first."""


def read_mask(
    path: Path, classes: Classes, *, alpha: bool = False, upright: bool = True, page: int | None = None
) -> UInt8Array:
    """Return uint8 class indices [H, W]; raise DataError listing values or colors that mean no class."""
    colors = bool(classes.colors)
    pixels = decode_mask(path, colors=colors, alpha=alpha, upright=upright, page=page)
    return label_indices(pixels, classes, path)


def label_indices(pixels: NDArray[Any], classes: Classes, path: Path) -> UInt8Array:
    """Return the class indices of label values [H, W] or colors [H, W, 3], as `read_mask` does."""
    colors = bool(classes.colors)
    if colors:
        pixels = _packed(pixels)
    whole = pixels.dtype.kind != "f" or (np.isfinite(pixels).all() and (pixels == np.floor(pixels)).all())
    if not whole:
        raise DataError(
            "the mask holds values that are not whole numbers", place=str(path), fix="store its labels"
        )
    if pixels.dtype == np.uint8:
        return _looked_up(pixels, classes, path)
    labels, known = _classify(pixels.astype(np.int64), classes)
    if not known.all():
        raise _unknown(path, pixels[~known], colors)
    return np.asarray(labels, dtype=np.uint8)


def _looked_up(pixels: UInt8Array, classes: Classes, path: Path) -> UInt8Array:
    """Classify 256 values instead of millions of pixels, as almost every mask allows."""
    import cv2

    labels, known = _classify(np.arange(256), classes)
    if not known.all():
        strange = cv2.LUT(pixels, (~known).astype(np.uint8))
        if cv2.countNonZero(strange):
            raise _unknown(path, pixels[strange != 0], colors=False)
    return np.asarray(cv2.LUT(pixels, labels.astype(np.uint8)))


def joined(masks: Sequence[UInt8Array], paths: Sequence[Path]) -> UInt8Array:
    """Return the union of an image's masks [H, W]; raise DataError where two of them name other classes.

    A class counts more than background and than pixels that are ignored.
    """
    found = masks[0]
    for mask, path in zip(masks[1:], paths[1:], strict=True):
        taken = (found != 0) & (found != IGNORE)
        named = (mask != 0) & (mask != IGNORE)
        differ = int((taken & named & (found != mask)).sum())
        if differ:
            raise DataError(
                f"{differ} pixels are of another class than in a mask before it, of which the first is "
                f"{paths[0].name}",
                place=str(path),
                fix="correct the masks: a pixel is of one class",
            )
        found = np.where(named, mask, np.where(taken, found, np.maximum(found, mask)))
    return np.asarray(found, dtype=np.uint8)


def _classify(values: NDArray[np.int64], classes: Classes) -> tuple[UInt8Array, NDArray[np.bool_]]:
    """Return the label of each value (or packed color), and whether it has one."""
    known = classes.values or {
        (red << 16) | (green << 8) | blue: label for (red, green, blue), label in classes.colors.items()
    }
    keys = np.array(sorted(known), dtype=np.int64)
    labels = np.array([known[int(key)] for key in keys], dtype=np.uint8)
    if classes.nearest:
        return labels[_nearest(values, keys, bool(classes.colors))], np.ones(values.shape, dtype=bool)
    position = np.searchsorted(keys, values).clip(0, len(keys) - 1)
    listed = keys[position] == values
    found = np.where(listed, labels[position], np.uint8(classes.rest or 0))
    return found, listed | (classes.rest is not None)


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
        fix="add them to `classes`, `background` or `ignore`; `background: rest` or `ignore: rest` for all "
        "others; `nearest: true` for JPEG masks, whose values are not exact",
    )
