"""Layers over an image: which pixels are right, added or missed, as fill and as outlines.

Every pixel of a layer is decided on the full grid; a smaller picture averages what is drawn there, so that a
structure of one pixel fades and never vanishes or seems to match.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench_core.declarations import IGNORE
from bench_core.report.colors import ErrorColors
from bench_core.report.pictures import class_color, outline, pattern

UInt8 = NDArray[np.uint8]
NEITHER, HIT, EXTRA, MISSED, SWAPPED = range(5)
"""What a pixel is: background in both, right class, only predicted, only in the truth, two classes."""
STRONG, WEAK = 210, 130
"""Alpha of errors and of what is right, which covers the most."""
_IGNORED = (128, 128, 128)


def kinds(truth: UInt8, prediction: UInt8) -> UInt8:
    """Return HIT, EXTRA, MISSED or SWAPPED for each pixel [H, W]; NEITHER where the truth is IGNORE, too."""
    found = np.full(truth.shape, NEITHER, dtype=np.uint8)
    here, there = truth > 0, prediction > 0
    found[here & there] = SWAPPED
    found[here & (truth == prediction)] = HIT
    found[~here & there] = EXTRA
    found[here & ~there] = MISSED
    found[truth == IGNORE] = NEITHER
    return found


def error_fill(truth: UInt8, prediction: UInt8, colors: ErrorColors) -> UInt8:
    """Return the error map as RGBA [H, W, 4]."""
    return _painted(kinds(truth, prediction), colors)


def error_outlines(truth: UInt8, prediction: UInt8, colors: ErrorColors) -> UInt8:
    """Return the outlines of each class in truth and prediction as RGBA [H, W, 4].

    A line only in the truth has the color of what is missed, one only in the prediction that of what is
    added, and one in both that of what is right: no line lies over another.
    """
    seen = truth != IGNORE
    mine, theirs = np.zeros(truth.shape, dtype=bool), np.zeros(truth.shape, dtype=bool)
    both = np.zeros(truth.shape, dtype=bool)
    for label in np.union1d(truth[seen], prediction[seen]):
        if label:
            here, there = outline((truth == label) & seen), outline((prediction == label) & seen)
            both |= here & there
            mine, theirs = mine | here, theirs | there
    found = np.full(truth.shape, NEITHER, dtype=np.uint8)
    found[mine], found[theirs], found[mine & theirs], found[both] = MISSED, EXTRA, SWAPPED, HIT
    return _painted(found, colors, strong=255, weak=255)


def class_fill(labels: UInt8) -> UInt8:
    """Return classes filled in their colors and patterns as RGBA [H, W, 4]; what counts nowhere is gray."""
    found = np.zeros((*labels.shape, 4), dtype=np.uint8)
    for label in np.unique(labels[(labels > 0) & (labels != IGNORE)]):
        area = labels == label
        found[area & pattern(int(label), area.shape)] = (*class_color(int(label)), WEAK)
    rows, columns = np.indices(labels.shape)
    found[(labels == IGNORE) & ((rows + columns) % 4 < 2)] = (*_IGNORED, STRONG)
    return found


def class_outlines(labels: UInt8) -> UInt8:
    """Return the outlines of classes in their colors as RGBA [H, W, 4]."""
    found = np.zeros((*labels.shape, 4), dtype=np.uint8)
    for label in np.unique(labels[(labels > 0) & (labels != IGNORE)]):
        found[outline(labels == label)] = (*class_color(int(label)), 255)
    return found


def averaged(layer: UInt8, scale: int) -> UInt8:
    """Return RGBA averaged over blocks of `scale` pixels, colors weighted by their alpha."""
    if scale == 1:
        return layer
    height, width = (side // scale * scale for side in layer.shape[:2])
    blocks = layer[:height, :width].reshape(height // scale, scale, width // scale, scale, 4)
    alpha = blocks[..., 3:].astype(np.float64)
    total = alpha.sum(axis=(1, 3))
    color = (blocks[..., :3] * alpha).sum(axis=(1, 3)) / np.maximum(total, 1)
    found = np.concatenate([color, total / scale**2], axis=2)
    return np.round(found).astype(np.uint8)


def _painted(found: UInt8, colors: ErrorColors, strong: int = STRONG, weak: int = WEAK) -> UInt8:
    palette = np.zeros((5, 4), dtype=np.uint8)
    for kind, color in zip((HIT, EXTRA, MISSED, SWAPPED), colors.all, strict=True):
        palette[kind] = (*color, weak if kind == HIT else strong)
    painted: UInt8 = palette[found]
    return painted
