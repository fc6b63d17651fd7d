"""Colors of pictures: sets for right, added and missed pixels, and which set stands out on given images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

UInt8 = NDArray[np.uint8]
Color = tuple[int, int, int]


@dataclass(frozen=True)
class ErrorColors:
    """Colors of an error map; they differ in lightness, too, so that they are told apart without hue."""

    name: str
    hit: Color
    """True positive."""
    extra: Color
    """False positive."""
    missed: Color
    """False negative."""
    swapped: Color
    """Foreground of another class."""

    @property
    def all(self) -> tuple[Color, Color, Color, Color]:
        """In the order hit, extra, missed, swapped."""
        return (self.hit, self.extra, self.missed, self.swapped)


SETS = (
    ErrorColors("sky", (86, 180, 233), (230, 75, 0), (255, 230, 50), (170, 60, 200)),
    ErrorColors("green", (0, 190, 130), (35, 90, 255), (255, 230, 50), (235, 60, 190)),
    ErrorColors("dark", (0, 150, 110), (225, 30, 40), (40, 40, 210), (150, 20, 150)),
    ErrorColors("cyan", (0, 205, 220), (235, 40, 190), (255, 240, 90), (110, 60, 230)),
)
"""Okabe-Ito hues and neighbors of them, brightened."""
_SAMPLE = 4096


def standing_out(images: Sequence[UInt8]) -> ErrorColors:
    """Return the set whose least conspicuous color of an error is farthest from the images' pixels.

    `images` are RGB [H, W, 3] or gray [H, W, 1]. Distance is measured in CIELAB (CIE 1976), for each color
    the 10th percentile over pixels.
    """
    if not images:
        return SETS[0]
    parts = [image.reshape(-1, image.shape[2])[:: max(1, image.size // _SAMPLE)] for image in images]
    pixels = np.concatenate([part if part.shape[1] == 3 else np.repeat(part[:, :1], 3, 1) for part in parts])
    known = lab(pixels)

    def least(item: ErrorColors) -> float:
        colors = lab(np.array(item.all, dtype=np.uint8))
        away = np.linalg.norm(known[:, None] - colors[None], axis=2)
        return float(np.percentile(away, 10, axis=0).min())

    return max(SETS, key=least)


def lab(colors: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return sRGB colors [N, 3] as CIELAB [N, 3] under D65 (IEC 61966-2-1, CIE 15)."""
    share = colors.astype(np.float64) / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    ratio = linear @ to_xyz.T / np.array([0.9505, 1.0, 1.089])
    root = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio / (3 * (6 / 29) ** 2) + 4 / 29)
    x, y, z = root[:, 0], root[:, 1], root[:, 2]
    found: NDArray[np.float64] = np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)
    return found
