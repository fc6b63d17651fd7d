"""Bright squares on a dark ground."""

from __future__ import annotations

import numpy as np

from bench_core import DatasetRequest
from bench_core.data.samples import Sample, UInt8Array

SIDE = 32
"""Pixels of an image."""


class Squares:
    """Draws samples on demand."""

    def __init__(self, count: int) -> None:
        self._count = count

    def samples(self) -> list[Sample]:
        """Return the samples, each a group of its own, with the half that its square lies in."""
        names = {number: f"square-{number}" for number in range(self._count)}
        return [
            Sample(id=name, group=name, attributes={"half": _half(number)}) for number, name in names.items()
        ]

    def read(self, sample: Sample) -> tuple[UInt8Array, UInt8Array]:
        """Draw image [H, W, 1] and mask [H, W]."""
        number = int(sample.id.rpartition("-")[2])
        draw, top, left = _corner(number)
        mask = np.zeros((SIDE, SIDE), dtype=np.uint8)
        mask[top : top + 12, left : left + 12] = 1
        image = draw.integers(0, 80, size=(SIDE, SIDE, 1), dtype=np.uint8) + 150 * mask[..., None]
        return image.astype(np.uint8), mask


def _corner(number: int) -> tuple[np.random.Generator, int, int]:
    draw = np.random.default_rng(number)
    top, left = draw.integers(0, SIDE // 2, size=2)
    return draw, int(top), int(left)


def _half(number: int) -> str:
    return "upper" if _corner(number)[1] < SIDE // 4 else "lower"


def open_squares(request: DatasetRequest) -> Squares:
    """Open the dataset; it needs no root."""
    return Squares(int(request.options["samples"]))
