"""Images whose camera noted how to turn them, beside masks that say nothing of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench_core.data.samples import Sample
from bench_datasets.decoding.raster import noted_in

MOST_FILES = 20_000
"""Samples whose headers are read for this."""
_TURNS = {**dict.fromkeys(range(5, 9), "turned"), 2: "mirrored", 3: "turned by 180 degrees", 4: "mirrored"}


def turned_alone(image: Path, mask: Path) -> str | None:
    """Return in words that one of a pair is turned and the other is not; None if they agree."""
    own, other = noted_in(image), noted_in(mask)
    if own == other:
        return None
    noted = own if own != 1 else other
    turned, still = ("the image", "the mask") if own != 1 else ("the mask", "the image")
    return f"{turned} notes that it must be {_TURNS[noted]} (EXIF orientation {noted}), {still} does not"


def turned_pairs(samples: Sequence[Sample]) -> list[str]:
    """Return the ids of samples of which the image is turned and the mask is not, or the other way round."""
    if len(samples) > MOST_FILES:
        return []
    found = []
    for sample in samples:
        image, *masks = sample.files
        own = noted_in(image)
        if any(noted_in(mask) != own for mask in masks):
            found.append(sample.id)
    return found
