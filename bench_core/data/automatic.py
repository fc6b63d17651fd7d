"""What every image with its mask says of itself: size, contrast, border contact, components, sharpness.

Each number is of the grid that models are tested on, and is made of whole numbers by one division or root, so
that it is the same on every machine. `bench_core.samples.automatic_name` names the grid and the definition.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bench_core.data.arrays import CachedArrays
from bench_core.declarations import IGNORE
from bench_core.samples import AUTOMATIC, Samples, automatic_name

UInt8 = NDArray[np.uint8]
RING = 32
"""The ring around a structure is one part in so many of the grid's side wide."""
_DIGITS = 6
"""Significant digits that are kept."""


def with_automatic(
    samples: Samples,
    arrays: CachedArrays,
    indices: Sequence[int] | NDArray[np.int64],
    resize: str,
    padding: str,
) -> Samples:
    """Return the samples with the automatic attributes of some images, those that are known already kept.

    `indices` are places in `arrays`, whose samples they are; `resize` and `padding` are those of the cache.
    """
    name = automatic_name(arrays.images.shape[1], resize, padding)
    held = samples.automatic.get(name, {})
    columns = {key: list(held.get(key, (None,) * len(samples.ids))) for key in AUTOMATIC}
    for index in indices:
        if columns["size"][index] is None:
            box = image_box(samples.sizes[index], arrays.images.shape[1], resize)
            found = automatic(np.asarray(arrays.images[index]), np.asarray(arrays.masks[index]), box)
            for key, value in found.items():
                columns[key][index] = value
    return samples.with_automatic(name, {key: tuple(column) for key, column in columns.items()})


def automatic(image: UInt8, mask: UInt8, box: tuple[slice, slice]) -> dict[str, float | None]:
    """Return the automatic attributes of an image [S, S, C] with its mask [S, S]; None where undefined.

    `box` is where the image lies in the grid; the rest is padding. All foreground classes together are the
    structure; IGNORE belongs to nothing.

    - size: pixels of the structure over pixels of the box.
    - contrast: distance of the mean color of the structure from that of a ring of background around it, the
      root of the mean square over channels, as a share of the full range. None without structure or ring.
    - border: share of the box's outermost pixels that are structure.
    - components: 8-connected components of each class, summed over classes.
    - sharpness: variance of the Laplacian (4 neighbors) of the luminance in 8-bit steps, within the box
      (Pech-Pacheco et al., ICPR 2000). None for a box of fewer than 5 pixels a side.
    """
    structure = (mask > 0) & (mask != IGNORE)
    height, width = (part.stop - part.start for part in box)
    planes = [np.ascontiguousarray(image[:, :, channel]) for channel in range(image.shape[2])]
    frame = structure[box]
    outermost = 2 * (height + width) - 4 if min(height, width) > 1 else height * width
    touching = np.count_nonzero(frame) - np.count_nonzero(frame[1:-1, 1:-1])
    return {
        "size": _kept(np.count_nonzero(structure) / (height * width)),
        "contrast": _contrast(planes, structure, mask, box),
        "border": _kept(touching / outermost),
        "components": float(components(mask * structure)),
        "sharpness": _sharpness(_luminance(planes), box),
    }


def image_box(size: Sequence[int] | NDArray[np.int64], side: int, resize: str) -> tuple[slice, slice]:
    """Return the rows and columns of a square of `side` pixels that hold nothing but the image.

    `size` is (height, width) before the resize. "stretch" fills the square; "pad-square" centers the image,
    an odd pixel of padding going to the right or bottom.
    """
    if resize != "pad-square":
        return slice(0, side), slice(0, side)
    longer = int(max(size))
    found = []
    for length in map(int, size):
        start = (longer - length) // 2
        first, last = -(-start * side // longer), (start + length) * side // longer
        found.append(slice(first, last) if first < last else _one_pixel(start * side // longer, side))
    return found[0], found[1]


def components(mask: UInt8) -> int:
    """Return the number of 8-connected components of the labels above 0 of a mask, each label by itself."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return 0
    inner = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    wide = inner.shape[1] + 1
    # One empty column at the end of each row keeps runs of two rows apart.
    flat = np.zeros((inner.shape[0], wide), dtype=np.uint8)
    flat[:, :-1] = inner
    line = flat.ravel()
    changes = np.concatenate(([0], np.flatnonzero(line[1:] != line[:-1]) + 1))
    ends = np.append(changes[1:], line.size)
    used = line[changes] > 0
    starts, ends = changes[used], ends[used]
    labels = line[starts]
    # A run meets those of the next row that begin before its end and end after its start, corners included.
    low = np.searchsorted(ends, starts + wide - 1, side="right")
    counts = np.maximum(np.searchsorted(starts, ends + wide + 1, side="left") - low, 0)
    upper = np.repeat(np.arange(len(starts)), counts)
    lower = np.arange(len(upper)) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(low, counts)
    same = labels[upper] == labels[lower]
    return _sets(len(starts), upper[same], lower[same])


def _sets(count: int, one: NDArray[np.intp], other: NDArray[np.intp]) -> int:
    """Return how many sets of `count` things are left when the pairs are joined."""
    root = np.arange(count)
    while True:
        mine, theirs = root[one], root[other]
        if np.array_equal(mine, theirs):
            return len(np.unique(root))
        low = np.minimum(mine, theirs)
        np.minimum.at(root, mine, low)
        np.minimum.at(root, theirs, low)
        while not np.array_equal(shorter := root[root], root):
            root = shorter


def _contrast(
    planes: Sequence[UInt8], structure: NDArray[np.bool_], mask: UInt8, box: tuple[slice, slice]
) -> float | None:
    rows, columns = np.flatnonzero(structure.any(axis=1)), np.flatnonzero(structure.any(axis=0))
    if not rows.size:
        return None
    reach = max(1, len(mask) // RING)
    near = tuple(
        slice(max(part.start, int(found[0]) - reach), min(part.stop, int(found[-1]) + reach + 1))
        for part, found in zip(box, (rows, columns), strict=True)
    )
    inside = structure[near]
    ring = _spread(_spread(inside, reach).T, reach).T & (mask[near] == 0)
    number, around = np.count_nonzero(inside), np.count_nonzero(ring)
    if not number or not around:
        return None
    square = 0.0
    for plane in planes:
        part = plane[near]
        # Products of whole arrays: picking single pixels takes many times longer.
        mine, theirs = ((part * area).sum(dtype=np.int64) for area in (inside, ring))
        square += (int(mine * around - theirs * number) / (number * around)) ** 2
    return _kept(math.sqrt(square / len(planes)) / 255)


def _spread(area: NDArray[np.bool_], reach: int) -> NDArray[np.bool_]:
    """Return which pixels have one of the area at most `reach` rows above or below."""
    length = area.shape[0]
    padded = np.zeros((length + 2 * reach, area.shape[1]), dtype=bool)
    padded[reach : reach + length] = area
    whole, width = 2 * reach + 1, 1
    while width < whole:
        step = min(width, whole - width)
        padded[:-step] |= padded[step:].copy()
        width += step
    return padded[:length]


def _luminance(planes: Sequence[UInt8]) -> NDArray[np.int16]:
    """Return the luminance [S, S] in 8-bit steps: Rec. 601 of three channels, else the mean of channels."""
    if len(planes) == 3:
        weighted = np.zeros(planes[0].shape, dtype=np.uint16)
        for plane, weight in zip(planes, (77, 150, 29), strict=True):
            weighted += np.multiply(plane, weight, dtype=np.uint16)
        weighted >>= 8
        return weighted.view(np.int16)
    if len(planes) == 1:
        return planes[0].astype(np.int16)
    total: NDArray[np.int64] = np.sum(planes, axis=0, dtype=np.int64)
    return (total // len(planes)).astype(np.int16)


def _sharpness(light: NDArray[np.int16], box: tuple[slice, slice]) -> float | None:
    # The resize mixes the outermost pixels with the padding.
    inner = light[box][1:-1, 1:-1]
    if min(inner.shape) < 3:
        return None
    curved = inner[:-2, 1:-1] + inner[2:, 1:-1]
    curved += inner[1:-1, :-2]
    curved += inner[1:-1, 2:]
    curved -= 4 * inner[1:-1, 1:-1]
    # Whole numbers below 2**53: float64 adds them exactly, whatever the order.
    values = curved.ravel().astype(np.float64)
    total = int(values.sum())
    values *= values
    squares = int(values.sum())
    return _kept((squares * values.size - total**2) / values.size**2)


def _kept(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")


def _one_pixel(start: int, side: int) -> slice:
    first = min(start, side - 1)
    return slice(first, first + 1)
