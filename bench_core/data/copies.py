"""Which images of a dataset are copies of each other: equal pixels, alike, or alike by the study's rule."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from bench_core.data.looks import SIDE, SYMMETRIES, bits_apart, low_of, turns
from bench_core.data.samples import UInt8Array

Pair = tuple[int, int]

STUDY_DISTANCE = 8
"""Two images are copies by the study's rule where their hashes differ in fewer bits.

Closed transitively it leaves 945 of the 1,000 NeoPolyp images, as the study counts them. On endoscopy most
of what it finds is not related: distances are even, and at 6 one pair in four shows one scene.
"""
LIKELY = 0.965
"""Least correlation of the low frequencies of two pictures' detail to compare them any further."""
_FREQUENCIES = 12
"""Of each direction; a perceptual hash is made of 8, which tell images of one kind too badly apart."""
ALIKE = 0.975
"""Least correlation of two small pictures, and of their detail, that are copies of each other.

Re-encoded, halved, brightened, mirrored and turned copies reach 0.98 and more in their detail; of drawn
lesions, polyps and hearts no two images reach 0.96.
"""
FLAT = 8.0
"""Gray levels of contrast (standard deviation) below which a small picture says nothing."""
MOST_COMPARED = 60_000
"""Images among which others than equal ones are looked for: each is compared with every other."""
_BLOCK = 512
_CHUNK = 16_384
_COARSE = 4
"""Means of so many squares a side are taken away to leave the detail of a picture."""


def equal_images(pixel_hashes: Sequence[str]) -> Iterator[Pair]:
    """Yield pairs of images with equal pixels, each image with the first one that it equals."""
    first: dict[str, int] = {}
    for number, digest in enumerate(pixel_hashes):
        known = first.setdefault(digest, number)
        if known != number:
            yield known, number


def study_pairs(hashes: NDArray[np.uint64]) -> Iterator[Pair]:
    """Yield pairs of images whose study hashes differ in fewer than 8 bits."""
    for start in range(0, len(hashes), _BLOCK):
        rows = hashes[start : start + _BLOCK, None]
        apart = bits_apart(rows, hashes[None, start:])
        for one, other in np.argwhere(apart < STUDY_DISTANCE):
            if one < other:
                yield start + int(one), start + int(other)


def near_pairs(pictures: UInt8Array) -> Iterator[Pair]:
    """Yield pairs of small gray pictures [N, 32, 32] that show one image, turned or mirrored or as it is.

    What a perceptual hash is made of, not cut to bits, chooses what is compared; correlation of the pictures
    and of their detail decides, so that images of one kind (slices, frames of an endoscope, flat ones) are
    not taken for copies. Brightness and contrast do not count. None are looked for among more than
    MOST_COMPARED images.
    """
    if len(pictures) > MOST_COMPARED:
        return
    usable = np.flatnonzero(pictures.reshape(len(pictures), SIDE * SIDE).std(axis=1) >= FLAT)
    if len(usable) < 2:
        return
    levels = _levels(pictures[usable])
    whole, detail = _unit(levels), _unit(_detail(levels))
    low = np.stack([_unit(low_of(detail[:, turn], _FREQUENCIES).astype(np.float32)) for turn in turns()])
    for start in range(0, len(usable), _BLOCK):
        found: set[Pair] = set()
        for symmetry in range(SYMMETRIES):
            likely = low[0, start : start + _BLOCK] @ low[symmetry, start:].T >= LIKELY
            ones, others = np.nonzero(likely)
            later = ones < others
            found.update(
                _confirmed(ones[later] + start, others[later] + start, turns()[symmetry], whole, detail)
            )
        yield from ((int(usable[one]), int(usable[other])) for one, other in sorted(found))


def near_between(pictures: UInt8Array, others: UInt8Array) -> Iterator[Pair]:
    """Yield pairs of a picture [N, 32, 32] and one of others [M, 32, 32] that show one image.

    They are compared as by `near_pairs`; none are looked for among more than MOST_COMPARED of either.
    """
    count = len(pictures)
    if max(count, len(others)) > MOST_COMPARED:
        return
    both = np.concatenate([pictures, others])
    usable = np.flatnonzero(both.reshape(len(both), SIDE * SIDE).std(axis=1) >= FLAT)
    first = int(np.searchsorted(usable, count))
    if not 0 < first < len(usable):
        return
    levels = _levels(both[usable])
    whole, detail = _unit(levels), _unit(_detail(levels))
    low = np.stack([_unit(low_of(detail[:, turn], _FREQUENCIES).astype(np.float32)) for turn in turns()])
    for start in range(0, first, _BLOCK):
        stop = min(start + _BLOCK, first)
        found: set[Pair] = set()
        for symmetry in range(SYMMETRIES):
            ones, theirs = np.nonzero(low[0, start:stop] @ low[symmetry, first:].T >= LIKELY)
            found.update(_confirmed(ones + start, theirs + first, turns()[symmetry], whole, detail))
        yield from ((int(usable[one]), int(usable[other]) - count) for one, other in sorted(found))


def _confirmed(
    ones: NDArray[np.int64],
    others: NDArray[np.int64],
    turn: NDArray[np.int64],
    whole: NDArray[np.float32],
    detail: NDArray[np.float32],
) -> Iterator[Pair]:
    for start in range(0, len(ones), _CHUNK):
        one, other = ones[start : start + _CHUNK], others[start : start + _CHUNK]
        for part in (whole, detail):
            alike = np.einsum("ij,ij->i", part[one], part[other][:, turn]) >= ALIKE
            one, other = one[alike], other[alike]
        yield from zip(one.tolist(), other.tolist(), strict=True)


def _levels(pictures: UInt8Array) -> NDArray[np.float32]:
    """Return pictures [N, 1024] as the mean of gray level and rank: what is cut off at black counts less."""
    rows = pictures.reshape(len(pictures), SIDE * SIDE)
    levels = np.empty(rows.shape, dtype=np.float32)
    for number, row in enumerate(rows):
        counted = np.bincount(row, minlength=256)
        ranks = (np.cumsum(counted) - counted / 2) * (255 / row.size)
        levels[number] = (ranks[row] + row) / 2
    return levels


def _detail(levels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return pictures [N, 1024] without their coarse brightness, which images of one kind share."""
    step = SIDE // _COARSE
    coarse = levels.reshape(-1, _COARSE, step, _COARSE, step).mean(axis=(2, 4))
    # Linear between the centers of the squares, so that it turns with the picture.
    table = _linear(step)
    return np.asarray(levels - (table @ coarse @ table.T).reshape(len(levels), -1), dtype=np.float32)


def _linear(step: int) -> NDArray[np.float32]:
    centers = (np.arange(_COARSE) + 0.5) * step
    places = np.arange(SIDE) + 0.5
    rows = [np.interp(places, centers, unit) for unit in np.eye(_COARSE)]
    return np.stack(rows, axis=1).astype(np.float32)


def _unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return rows [N, D] of mean 0 and length 1."""
    centered = rows - rows.mean(axis=1, keepdims=True)
    length = np.linalg.norm(centered, axis=1, keepdims=True)
    return np.asarray(centered / np.maximum(length, 1e-6), dtype=np.float32)


def joined(count: int, pairs: Iterable[Pair]) -> list[tuple[int, ...]]:
    """Return the clusters of two and more of `count` things that pairs connect, directly or by others."""
    return [found for found in partition(count, pairs) if len(found) > 1]


def partition(count: int, pairs: Iterable[Pair], keys: Sequence[Hashable] = ()) -> list[tuple[int, ...]]:
    """Return `count` things in clusters, by pairs and by equal keys, transitively; in order of the first."""
    parent = list(range(count))

    def root(number: int) -> int:
        while parent[number] != number:
            parent[number] = parent[parent[number]]
            number = parent[number]
        return number

    first: dict[Hashable, int] = {}
    same = ((first.setdefault(key, number), number) for number, key in enumerate(keys))
    for links in (same, pairs):
        for one, other in links:
            low, high = sorted((root(one), root(other)))
            parent[high] = low
    members: dict[int, list[int]] = defaultdict(list)
    for number in range(count):
        members[root(number)].append(number)
    return [tuple(found) for found in members.values()]
