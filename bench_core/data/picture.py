"""An image on its way from a reader to the cache, as an array or as Pillow decoded it."""

from __future__ import annotations

from functools import cached_property
from typing import Any, Protocol, runtime_checkable

import numpy as np

from bench_core.data.samples import Reader, Sample, UInt8Array

MODES = {"L": 1, "RGB": 3}
"""Pillow's names of gray and color images with 8 bits a channel, and their channels."""


class Picture:
    """One image: an array [H, W, C], or a Pillow image; each is made of the other where it is asked for.

    Pillow resizes its own images only, so that an array made of one would be turned back: at 3000 x 2000
    pixels both together cost a quarter of the decoding.
    """

    def __init__(self, given: Any) -> None:
        self._given = given

    @property
    def shape(self) -> tuple[int, ...]:
        """Height, width and channels."""
        if isinstance(self._given, np.ndarray):
            return self.array.shape
        return self._given.height, self._given.width, MODES[self._given.mode]

    @property
    def dtype(self) -> np.dtype[Any]:
        """That of the array."""
        return self._given.dtype if isinstance(self._given, np.ndarray) else np.dtype(np.uint8)

    @cached_property
    def array(self) -> UInt8Array:
        """[H, W, C]; read-only where Pillow decoded it."""
        if isinstance(self._given, np.ndarray):
            return self._given
        values = np.asarray(self._given)
        return values[:, :, None] if values.ndim == 2 else values

    @cached_property
    def planes(self) -> list[Any]:
        """Pillow images that together hold all channels: one in color, or one in gray for each channel."""
        from PIL import Image

        if not isinstance(self._given, np.ndarray):
            return [self._given]
        array, channels = self._given, self.shape[2]
        if channels == 3:
            return [Image.fromarray(np.ascontiguousarray(array))]
        return [Image.fromarray(np.ascontiguousarray(array[:, :, number])) for number in range(channels)]

    def thinned(self, width: int, height: int) -> Picture:
        """Return the picture made of some of its pixels, evenly spread."""
        from PIL import Image

        if len(self.planes) == 1:
            return Picture(self.planes[0].resize((width, height), Image.Resampling.NEAREST))
        wanted = ((height, self.shape[0]), (width, self.shape[1]))
        rows, columns = ((2 * np.arange(size) + 1) * side // (2 * size) for size, side in wanted)
        return Picture(self.array[rows][:, columns])

    @cached_property
    def gray(self) -> Any:
        """The image in gray (ITU-R BT.601 luma; the mean of other numbers of channels), a Pillow image."""
        from PIL import Image

        if len(self.planes) == 1:
            (plane,) = self.planes
            return plane if plane.mode == "L" else plane.convert("L")
        mean = self.array.mean(axis=2, dtype=np.float32)
        return Image.fromarray((mean + 0.5).astype(np.uint8))


@runtime_checkable
class PictureReader(Reader, Protocol):
    """A reader that need not make arrays of what it decodes."""

    def read_picture(self, sample: Sample) -> tuple[Picture, UInt8Array]:
        """Return and raise what `read` does, the image as it was decoded."""


def read_picture(reader: Reader, sample: Sample) -> tuple[Picture, UInt8Array]:
    """Return image and mask of a sample as cheaply as the reader can."""
    if isinstance(reader, PictureReader):
        return reader.read_picture(sample)
    image, mask = reader.read(sample)
    return Picture(image), mask
