"""Sums of whole numbers, so that an image is the same on every machine, and smooth fields to draw with."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

UInt8 = NDArray[np.uint8]
Float = NDArray[np.float64]
_UNIT = 1 << 16
"""Weights of a kernel are whole numbers that add up to this."""


def to_bytes(values: NDArray[np.floating[Any]]) -> UInt8:
    """Return values in 8-bit steps, rounded and cut to 0..255."""
    found: UInt8 = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return found


def blurred(image: UInt8, kernel: Float) -> UInt8:
    """Return an image [H, W, C] convolved with a kernel [A, B] of odd sides, mirrored at its edges.

    The kernel is scaled to a sum of 1 and made point-symmetric, so that nothing is moved.
    """
    import cv2

    weights = _whole(kernel, _UNIT)
    # Products and sums of whole numbers are exact in doubles; by a Fourier transform nearly.
    planes = [
        np.rint(cv2.filter2D(plane, cv2.CV_64F, weights, borderType=cv2.BORDER_REFLECT))
        for plane in _planes(image)
    ]
    return to_bytes(np.stack(planes, axis=2) / _UNIT)


def blurred_by_line(image: UInt8, line: Float) -> UInt8:
    """Return an image [H, W, C] convolved with a line [A] of odd length in both directions."""
    import cv2

    weights = _whole(line[None, :], _UNIT)[0]
    planes = [
        cv2.sepFilter2D(plane, cv2.CV_64F, weights, weights, borderType=cv2.BORDER_REFLECT)
        for plane in _planes(image)
    ]
    return to_bytes(np.stack(planes, axis=2) / _UNIT**2)


def _whole(kernel: Float, total: int) -> Float:
    """Return a point-symmetric kernel of whole numbers with this sum; the middle takes what rounding
    leaves."""
    even = kernel + kernel[::-1, ::-1]
    weights: Float = np.rint(even / even.sum() * total)
    weights[weights.shape[0] // 2, weights.shape[1] // 2] += total - weights.sum()
    return weights


def _planes(image: UInt8) -> list[UInt8]:
    return [np.ascontiguousarray(image[:, :, channel]) for channel in range(image.shape[2])]


def smoothed(plane: Float, down: float, across: float) -> Float:
    """Return a plane [H, W] under a Gaussian of these standard deviations in pixels."""
    import cv2

    found = cv2.sepFilter2D(
        np.ascontiguousarray(plane),
        cv2.CV_64F,
        gaussian(across),
        gaussian(down),
        borderType=cv2.BORDER_REFLECT,
    )
    return np.asarray(found, dtype=np.float64)


def gaussian(sigma: float) -> Float:
    """Return a Gaussian [2 R + 1] of sum 1, cut off at 3.5 standard deviations."""
    radius = max(1, int(np.ceil(3.5 * sigma)))
    values: Float = np.exp(-0.5 * (np.arange(-radius, radius + 1) / max(sigma, 1e-3)) ** 2)
    line: Float = values / values.sum()
    return line


def field(random: np.random.Generator, shape: tuple[int, int], scale: float, octaves: int = 4) -> Float:
    """Return smooth noise [H, W] from 0 to 1; features are about `scale` pixels wide, finer ones fainter.

    Value noise: random numbers on a lattice, interpolated by smoothstep, octave by octave.
    """
    total = np.zeros(shape)
    for octave in range(octaves):
        cell = max(scale / 2**octave, 1.0)
        rows, columns = (int(length / cell) + 3 for length in shape)
        lattice = random.random((rows, columns))
        row, down = _between(shape[0], cell)
        column, right = _between(shape[1], cell)
        lines = lattice[row] * (1.0 - down)[:, None] + lattice[row + 1] * down[:, None]
        total += (lines[:, column] * (1.0 - right) + lines[:, column + 1] * right) / 2**octave
    low, high = total.min(), total.max()
    spread: Float = (total - low) / (high - low) if high > low else np.full(shape, 0.5)
    return spread


def _between(length: int, cell: float) -> tuple[NDArray[np.int64], Float]:
    """Return the lattice point before each pixel, and how far it is on its way to the next."""
    place = (np.arange(length) + 0.5) / cell
    low = np.floor(place).astype(np.int64)
    share = place - low
    return low, share * share * (3.0 - 2.0 * share)


def mixed(image: UInt8, color: Float, opacity: Float) -> UInt8:
    """Return an image [H, W, C] under a color of 3 numbers in 8-bit steps with an opacity [H, W] in [0, 1].

    One channel takes the color's luminance (ITU-R BT.601).
    """
    tint = color if image.shape[2] == 3 else np.array([color @ (0.299, 0.587, 0.114)])
    return to_bytes(image + (tint - image) * opacity[:, :, None])


def luminance(image: UInt8) -> Float:
    """Return the luminance [H, W] of an image of 1 or 3 channels; of others their mean."""
    if image.shape[2] == 3:
        red, green, blue = np.moveaxis(image.astype(np.float64), 2, 0)
        return np.asarray(0.299 * red + 0.587 * green + 0.114 * blue)
    return np.asarray(image.mean(axis=2), dtype=np.float64)


def step(values: Float) -> Float:
    """Return 0 far below 0, 1 far above, and a smooth slope from -0.5 to 0.5 between (smoothstep)."""
    share = np.clip(values + 0.5, 0, 1)
    slope: Float = share * share * (3.0 - 2.0 * share)
    return slope
