"""Images whose camera noted how to turn them, beside masks that say nothing of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench_core.data.samples import Sample
from bench_datasets.decoding.nifti import axes_of, is_nifti
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


def unlike_axes(samples: Sequence[Sample]) -> list[str]:
    """Return a sentence where NIfTI pictures of a dataset do not all lie the same way."""
    found: dict[str, list[str]] = {}
    for sample in samples[:MOST_FILES]:
        axes = axes_of(sample.files[0]) if is_nifti(sample.files[0]) else ""
        if axes:
            found.setdefault(axes, []).append(sample.id)
    if len(found) < 2:
        return []
    parts = [f"{len(ids)} {axes} (such as {ids[0]})" for axes, ids in found.items()]
    return [f"images are stored with axes in different directions and taken so: {', '.join(parts)}"]
