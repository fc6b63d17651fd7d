"""ETIS-LaribPolypDB: 196 frames of 1225 x 966 pixels.

Silva et al., Int J CARS 2014, doi:10.1007/s11548-013-0926-3.
"""

from __future__ import annotations

from pathlib import Path

from bench_core import DatasetRequest
from bench_core.data.picture import Picture
from bench_core.data.samples import Sample, UInt8Array
from bench_datasets.declared.polyps import ETIS
from bench_datasets.readers.base import Listing
from bench_datasets.readers.black_white import color_image, two_levels
from bench_datasets.readers.published import Pair, PublishedReader, check_numbered, files_by_key, paired

PUBLISHED = 196
SIZE = (1225, 966)
NAME = "ETIS-LaribPolypDB"
ENDING = r"\.(?:tiff?|png|bmp|TIFF?|PNG|BMP)"


def open_etis(request: DatasetRequest) -> PublishedReader:
    """Open the official folders (masks pN in `Ground Truth`) or `images` and `masks`."""
    return PublishedReader(request, ETIS, _find, _decode, lambda listing: SIZE)


def _find(listing: Listing) -> list[Pair]:
    folders = [Path(), Path(NAME), Path(NAME, NAME)]
    for top in folders:
        if (listing.root / top / "images").is_dir() or (listing.root / top / "masks").is_dir():
            return _pairs(listing, top / "images", top / "masks", "")
    for top in folders:
        if (listing.root / top / "Ground Truth").is_dir():
            return _pairs(listing, top / NAME, top / "Ground Truth", "p")
    listing.problems.add(f"{NAME}/Ground Truth", "no such folder of masks, nor `images` and `masks`")
    return []


def _pairs(listing: Listing, image_place: Path, mask_place: Path, prefix: str) -> list[Pair]:
    image_folder, mask_folder = listing.root / image_place, listing.root / mask_place
    for folder, what in ((image_folder, "images"), (mask_folder, "masks")):
        if not folder.is_dir():
            listing.problems.add(folder, f"no such folder of {what}")
            return []
    images = files_by_key(listing, image_folder, rf"([0-9]+){ENDING}", "image")
    masks = files_by_key(listing, mask_folder, rf"{prefix}([0-9]+){ENDING}", "mask")
    check_numbered(listing, image_folder, images.keys() | masks.keys(), PUBLISHED, "frames")
    keys = paired(
        listing,
        images,
        masks,
        lambda key: mask_folder / f"{prefix}{images[key].name}",
        lambda key: image_folder / masks[key].name.removeprefix(prefix),
    )
    listing.remarks.append(
        "sequences: the 34 are not told by the files' names, so that each frame is a group of its own "
        "although neighbors show one polyp; use them as test data of a model trained on other data"
    )
    return [Pair(key, key, images[key], (masks[key],)) for key in keys if int(key) <= PUBLISHED]


def _decode(sample: Sample) -> tuple[Picture, UInt8Array]:
    return color_image(sample.files[0]), two_levels(sample.files[1], exact=False)
