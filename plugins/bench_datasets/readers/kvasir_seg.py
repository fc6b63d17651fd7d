"""Kvasir-SEG and HyperKvasir's copy of it: 1,000 polyps with masks stored as JPEG.

Jha et al., MMM 2020, doi:10.1007/978-3-030-37734-2_37; Borgli et al., Sci Data 2020, 283.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from bench_core import Dataset, DatasetRequest
from bench_core.data.picture import Picture
from bench_core.data.samples import Sample, UInt8Array
from bench_core.files.bounded import BoundError, read_json
from bench_datasets.declared.polyps import HYPERKVASIR, KVASIR_SEG
from bench_datasets.readers.base import Listing
from bench_datasets.readers.black_white import color_image, two_levels
from bench_datasets.readers.published import (
    Pair,
    PublishedReader,
    check_number,
    files_by_key,
    find_folder,
    paired,
)

PUBLISHED = 1000
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
BOXES = ("kavsir_bboxes.json", "kvasir_bboxes.json", "bounding-boxes.json")
"""The first is spelled as published."""
NAME = r"([A-Za-z0-9_-]+)\.(?:jpg|JPG|jpeg)"


def open_kvasir_seg(request: DatasetRequest) -> PublishedReader:
    """Open the unpacked archive, or the folder above it."""
    return _reader(request, KVASIR_SEG, ("Kvasir-SEG", "kvasir-seg"), uuid=False)


def open_hyperkvasir(request: DatasetRequest) -> PublishedReader:
    """Open HyperKvasir's `segmented-images`, or the folder above it."""
    return _reader(request, HYPERKVASIR, ("segmented-images", "hyper-kvasir/segmented-images"), uuid=True)


def _reader(
    request: DatasetRequest, declared: Dataset, folders: Sequence[str], *, uuid: bool
) -> PublishedReader:
    return PublishedReader(request, declared, lambda listing: _find(listing, folders, uuid=uuid), _decode)


def _find(listing: Listing, folders: Sequence[str], *, uuid: bool) -> list[Pair]:
    top = next((listing.root / name for name in folders if (listing.root / name).is_dir()), listing.root)
    below = top.relative_to(listing.root)
    image_folder = find_folder(listing, [str(below / "images")], "images")
    mask_folder = find_folder(listing, [str(below / "masks")], "masks")
    if image_folder is None or mask_folder is None:
        return []
    images = files_by_key(listing, image_folder, NAME, "image")
    masks = files_by_key(listing, mask_folder, NAME, "mask")
    other = [key for key in images if bool(UUID.fullmatch(key)) is not uuid]
    if other and (uuid or len(other) == len(images)):
        mine, theirs = ("hyperkvasir", "kvasir-seg") if uuid else ("kvasir-seg", "hyperkvasir")
        listing.problems.add(
            image_folder,
            f"{len(other)} images are not named as those of {mine} ({other[0]}.jpg): "
            f"is this `name: {theirs}`?",
        )
    keys = paired(
        listing,
        images,
        masks,
        lambda key: mask_folder / images[key].name,
        lambda key: image_folder / masks[key].name,
    )
    listed = _boxes(listing, top)
    known = images.keys() | masks.keys()
    gone = sorted(listed - known)
    for key in gone:
        listing.problems.missing(image_folder / f"{key}.jpg", "is missing with its mask, but has a box")
    if listed:
        for key in sorted(known - listed):
            listing.problems.add(image_folder / f"{key}.jpg", "is not in the published table of boxes")
    check_number(listing, image_folder, len(known) + len(gone), PUBLISHED, "images")
    return [Pair(key, key, images[key], (masks[key],)) for key in keys]


def _boxes(listing: Listing, top: Path) -> set[str]:
    """Return the names in the published table of boxes."""
    path = next((top / name for name in BOXES if (top / name).is_file()), None)
    if path is None:
        listing.problems.missing(top / BOXES[0], "is missing: the table of boxes, which names the images")
        return set()
    try:
        table = read_json(path)
    except (BoundError, OSError) as error:
        listing.problems.add(path, f"cannot be read as JSON: {error}")
        return set()
    if not isinstance(table, dict) or not table:
        listing.problems.add(path, "holds no table from image names to boxes")
        return set()
    return set(table)


def _decode(sample: Sample) -> tuple[Picture, UInt8Array]:
    return color_image(sample.files[0]), two_levels(sample.files[1], exact=False)
