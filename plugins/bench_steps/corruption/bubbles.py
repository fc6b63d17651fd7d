"""Bubbles in gel or fluid: a dark rim, light that gathers inside it, and a small reflection.

Gel and bubbles are among the artifacts that dermoscopic images are annotated for (Bissoto et al., CVPR
Workshops 2019); bubbles are one of the classes of artifacts in endoscopy (Ali et al., Scientific Reports
2020: EAD2019).
"""

from __future__ import annotations

import numpy as np

from bench_steps.corruption.exact import UInt8, luminance, to_bytes
from bench_steps.corruption.view import view_of

_BUBBLES = (6, 14, 26, 44, 70)
_REACH = 1.25
"""A bubble's patch, in radii."""


def bubbles(image: UInt8, severity: int, random: np.random.Generator, side: int) -> UInt8:
    """Draw bubbles over the image; a higher severity has the bubbles of the lower ones, and more."""
    height, width = image.shape[:2]
    found = image.astype(np.float64)
    light = random.random() * 2 * np.pi
    swarms = random.random((6, 2)) * (height, width)
    drawn = [_bubble(random, swarms, height, width, side) for _ in range(_BUBBLES[-1])]
    for down, across, radius in drawn[: _BUBBLES[severity - 1]]:
        _draw(found, down, across, radius, light)
    view = view_of(luminance(image))[:, :, None]
    return np.where(view, to_bytes(found), image)


def _bubble(
    random: np.random.Generator, swarms: np.ndarray, height: int, width: int, side: int
) -> tuple[float, float, float]:
    """Return the place and radius of one bubble, most of them near others."""
    near = swarms[random.integers(len(swarms))] + 0.09 * side * random.standard_normal(2)
    free = random.random(2) * (height, width)
    down, across = near if random.random() < 0.7 else free
    radius = min(0.006 + 0.008 * float(np.exp(0.6 * random.standard_normal())), 0.06)
    return float(down), float(across), side * radius


def _draw(found: np.ndarray, down: float, across: float, radius: float, light: float) -> None:
    reach = _REACH * radius + 1
    top, left = max(0, int(down - reach)), max(0, int(across - reach))
    bottom, right = int(down + reach) + 1, int(across + reach) + 1
    part = found[top:bottom, left:right]
    if part.shape[0] < 1 or part.shape[1] < 1:
        return
    rows = (np.arange(top, top + part.shape[0]) - down)[:, None] / radius
    columns = (np.arange(left, left + part.shape[1]) - across)[None, :] / radius
    apart, facing = np.hypot(rows, columns), np.arctan2(rows, columns) - light
    # Rims are at least a pixel wide, however small the bubble.
    thin = max(0.09, 0.7 / radius)
    dark = 0.55 * np.exp(-(((apart - 0.97) / thin) ** 2))
    inside = np.clip((0.96 - apart) / 0.16, 0, 1)
    glow = inside * (0.10 + 0.30 * np.clip(-np.cos(facing), 0, 1) * apart**2)
    spot = np.hypot(rows - 0.5 * np.sin(light), columns - 0.5 * np.cos(light))
    shine = 0.9 * np.exp(-((spot / max(0.16, 0.6 / radius)) ** 2)) * inside
    part *= (1.0 - dark)[:, :, None]
    part += (255.0 - part) * np.clip(glow + shine, 0, 1)[:, :, None]
