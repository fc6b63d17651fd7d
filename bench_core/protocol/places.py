"""Where an affine transform takes each pixel from."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_PIXELS = 1 << 15
"""So many pixels at a time, whose places stay in the processor's cache."""
_SLACK = 1
"""Pixels by which a row's span is taken wider than computed: what rounding could change."""
Floats = NDArray[np.float32]
Numbers = NDArray[np.int64]
Box = tuple[int, int, int, int]
"""Left, top, width and height, in pixels."""


@dataclass(frozen=True)
class Strip:
    """A part of the result, and the place in the source of each of its pixels."""

    part: tuple[slice, slice]
    """Rows and columns."""
    x: Floats
    """[rows, columns], in pixels; 0 is the middle of the first."""
    y: Floats


class Places:
    """The places of all pixels of an image [height, width] under float32 [2, 3] `coefficients`.

    These lead from a pixel's place, counted from the image's middle, to its source's, in halves of the
    image's width and height: as torch.nn.functional.grid_sample takes them. The result may be flipped.
    """

    def __init__(
        self, coefficients: Floats, height: int, width: int, *, leftright: bool = False, updown: bool = False
    ) -> None:
        self._coefficients = coefficients
        self._sizes = width, height
        self._across, self._down = _centered(width, leftright), _centered(height, updown)
        by_x, by_y, shift = np.hsplit(coefficients.astype(np.float64), 3)
        half = np.array([[0.5 * width], [0.5 * height]])
        step_x, step_y = (-1.0 if turned else 1.0 for turned in (leftright, updown))
        first = by_x * float(self._across[0]) + by_y * float(self._down[0]) + shift
        self.matrix = np.hstack([by_x * step_x * half, by_y * step_y * half, (first + 1.0) * half - 0.5])
        """float64 [2, 3]: from a pixel's column and row to its place in the source."""

    def strips(self, box: Box, beyond: float) -> Iterator[Strip]:
        """Yield all that comes from a box of the source's pixels and `beyond`, in pixels from their middles.

        What comes from elsewhere may be among it, too. Numbers are rounded after each operation, in the order
        of torchvision's matrix product and of grid_sample, so that also what lies halfway between two pixels
        goes where torchvision takes it. The arrays are overwritten by the next strip's.
        """
        begins, ends = self._spans(box, beyond)
        filled = np.flatnonzero(begins < ends)
        if not len(filled):
            return
        top, bottom, widest = int(filled[0]), int(filled[-1]) + 1, int(ends.max() - begins.min())
        rows = max(1, _PIXELS // widest)
        axes = [self._axis(number) for number in (0, 1)]
        scratch = torch.empty(2, min(rows, bottom - top) * widest)
        for start in range(top, bottom, rows):
            stop = min(start + rows, bottom)
            left, right = int(begins[start:stop].min()), int(ends[start:stop].max())
            found = []
            for (across, down, shift, one, half), room in zip(axes, scratch, strict=True):
                places = room[: (stop - start) * (right - left)].view(stop - start, right - left)
                # PyTorch adds rows and columns faster, numpy one number to all.
                torch.add(across[left:right], down[start:stop], out=places)
                plane = places.numpy()
                plane += shift
                plane += one
                if half != 1:
                    plane *= half
                plane -= np.float32(0.5)
                found.append(plane)
            yield Strip((slice(start, stop), slice(left, right)), *found)

    def _axis(self, number: int) -> tuple[Tensor, Tensor, np.float32, np.float32, np.float32]:
        """Return what columns and rows add to a place, its shift, 1 and half the size, which scale it.

        A factor that is a power of two may as well come first, since it changes no rounding.
        """
        by_x, by_y, shift = self._coefficients[number]
        half = np.float32(self._sizes[number] * 0.5)
        early, late = (half, np.float32(1)) if math.frexp(half)[0] == 0.5 else (np.float32(1), half)
        across, down = self._across * (by_x * early), self._down * (by_y * early)
        return torch.from_numpy(across), torch.from_numpy(down)[:, None], shift * early, early, late

    def _spans(self, box: Box, beyond: float) -> tuple[Numbers, Numbers]:
        """Return for each row the first column that comes from the box, and the one after the last."""
        width, height = self._sizes
        lows = np.array([[box[0] - beyond], [box[1] - beyond]])
        highs = lows + np.array([[box[2] - 1 + 2 * beyond], [box[3] - 1 + 2 * beyond]])
        starts = self.matrix[:, 1:2] * np.arange(height) + self.matrix[:, 2:]
        # A slope of next to nothing crosses no border within the image.
        slopes = np.where(np.abs(self.matrix[:, :1]) > 1e-9, self.matrix[:, :1], 1e-9)
        crossed = (lows - starts) / slopes, (highs - starts) / slopes
        begins = np.ceil(np.minimum(*crossed).max(axis=0)) - _SLACK
        ends = np.floor(np.maximum(*crossed).min(axis=0)) + (1 + _SLACK)
        begins, ends = (np.minimum(np.maximum(limits, 0.0), float(width)) for limits in (begins, ends))
        empty = begins >= ends
        begins[empty], ends[empty] = width, 0.0
        return begins.astype(np.int64), ends.astype(np.int64)


@lru_cache(maxsize=16)
def _centered(size: int, backward: bool) -> Floats:
    """Return places from the middle of `size` pixels, as torchvision computes them."""
    places: Floats = torch.linspace((1.0 - size) * 0.5, (size - 1.0) * 0.5, steps=size).numpy()
    return places[::-1].copy() if backward else places
