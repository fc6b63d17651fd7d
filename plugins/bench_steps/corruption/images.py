"""Images of a split under a corruption, as loaders read them; and one that shows what a severity is."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench_core.data.automatic import image_box
from bench_core.data.splits import Split
from bench_core.seeds import derive_seed
from bench_steps.corruption.apply import corrupted
from bench_steps.corruption.declared import Corruption
from bench_steps.corruption.exact import UInt8

TILE = 192
"""Largest side of an example's picture in pixels."""
_QUALITY, _TALLEST = 92, 65_000
"""Of a JPEG; none is higher than 65,535 pixels."""


@dataclass(frozen=True, eq=False)
class Corrupting:
    """What is done to an image when it is read, by its place in the arrays."""

    corruption: Corruption
    severity: int
    ids: tuple[str, ...]
    sizes: NDArray[np.int64] | None
    """Before the resize; None where nothing was resized."""
    resize: str

    def __call__(self, image: UInt8, place: int) -> UInt8:
        """Return the image [S, S, C] under the corruption; its padding stays as it is."""
        side = image.shape[0]
        size = (side, side) if self.sizes is None else self.sizes[place]
        box = image_box(size, side, self.resize)
        return corrupted(image, box, self.corruption, self.severity, self.ids[place])


def corrupting(split: Split, corruption: Corruption, severity: int, resize: str) -> Corrupting:
    """Return what corrupts the images of a split."""
    return Corrupting(corruption, severity, split.arrays.ids, split.arrays.sizes, resize)


def under(split: Split, corruption: Corruption, severity: int, resize: str) -> Split:
    """Return the same samples under a corruption."""
    return split.changed(corrupting(split, corruption, severity, resize))


def example_of(split: Split) -> int:
    """Return the position of the image that stands for the split: drawn by its id among those with a
    label."""
    shown = [
        place
        for place, index in enumerate(split.indices)
        if ((found := np.asarray(split.arrays.masks[index])) > 0).any() and (found < 255).any()
    ]
    return min(shown or range(len(split)), key=lambda place: derive_seed("example", split.ids[place]))


def strip(split: Split, position: int, conditions: Sequence[tuple[Corruption, int]], resize: str) -> bytes:
    """Return a JPEG of square pictures below each other: an image as it is, then under each condition."""
    from PIL import Image

    index = int(split.indices[position])
    image = np.asarray(split.arrays.images[index])
    every = [image]
    every += [corrupting(split, *condition, resize)(image, index) for condition in conditions]
    side = min(TILE, image.shape[0], _TALLEST // len(every))
    tiles = []
    for each in every:
        shown = each if each.shape[2] == 3 else each[:, :, 0]
        picture = Image.fromarray(np.ascontiguousarray(shown))
        tiles.append(np.asarray(picture.resize((side, side), Image.Resampling.BOX)))
    file = io.BytesIO()
    Image.fromarray(np.concatenate(tiles, axis=0)).save(file, "JPEG", quality=_QUALITY, subsampling=0)
    return file.getvalue()
