"""Along which lines sound traveled in an ultrasound image, told by the shape of what is not black."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench_steps.corruption.exact import Float

_BLACK = 12
"""Gray values up to this are outside of the sector."""
_FEWEST_ROWS = 8
_NARROWER = 0.8
"""Of a sector the upper rows are narrower than this share of the widest."""


def beams_of(gray: Float) -> tuple[Float, Float]:
    """Return the beam [H, W] of each pixel, 0 at one edge to 1 at the other, and its depth, 0 to about 1.

    A sector's edges are two lines that meet above; where they are not found, beams run straight down, as
    those of a linear probe.
    """
    height, width = gray.shape
    rows, columns = np.arange(height)[:, None] + 0.5, np.arange(width)[None, :] + 0.5
    edges = _edges(gray > _BLACK)
    if edges is None:
        return np.broadcast_to(columns / width, gray.shape), np.broadcast_to(rows / height, gray.shape)
    (left_slope, left_start), (right_slope, right_start) = edges
    tip = (left_start - right_start) / (right_slope - left_slope)
    middle = left_slope * tip + left_start
    away = np.maximum(rows - tip, 1e-3)
    slope = (columns - middle) / away
    low, high = np.arctan(left_slope), np.arctan(right_slope)
    beam = (np.arctan(slope) - low) / (high - low)
    depth = np.hypot(rows - tip, columns - middle) / max(height - tip, 1.0)
    return beam, depth


def _edges(lit: NDArray[np.bool_]) -> tuple[tuple[float, float], tuple[float, float]] | None:
    """Return slope and start of the left and right edge (column = slope * row + start); None: no sector."""
    width = lit.shape[1]
    used = np.flatnonzero(lit.sum(axis=1) >= max(2, 0.02 * width))
    if used.size < _FEWEST_ROWS:
        return None
    left = np.array([np.flatnonzero(lit[row])[0] for row in used], dtype=np.float64)
    right = np.array([np.flatnonzero(lit[row])[-1] for row in used], dtype=np.float64) + 1.0
    span = right - left
    widest = int(np.argmax(span))
    upper = slice(0, max(_FEWEST_ROWS, int(0.75 * widest)))
    if span[upper].size < _FEWEST_ROWS or np.median(span[upper]) > _NARROWER * span[widest]:
        return None
    one = _line(used[upper], left[upper])
    other = _line(used[upper], right[upper])
    opening = other[0] - one[0]
    return (one, other) if opening > 0.15 else None


def _line(rows: NDArray[np.int64], columns: Float) -> tuple[float, float]:
    """Return slope and start of the line that half of the points lie on either side of (Theil and Sen)."""
    half = len(rows) // 2
    run = (rows[half : 2 * half] - rows[:half]).astype(np.float64)
    slope = float(np.median((columns[half : 2 * half] - columns[:half]) / run))
    return slope, float(np.median(columns - slope * (rows + 0.5)))
