"""Light in endoscopy: reflections on wet tissue, and smoke before it.

Specularity is one of the classes of artifacts in endoscopy (Ali et al., Scientific Reports 2020: EAD2019).
Smoke is the haze of Koschmieder's law, image * t + air * (1 - t) with a transmission t that varies smoothly,
as surgical smoke is drawn to measure its removal (Chen et al., IEEE Transactions on Medical Imaging 2020).
"""

from __future__ import annotations

import numpy as np

from bench_steps.corruption.exact import UInt8, field, luminance, mixed
from bench_steps.corruption.view import view_of

_SPOTS = (6, 13, 24, 38, 56)
_SIZE = (0.8, 0.95, 1.1, 1.3, 1.5)
_DENSITY = (0.22, 0.36, 0.5, 0.64, 0.78)


def specular_light(image: UInt8, severity: int, random: np.random.Generator, side: int) -> UInt8:
    """Draw saturated spots where tissue is bright already; a higher severity has more and larger ones."""
    height, width = image.shape[:2]
    # The lamp is beside the lens: what faces both is bright, and glares first.
    bright = np.cumsum(luminance(image).ravel() ** 2 + 1.0)
    rough = field(random, (height, width), 0.03 * side, 2)
    drawn = []
    for _ in range(_SPOTS[-1]):
        place = int(np.searchsorted(bright, random.random() * bright[-1], side="right"))
        place = min(place, height * width - 1)
        size = side * 0.0065 * np.exp(0.5 * random.standard_normal())
        drawn.append((place // width, place % width, size, 1 + 2 * random.random(), random.random() * np.pi))
    opacity = np.zeros((height, width))
    for down, across, size, long, angle in drawn[: _SPOTS[severity - 1]]:
        large = size * _SIZE[severity - 1]
        reach = int(6 * large * long) + 2
        rows = slice(max(0, down - reach), down + reach + 1)
        columns = slice(max(0, across - reach), across + reach + 1)
        y = (np.arange(height)[rows] - down)[:, None]
        x = (np.arange(width)[columns] - across)[None, :]
        along = (x * np.cos(angle) + y * np.sin(angle)) / (large * long)
        aside = (y * np.cos(angle) - x * np.sin(angle)) / large
        apart = np.hypot(along, aside) + 0.7 * (rough[rows, columns] - 0.5)
        core = np.clip((1.0 - apart) * 3.0 + 0.5, 0, 1)
        halo = 0.22 * np.exp(-0.5 * (np.clip(apart, 0, None) / 1.5) ** 2)
        # Beyond two thirds of the patch it fades, so that the patch has no edge.
        halo = halo * np.clip(3.0 - 3.0 * np.hypot(x, y) / reach, 0, 1)
        opacity[rows, columns] = np.maximum(opacity[rows, columns], np.maximum(core, halo))
    return mixed(image, np.array([255.0, 253.0, 248.0]), opacity)


def smoke(image: UInt8, severity: int, random: np.random.Generator, side: int) -> UInt8:
    """Lay smoke over the image that is thicker in some places; severities differ in density alone."""
    cloud = field(random, (image.shape[0], image.shape[1]), 0.45 * side, 5)
    opacity = _DENSITY[severity - 1] * (0.35 + 0.65 * cloud) * view_of(luminance(image))
    return mixed(image, np.array([206.0, 208.0, 212.0]), opacity)
