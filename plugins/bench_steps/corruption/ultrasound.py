"""Ultrasound: speckle, and shadows behind what lets no sound through.

Speckle is multiplicative (Burckhardt, IEEE Transactions on Sonics and Ultrasonics 1978); its severities are
those of the speckle noise of ImageNet-C (Hendrycks and Dietterich, ICLR 2019). Its grain is wider across the
beam than along. Shadows follow the beams: from the tip of a sector or, of a linear probe, straight down
(Feldman et al., RadioGraphics 2009).
"""

from __future__ import annotations

import numpy as np

from bench_steps.corruption.beams import beams_of
from bench_steps.corruption.exact import UInt8, field, luminance, smoothed, step, to_bytes

_SPECKLE = (0.15, 0.2, 0.35, 0.45, 0.6)
_SHADOWS = (1, 1, 2, 2, 3)
_WIDTH = (0.05, 0.07, 0.085, 0.105, 0.115)
"""Half of a shadow, as a share of all beams."""
_DEPTH = (0.55, 0.7, 0.8, 0.88, 0.94)
"""Share of the brightness that is lost."""


def speckle(image: UInt8, severity: int, random: np.random.Generator, side: int) -> UInt8:
    """Multiply by noise around 1; severities differ in its amount alone."""
    noise = random.standard_normal(image.shape[:2])
    grain = smoothed(noise, 0.0025 * side, 0.005 * side)
    grain /= max(float(np.sqrt((grain**2).mean())), 1e-9)
    return to_bytes(image * (1.0 + _SPECKLE[severity - 1] * grain)[:, :, None])


def acoustic_shadow(image: UInt8, severity: int, random: np.random.Generator, side: int) -> UInt8:
    """Darken bands of beams from some depth on; a higher severity has wider, darker and more of them."""
    gray = luminance(image)
    beam, depth = beams_of(gray)
    ragged = field(random, gray.shape, 0.05 * side, 2) - 0.5
    kept = np.ones(gray.shape)
    first = random.random()
    places = [(first + number / 3 + 0.12 * (random.random() - 0.5)) % 1.0 for number in range(_SHADOWS[-1])]
    starts = [0.06 + 0.22 * random.random() for _ in places]
    for place, start in list(zip(places, starts, strict=True))[: _SHADOWS[severity - 1]]:
        # Not at the very edge of the sector, where there is nothing to hide.
        apart = np.abs(beam - (0.18 + 0.64 * place))
        half = _WIDTH[severity - 1]
        soft = 0.35 * half + 0.02 * depth
        across = step((half - apart - 0.03 * ragged) / soft)
        along = step((depth - start - 0.03 * ragged) / 0.05)
        kept = np.minimum(kept, 1.0 - _DEPTH[severity - 1] * across * along)
    return to_bytes(image * kept[:, :, None])
