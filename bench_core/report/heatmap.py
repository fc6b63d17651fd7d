"""Heat maps as layers over an image: dark and clear where they are low, bright and dense where high."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench_core.report import pictures, svg

UInt8 = NDArray[np.uint8]
_STOPS = ((38, 12, 92), (120, 28, 125), (196, 55, 92), (242, 128, 38), (252, 233, 120))
"""From low to high: lightness rises throughout, so that order survives without hue."""
_LEVELS = 48
_CLEAR, _DENSE = 0.12, 0.82
MOST_CELLS = 64
"""Cells of a side that a picture keeps; finer maps are averaged, coarser ones smoothed by the page."""


def heat_layer(found: NDArray[np.generic]) -> UInt8:
    """Return a map [h, w] >= 0 as RGBA [h', w', 4], its largest value on top of the scale.

    A map that is not finite or nowhere above 0 is clear.
    """
    values = np.asarray(found, dtype=np.float64)
    scale = -(-max(values.shape) // MOST_CELLS)
    if scale > 1:
        height, width = (side // scale * scale for side in values.shape)
        blocks = values[:height, :width].reshape(height // scale, scale, width // scale, scale)
        values = blocks.mean(axis=(1, 3))
    top = values.max(initial=0.0)
    if not (np.isfinite(values).all() and top > 0):
        return np.zeros((*values.shape, 4), dtype=np.uint8)
    layer: UInt8 = _palette()[np.round(np.clip(values / top, 0, 1) * (_LEVELS - 1)).astype(np.intp)]
    return layer


def heat_key() -> str:
    """Return the swatch of the scale for a legend."""
    source = pictures.data_uri(pictures.layer(np.repeat(_palette()[None, ::4], 4, axis=0)))
    return svg.tag("img", src=source, alt="", class_="key heat").replace("/>", ">")


def _palette() -> UInt8:
    """Return the scale's colors [levels, 4], from low to high."""
    along = np.linspace(0, 1, _LEVELS)
    stops = np.array(_STOPS, dtype=np.float64)
    places = np.linspace(0, 1, len(stops))
    color = np.stack([np.interp(along, places, stops[:, channel]) for channel in range(3)], axis=1)
    alpha = 255 * (_CLEAR + (_DENSE - _CLEAR) * np.sqrt(along))
    return np.round(np.concatenate([color, alpha[:, None]], axis=1)).astype(np.uint8)
