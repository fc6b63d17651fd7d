"""Exposure and contrast.

Contrast is drawn towards the mean as in ImageNet-C (Hendrycks and Dietterich, ICLR 2019); less of it is
lost, since structures that are faint already would be gone. Its brightness is added, which turns the black
around a sector or an endoscope's image gray; here light is multiplied, as exposure and gain do, so that
black stays black.
"""

from __future__ import annotations

import numpy as np

from bench_steps.corruption.exact import UInt8, luminance, to_bytes
from bench_steps.corruption.view import view_of

_MORE = (1.15, 1.3, 1.5, 1.75, 2.1)
_LESS = (0.75, 0.55, 0.4, 0.28, 0.18)
_CONTRAST = (0.7, 0.5, 0.35, 0.25, 0.15)
"""Share of the distance from the mean that is left."""


_BYTES = np.arange(256, dtype=np.float64)


def brightness_up(image: UInt8, severity: int, random: np.random.Generator, side: int) -> UInt8:
    """Multiply; what exceeds the range is cut off, as where an exposure is too long."""
    return np.take(to_bytes(_BYTES * _MORE[severity - 1]), image)


def brightness_down(image: UInt8, severity: int, random: np.random.Generator, side: int) -> UInt8:
    """Multiply by less than 1; what falls between two of the 256 steps is lost."""
    return np.take(to_bytes(_BYTES * _LESS[severity - 1]), image)


def contrast(image: UInt8, severity: int, random: np.random.Generator, side: int) -> UInt8:
    """Draw each channel towards its mean, within the view of a framed image."""
    view = view_of(luminance(image))
    means = image[view].sum(axis=0, dtype=np.int64) / max(np.count_nonzero(view), 1)
    found = np.empty_like(image)
    for channel, mean in enumerate(means):
        table = to_bytes(mean + (_BYTES - mean) * _CONTRAST[severity - 1])
        found[:, :, channel] = np.take(table, image[:, :, channel])
    return np.where(view[:, :, None], found, image)
