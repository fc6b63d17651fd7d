"""BUSI: 780 breast ultrasound images, benign, malignant and normal; several masks of an image are joined.

Al-Dhabyani et al., Data in Brief 2020, doi:10.1016/j.dib.2019.104863. Of its faults tells Pawłowska et al.,
Data in Brief 2023, doi:10.1016/j.dib.2023.109247.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from bench_core import DatasetRequest
from bench_core.data.picture import Picture
from bench_core.data.samples import Sample, UInt8Array
from bench_core.errors import DataError
from bench_datasets.declared.breast import BUSI
from bench_datasets.readers.base import Listing
from bench_datasets.readers.black_white import gray_image, two_levels
from bench_datasets.readers.published import (
    Pair,
    PublishedReader,
    check_numbered,
    files_by_key,
    find_folder,
    natural,
)

NUMBERS = {"benign": 437, "malignant": 210, "normal": 133}
SEVERAL_MASKS = {"benign": 16, "malignant": 1, "normal": 0}
"""Images that are published with more than one mask."""
TOP = "Dataset_BUSI_with_GT"
NORMAL = "normal"


def open_busi(request: DatasetRequest) -> PublishedReader:
    """Open the folder with benign, malignant and normal, or the one above it."""
    return PublishedReader(request, BUSI, _find, _decode)


def _find(listing: Listing) -> list[Pair]:
    top = "" if any((listing.root / kind).is_dir() for kind in NUMBERS) else f"{TOP}/"
    if top and not (listing.root / TOP).is_dir():
        listing.problems.add(TOP, f"no such folder, nor {', '.join(NUMBERS)}")
        return []
    pairs = []
    for kind, published in NUMBERS.items():
        folder = find_folder(listing, [f"{top}{kind}"], f"{kind} images")
        if folder is not None:
            pairs += _of_kind(listing, folder, kind, published)
    listing.remarks.append(
        "its authors name no patients, and 235 images are duplicates of others (Pawłowska et al. 2023): "
        "let copies be grouped before folds are dealt"
    )
    return pairs


def _of_kind(listing: Listing, folder: Path, kind: str, published: int) -> list[Pair]:
    any_mask = rf"{kind} \([0-9]+\)_mask(?:_[0-9]+)?\.png"
    images = files_by_key(listing, folder, rf"{kind} \(([0-9]+)\)\.png", "image", others=any_mask)
    masks: dict[str, dict[int, Path]] = {}
    for path in sorted(folder.iterdir(), key=lambda path: natural(path.name)):
        match = re.fullmatch(rf"{kind} \(([0-9]+)\)_mask(?:_([0-9]+))?\.png", path.name)
        if match is not None:
            listing.accept(path)
            known = masks.setdefault(str(int(match[1])), {})
            if known.setdefault(int(match[2] or 0), path) != path:
                listing.problems.add(path, f"is a second mask beside {known[int(match[2] or 0)].name}")
    check_numbered(listing, folder, images.keys() | masks.keys(), published, f"{kind} images")
    pairs = []
    for key in sorted(images.keys() | masks.keys(), key=natural):
        name = f"{kind} ({key})"
        found = masks.get(key, {})
        # Without the first mask, or one between, a lesion would become background in silence.
        gaps = sorted(set(range(max(found, default=0) + 1)) - found.keys())
        for gap in gaps:
            wanted = folder / f"{name}_mask{f'_{gap}' if gap else ''}.png"
            listing.problems.missing(wanted, f"is missing: a mask of {name}.png")
        if key not in images:
            listing.problems.missing(folder / f"{name}.png", f"is missing: the image of {name}_mask.png")
        elif not gaps and int(key) <= published:
            paths = tuple(found[number] for number in sorted(found))
            pairs.append(Pair(name, name, images[key], paths, {"class": kind}))
    several = sum(1 for found in masks.values() if len(found) > 1)
    if several < SEVERAL_MASKS[kind]:
        listing.problems.missing(
            folder,
            f"second masks: of {SEVERAL_MASKS[kind]} images that are published with one {several} have it",
        )
    return pairs


def _decode(sample: Sample) -> tuple[Picture, UInt8Array]:
    normal = sample.attributes["class"] == NORMAL
    parts = [two_levels(path, exact=True, empty=normal) for path in sample.files[1:]]
    if any(part.shape != parts[0].shape for part in parts):
        raise DataError("its masks differ in size", place=str(sample.files[-1]), fix="unpack it again")
    mask = np.bitwise_or.reduce(np.stack(parts), axis=0)
    if normal and mask.any():
        raise DataError(
            "the mask of a normal image shows a lesion", place=str(sample.files[1]), fix="unpack it again"
        )
    return gray_image(sample.files[0]), mask
