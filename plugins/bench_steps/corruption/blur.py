"""Blur by point-symmetric kernels, which move nothing.

Kinds and severities of Gaussian blur and defocus are those of ImageNet-C (Hendrycks and Dietterich, ICLR
2019), whose images have 224 pixels a side; here lengths grow with the grid. Its motion blur has a one-sided
kernel, which moves the image: here a line lies symmetrically around each pixel.
"""

from __future__ import annotations

import numpy as np

from bench_steps.corruption.exact import Float, UInt8, blurred, blurred_by_line, gaussian

_SIDE = 224
"""Pixels of the images that the lengths below are of."""
_SIGMA = (1.0, 2.0, 3.0, 4.0, 6.0)
_RADIUS = (3.0, 4.0, 6.0, 8.0, 10.0)
_LENGTH = (6.0, 10.0, 15.0, 22.0, 30.0)
_LEAST = 0.5
"""Pixels: a kernel is at least a pixel wide, however small the grid."""
_FINE = 8
"""Points across a pixel, by which the edge of a disk or line is drawn."""


def gaussian_blur(image: UInt8, severity: int, random: np.random.Generator, side: int) -> UInt8:
    """Convolve with a Gaussian."""
    return blurred_by_line(image, gaussian(_SIGMA[severity - 1] * side / _SIDE))


def defocus(image: UInt8, severity: int, random: np.random.Generator, side: int) -> UInt8:
    """Convolve with a disk."""
    radius = max(_RADIUS[severity - 1] * side / _SIDE, _LEAST)
    points = _points(radius)
    inside = (points[:, None] ** 2 + points[None, :] ** 2 <= radius**2).astype(np.float64)
    return blurred(image, _pixels(inside))


def motion_blur(image: UInt8, severity: int, random: np.random.Generator, side: int) -> UInt8:
    """Convolve with a line in a direction drawn for the image."""
    angle, half = random.random() * np.pi, max(_LENGTH[severity - 1] * side / _SIDE / 2, _LEAST)
    points = _points(half)
    down, across = points[:, None], points[None, :]
    along = np.abs(across * np.cos(angle) + down * np.sin(angle))
    apart = np.abs(down * np.cos(angle) - across * np.sin(angle))
    return blurred(image, _pixels(((along <= half) & (apart <= 0.5)).astype(np.float64)))


def _points(radius: float) -> Float:
    """Return the places of fine points along one side of a kernel that holds the radius."""
    reach = max(1, int(np.ceil(radius + 0.5)))
    count = (2 * reach + 1) * _FINE
    return (np.arange(count) + 0.5) / _FINE - count / (2 * _FINE)


def _pixels(fine: Float) -> Float:
    """Return fine points added up to pixels."""
    count = fine.shape[0] // _FINE
    summed: Float = fine.reshape(count, _FINE, count, _FINE).sum(axis=(1, 3))
    return summed
