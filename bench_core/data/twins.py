"""Images that look like copies of each other, and ids that look like several images of one patient."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bench_core.data.samples import UInt8Array

SIDE = 16
"""Pixels of the side of a thumbnail."""
ALIKE = 0.04
"""Two thumbnails are alike where they differ by less than this part of their contrast.

Re-encoded and resized copies differ by at most 0.02, slices of a brain 6 mm apart by 0.12 and more.
"""
FLAT = 8.0
"""Gray levels of contrast (standard deviation) below which a thumbnail says nothing."""
MOST_COMPARED = 10_000
_BLOCK = 512
_SEVERAL = re.compile(r"(.*\d)[^0-9]*[-_ ./][^0-9]*\d+")


def thumbnail(image: UInt8Array) -> UInt8Array:
    """Return gray means [16, 16] of an image [S, S, C]."""
    from PIL import Image

    gray = np.asarray(image, dtype=np.float32).mean(axis=2)
    small = np.asarray(Image.fromarray(gray).resize((SIDE, SIDE), Image.Resampling.BOX))
    return np.floor(small + 0.5).clip(0, 255).astype(np.uint8)


def near_copies(thumbnails: UInt8Array, folds: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Return pairs of samples in different folds whose thumbnails [N, 16, 16] are alike.

    None are looked for among more than MOST_COMPARED samples, since each is compared with every other.
    """
    if len(thumbnails) > MOST_COMPARED:
        return []
    flat = thumbnails.reshape(len(thumbnails), -1).astype(np.float64)
    contrast = flat.std(axis=1)
    squares = (flat**2).sum(axis=1)
    found: list[tuple[int, int]] = []
    for start in range(0, len(flat), _BLOCK):
        rows = slice(start, start + _BLOCK)
        distance = squares[rows, None] + squares[None] - 2 * flat[rows] @ flat.T
        least = np.minimum(contrast[rows, None], contrast[None])
        alike = (distance <= flat.shape[1] * (ALIKE * least) ** 2) & (least >= FLAT)
        alike &= folds[rows, None] != folds[None]
        for one, other in np.argwhere(alike):
            if start + one < other:
                found.append((int(start + one), int(other)))
    return found


def group_hints(ids: Sequence[str], groups: Sequence[str]) -> list[str]:
    """Return why groups may not be what they should be, one sentence each."""
    hints = []
    spellings: dict[str, set[str]] = defaultdict(set)
    for group in groups:
        spellings["".join(group.lower().split())].add(group)
    twice = [sorted(found) for found in spellings.values() if len(found) > 1]
    if twice:
        shown = " and ".join(map(repr, twice[0]))
        hints.append(f"groups {shown} differ in case or spaces only, and count as two")
    if len(set(groups)) == len(ids):
        families: dict[str, list[str]] = defaultdict(list)
        for sample in ids:
            match = _SEVERAL.fullmatch(sample)
            families[match[1] if match else sample].append(sample)
        several = [members for members in families.values() if len(members) > 1]
        if len(families) > 1 and sum(map(len, several)) * 3 >= len(ids) * 2:
            hints.append(
                f"ids such as {several[0][0]} and {several[0][1]} look like images of one patient, but each "
                "is a group of its own: they may lie in different folds"
            )
    return hints
