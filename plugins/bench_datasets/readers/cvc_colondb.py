"""CVC-ColonDB: 300 frames of 15 sequences as published, or the 380 frames that circulate as PNG.

Bernal, Sánchez and Vilariño, Pattern Recognition 2012, doi:10.1016/j.patcog.2012.03.002.
"""

from __future__ import annotations

from bench_core import DatasetRequest
from bench_core.data.picture import Picture
from bench_core.data.samples import Sample, UInt8Array
from bench_datasets.declared.polyps import CVC_COLONDB
from bench_datasets.readers.base import Listing
from bench_datasets.readers.black_white import color_image, two_levels
from bench_datasets.readers.published import (
    Pair,
    PublishedReader,
    check_number,
    check_numbered,
    files_by_key,
    paired,
)

OFFICIAL, CIRCULATING = 300, 380
SIZE = (574, 500)
FOLDERS = ("CVC-ColonDB/CVC-ColonDB", "CVC-ColonDB", ".")
ENDING = r"\.(?:tiff?|bmp|png|TIFF?|BMP|PNG)"
REGIONS = rf"[sc][0-9]+{ENDING}"
"""Regions without information, and contours, which lie beside the official frames."""


def open_cvc_colondb(request: DatasetRequest) -> PublishedReader:
    """Open the official folder (N, pN, sN, cN side by side) or one with `images` and `masks`."""
    return PublishedReader(request, CVC_COLONDB, _find, _decode, lambda listing: SIZE)


def _find(listing: Listing) -> list[Pair]:
    for folder in FOLDERS:
        top = listing.root / folder
        if (top / "images").is_dir() or (top / "masks").is_dir():
            return _circulating(listing, folder)
        if top.is_dir() and any(top.glob("p[0-9]*")):
            return _official(listing, folder)
    listing.problems.add("images", "no such folder, nor frames 1.tiff with masks p1.tiff in one folder")
    return []


def _circulating(listing: Listing, folder: str) -> list[Pair]:
    image_folder, mask_folder = (listing.root / folder / name for name in ("images", "masks"))
    for place in (image_folder, mask_folder):
        if not place.is_dir():
            listing.problems.add(place, "no such folder")
            return []
    images = files_by_key(listing, image_folder, rf"([0-9]+){ENDING}", "image")
    masks = files_by_key(listing, mask_folder, rf"([0-9]+){ENDING}", "mask")
    check_number(listing, image_folder, len(images.keys() | masks.keys()), CIRCULATING, "frames")
    keys = paired(
        listing,
        images,
        masks,
        lambda key: mask_folder / images[key].name,
        lambda key: image_folder / masks[key].name,
    )
    listing.remarks.append(
        "sequences: not published with these frames, so that each is a group of its own although "
        "neighbors show one polyp; use them as test data of a model trained on other data"
    )
    return [Pair(key, key, images[key], (masks[key],)) for key in keys]


def _official(listing: Listing, folder: str) -> list[Pair]:
    top = listing.root / folder
    images = files_by_key(listing, top, rf"([0-9]+){ENDING}", "frame", others=rf"[psc][0-9]+{ENDING}")
    masks = files_by_key(listing, top, rf"p([0-9]+){ENDING}", "mask", others=rf"[sc]?[0-9]+{ENDING}")
    check_numbered(listing, top, images.keys() | masks.keys(), OFFICIAL, "frames")
    keys = paired(
        listing,
        images,
        masks,
        lambda key: top / f"p{images[key].name}",
        lambda key: top / masks[key].name.removeprefix("p"),
    )
    listing.remarks.append(
        "sequences: the 15 are not told by the files' names, so that each frame is a group of its own "
        "although neighbors show one polyp; use them as test data of a model trained on other data"
    )
    return [Pair(key, key, images[key], (masks[key],)) for key in keys if int(key) <= OFFICIAL]


def _decode(sample: Sample) -> tuple[Picture, UInt8Array]:
    return color_image(sample.files[0]), two_levels(sample.files[1], exact=False)
