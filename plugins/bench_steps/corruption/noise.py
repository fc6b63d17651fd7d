"""Noise of sensors (Hendrycks and Dietterich, ICLR 2019: ImageNet-C, with its severities)."""

from __future__ import annotations

import numpy as np

from bench_steps.corruption.exact import UInt8, to_bytes

_GAUSSIAN = (0.08, 0.12, 0.18, 0.26, 0.38)
"""Standard deviation, as a share of the full range."""
_PHOTONS = (60, 25, 12, 5, 3)
"""Of a white pixel."""


def gaussian_noise(image: UInt8, severity: int, random: np.random.Generator, side: int) -> UInt8:
    """Add normal noise to every pixel and channel; severities differ in its amount alone."""
    noise = random.standard_normal(image.shape, dtype=np.float32)
    return to_bytes(image + noise * np.float32(255 * _GAUSSIAN[severity - 1]))


def shot_noise(image: UInt8, severity: int, random: np.random.Generator, side: int) -> UInt8:
    """Draw every pixel from a Poisson distribution around its number of photons."""
    white = _PHOTONS[severity - 1]
    return to_bytes(random.poisson(image * (white / 255.0)) * (255.0 / white))
