"""HAM10000 with its lesion masks: 10,015 dermoscopic images of 7,470 lesions.

Tschandl, Rosendahl and Kittler, Sci Data 2018, doi:10.1038/sdata.2018.161; masks: Tschandl et al., Nat Med
2020, doi:10.1038/s41591-020-0942-0. Pairs that lesion_id does not know: Abhishek, Jain and Hamarneh,
arXiv:2401.14497.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path

from bench_core import DatasetRequest
from bench_core.data.picture import Picture
from bench_core.data.samples import Attribute, Sample, UInt8Array
from bench_datasets.declared.skin import HAM10000
from bench_datasets.folder.tables import read_rows
from bench_datasets.readers.base import Listing
from bench_datasets.readers.black_white import color_image, two_levels
from bench_datasets.readers.published import Pair, PublishedReader, check_number, files_by_key

FIRST, LAST = 24306, 34320
SIZE = (600, 450)
ONE_VALUED = ("ISIC_0026042", "ISIC_0029819")
"""Masks that are published all black or all white."""
SAME_LESION = (
    (33481, 33421), (33556, 32634), (29152, 33173), (29036, 27027), (27820, 28209), (27689, 32647),
    (30906, 24879), (33391, 34186), (25226, 30074), (26087, 25664), (24736, 29748), (24770, 27811),
    (27162, 29061), (24602, 32283), (29625, 24629), (30000, 31392), (24437, 31299), (33374, 33417),
)  # fmt: skip
"""Numbers of images of one lesion under two lesion_ids (Abhishek et al., found by similarity and by eye)."""
MASK_FOLDER = "HAM10000_segmentations_lesion_tschandl"
IMAGE_FOLDERS = ("HAM10000_images_part_1", "HAM10000_images_part_2", "images")
MASK_FOLDERS = (MASK_FOLDER, f"{MASK_FOLDER}/{MASK_FOLDER}", "masks")
TABLES = ("HAM10000_metadata", "HAM10000_metadata.csv", "HAM10000_metadata.tab")
NEEDED = ("lesion_id", "image_id", "dx", "age", "sex", "localization")
UNKNOWN = {"", "unknown", "nan", "na"}


def open_ham10000(request: DatasetRequest) -> PublishedReader:
    """Open the folder with both image folders, the masks and the metadata."""
    return PublishedReader(request, HAM10000, _find, _decode, lambda listing: SIZE)


def _find(listing: Listing) -> list[Pair]:
    images = _gather(listing, IMAGE_FOLDERS, r"(ISIC_[0-9]{7})\.jpg", "image")
    masks = _gather(listing, MASK_FOLDERS, r"(ISIC_[0-9]{7})_segmentation\.png", "mask")
    rows = _metadata(listing)
    if not images or not masks:
        return []
    known = images.keys() | masks.keys()
    for key in sorted(known):
        if not FIRST <= int(key[5:]) <= LAST:
            path = images.get(key) or masks[key]
            listing.problems.add(path, f"is not of HAM10000, whose images are ISIC_{FIRST:07d} to {LAST:07d}")
    for key in sorted(images.keys() - masks.keys()):
        listing.problems.missing(
            _beside(masks) / f"{key}_segmentation.png", f"is missing: the mask of {key}.jpg"
        )
    for key in sorted(masks.keys() - images.keys()):
        listing.problems.missing(
            f"{key}.jpg", f"is missing: the image of {masks[key].name}, in neither folder of images"
        )
    check_number(listing, ".", len(known), LAST - FIRST + 1, "images")
    lesions = _lesions({key: row["lesion_id"] for key, row in rows.items()})
    pairs = []
    for key in sorted(images.keys() & masks.keys()):
        if rows and key not in rows:
            listing.problems.add(
                images[key], "has no line in HAM10000_metadata, so that its lesion is not known"
            )
        group = lesions.get(key, key)
        pairs.append(Pair(key, group, images[key], (masks[key],), _attributes(rows.get(key, {}))))
    odd = [key for key in ONE_VALUED if key in masks]
    if odd:
        listing.remarks.append(f"published with a mask of one value, and used as they are: {', '.join(odd)}")
    return pairs


def _gather(listing: Listing, folders: tuple[str, ...], pattern: str, what: str) -> dict[str, Path]:
    """Return the files of all of these folders by image id; two folders may not hold one id."""
    found: dict[str, Path] = {}
    present = [listing.root / name for name in folders if (listing.root / name).is_dir()]
    if not present:
        listing.problems.add(folders[0], f"no such folder of {what}s, nor {', '.join(folders[1:])}")
    for folder in present:
        for key, path in files_by_key(listing, folder, pattern, what).items():
            if key in found:
                listing.problems.add(path, f"is a second {what} for {key}, beside {found[key].parent.name}")
            else:
                found[key] = path
    if present and not found:
        listing.problems.add(present[0], f"holds no {what}s of published names")
    parts = [name for name in IMAGE_FOLDERS[:2] if what == "image" and (listing.root / name).is_dir()]
    if len(parts) == 1:
        gone = next(name for name in IMAGE_FOLDERS[:2] if name not in parts)
        listing.problems.missing(gone, "is missing: one of the two folders of images")
    return found


def _beside(found: Mapping[str, Path]) -> Path:
    return found[min(found)].parent


def _metadata(listing: Listing) -> dict[str, dict[str, str]]:
    """Return the metadata's line of each image; without it no lesion is known, which nothing excuses."""
    name = next((name for name in TABLES if (listing.root / name).is_file()), None)
    if name is None:
        listing.problems.add(
            TABLES[0], "is missing: without it images of one lesion would lie in two folds (GroundTruth.csv "
            "of repacked copies names no lesions)"
        )  # fmt: skip
        return {}
    found: list[str] = []
    rows = read_rows(listing.root, name, found)
    for problem in found:
        listing.problems.add(name, problem.removeprefix(f"{name}: "))
    if not rows:
        return {}
    header = rows[0][1]
    lacking = [column for column in NEEDED if column not in header]
    if lacking:
        listing.problems.add(name, f"its first line lacks the columns {', '.join(lacking)}")
        return {}
    table: dict[str, dict[str, str]] = {}
    for number, cells in rows[1:]:
        row = dict(zip(header, cells, strict=False))
        if len(cells) != len(header) or not re.fullmatch(r"ISIC_[0-9]{7}", row["image_id"]):
            listing.problems.add(f"{name}:{number}", "expected a line of an image, ISIC_ and seven digits")
        elif not row["lesion_id"]:
            listing.problems.add(f"{name}:{number}", f"{row['image_id']} has no lesion_id")
        elif row["image_id"] in table:
            listing.problems.add(f"{name}:{number}", f"{row['image_id']} has a second line")
        else:
            table[row["image_id"]] = row
    return table


def _lesions(given: Mapping[str, str]) -> dict[str, str]:
    """Return the group of each image: its lesion, joined with lesions that show the same."""
    joined = {lesion: lesion for lesion in given.values()}
    for one, other in SAME_LESION:
        first, second = (given.get(f"ISIC_{number:07d}") for number in (one, other))
        if first is not None and second is not None:
            kept, gone = sorted((joined[first], joined[second]))
            joined = {lesion: kept if group == gone else group for lesion, group in joined.items()}
    return {image: joined[lesion] for image, lesion in given.items()}


def _attributes(row: Mapping[str, str]) -> dict[str, Attribute]:
    found: dict[str, Attribute] = {
        name: row[column]
        for name, column in (("sex", "sex"), ("localization", "localization"), ("diagnosis", "dx"))
        if row.get(column, "").lower() not in UNKNOWN
    }
    try:
        age = float(row.get("age", ""))
    except ValueError:
        return found
    return {"age": age, **found} if math.isfinite(age) else found


def _decode(sample: Sample) -> tuple[Picture, UInt8Array]:
    mask = two_levels(sample.files[1], exact=True, empty=sample.id in ONE_VALUED)
    return color_image(sample.files[0]), mask
