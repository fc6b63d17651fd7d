"""Some of a dataset's samples, read from cached arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench_core.data.arrays import CachedArrays
from bench_core.errors import DataError

Change = Callable[[NDArray[np.uint8], int], NDArray[np.uint8]]
"""An image uint8 [S, S, C] and its place in the arrays to a changed one of the same shape.

It may be called in any process, and in any order.
"""


class Split:
    """Some of a dataset's samples, with the channels that the protocol asks for.

    Raises DataError if it holds no sample or its channels cannot become RGB.
    """

    def __init__(
        self,
        arrays: CachedArrays,
        indices: Sequence[int] | NDArray[np.int64],
        channels: Literal["rgb", "native"],
    ) -> None:
        self.arrays = arrays
        self.indices = np.asarray(indices, dtype=np.int64)
        self.channels = channels
        self.ids = tuple(arrays.ids[index] for index in self.indices)
        self.groups = tuple(arrays.groups[index] for index in self.indices)
        if not self.ids:
            raise DataError("a split holds no samples", fix="use fewer folds or more data")
        stored = arrays.images.shape[3]
        if channels == "rgb" and stored not in (1, 3):
            raise DataError(
                f"images with {stored} channels cannot become RGB", fix="set `protocol: {channels: native}`"
            )
        self.gray_as_rgb = channels == "rgb" and stored == 1
        """Stored with one channel, which stands for three equal ones."""
        self.change: Change | None = None
        """What is done to each image when it is read; masks stay as they are."""

    def changed(self, change: Change) -> Split:
        """Return the same samples with images that are changed when they are read, as stored in 8 bits."""
        found = Split(self.arrays, self.indices, self.channels)
        found.change = change
        return found

    def strided(self, start: int, step: int) -> Split:
        """Return every `step`-th sample from `start` on, read as here; raises DataError if that is none."""
        found = Split(self.arrays, self.indices[start::step], self.channels)
        found.change = self.change
        return found

    def __len__(self) -> int:
        return len(self.ids)

    def read(self, positions: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Return copies of images uint8 [B, C, H, W] and masks uint8 [B, H, W] at these positions."""
        images, masks = self.read_stored(positions)
        return as_rgb(images) if self.gray_as_rgb else images, masks

    def read_stored(self, positions: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Like `read`, with the channels of the cache: one where `gray_as_rgb`."""
        places = self.indices[list(positions)]
        pixels, labels = self.arrays.read(places)
        if self.change is not None:
            pixels = np.stack([self.change(*pair) for pair in zip(pixels, places.tolist(), strict=True)])
        return _planes(pixels), torch.from_numpy(np.ascontiguousarray(labels))


def as_rgb(images: Tensor) -> Tensor:
    """Return images [B, 3, H, W] of gray ones [B, 1, H, W]."""
    return images.repeat(1, 3, 1, 1)


def _planes(pixels: NDArray[np.uint8]) -> Tensor:
    """Return [B, C, H, W] of pixels [B, H, W, C]."""
    if pixels.shape[3] != 3:
        return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()
    planes = np.empty((len(pixels), 3, *pixels.shape[1:3]), dtype=np.uint8)
    for image, channels in zip(pixels, planes, strict=True):
        # Ten times faster than a transposed copy.
        cv2.split(image, list(channels))
    return torch.from_numpy(planes)
