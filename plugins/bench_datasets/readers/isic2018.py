"""ISIC 2018, task 1: dermoscopic images with lesion masks in three published parts.

Layout, names and counts: https://challenge.isic-archive.com/data/#2018, Codella et al., arXiv:1902.03368.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench_core import Dataset, DatasetRequest
from bench_core.data.picture import Picture
from bench_core.data.samples import Sample, UInt8Array
from bench_core.errors import DataError
from bench_core.files.bounded import BoundError
from bench_datasets.declared.study import ISIC2018
from bench_datasets.readers.base import (
    Listing,
    Pair,
    StoredReader,
    counted,
    passed_over,
    root_of,
    some,
    tell_missing,
)
from bench_datasets.readers.pictures import gray, rgb
from bench_datasets.readers.stored import REPLACE, Stored, bare_members, folders, listed

PARTS = ("training", "validation", "test")
DEPTH = 3
"""Levels below the root in which the six published folders are looked for."""
IMAGE = re.compile(r"(ISIC_\d{7})\.jpe?g", re.IGNORECASE)
MASK = re.compile(r"(ISIC_\d{7})_segmentation\.png", re.IGNORECASE)
NOT_DATA = re.compile(
    r".*_superpixels\.png|ISIC_\d{7}_attribute_.*\.png|.*\.(txt|md|csv|json|pdf)|thumbs\.db", re.IGNORECASE
)
"""Superpixels, the ground truth of task 2 and texts lie among the files and belong to none."""
OTHER_TASKS = re.compile(r"ISIC2018_Task(2|3)_.*")
ABSENT = "the published folder is missing, and no {name}.zip either"


@dataclass(frozen=True)
class _Holder:
    """A published folder, or its archive: file names with where they are."""

    place: Path
    files: Mapping[str, Stored]


class IsicReader(StoredReader):
    """Pairs `ISIC_0000000.jpg` and `ISIC_0000000_segmentation.png`; every image is its own group."""

    def __init__(self, declared: Dataset, root: Path, options: Mapping[str, Any]) -> None:
        super().__init__(declared, root, options)
        self._opening = threading.Lock()
        self._inside: dict[Path, dict[str, Stored]] = {}

    def find(self, listing: Listing) -> None:
        """List the three parts, unpacked or zipped."""
        self._inside = {}
        found = _found(self.root, listing)
        owner: dict[str, str] = {}
        for part in PARTS:
            _find_part(self.root, part, found, listing, owner)

    def pair(self, sample: Sample) -> Pair:
        """Return both files, inside of their archives where these are zipped."""
        image, mask = sample.files
        return self._stored(image, IMAGE, sample.id), self._stored(mask, MASK, sample.id)

    def _stored(self, path: Path, pattern: re.Pattern[str], key: str) -> Stored:
        if path.suffix != ".zip":
            return Stored(path)
        with self._opening:
            if path not in self._inside:
                self._inside[path] = self._contents(path, pattern)
        if key not in self._inside[path]:
            raise DataError(f"holds no file of {key}", place=str(path), fix=REPLACE)
        return self._inside[path][key]

    @staticmethod
    def _contents(path: Path, pattern: re.Pattern[str]) -> dict[str, Stored]:
        """Return the wanted files of an archive by id."""
        try:
            files = bare_members(path)
        except (BoundError, OSError) as error:
            raise DataError(str(error), place=str(path), fix=REPLACE) from error
        matches = ((pattern.fullmatch(name), stored) for name, stored in files.items())
        return {match[1].upper(): stored for match, stored in matches if match is not None}

    def decode(self, image: Stored, mask: Stored) -> tuple[Picture, UInt8Array]:
        """Return the image and its mask: 1 = lesion (255 in the file)."""
        return rgb(image), _labels(gray(mask), mask)


def open_isic2018(request: DatasetRequest) -> IsicReader:
    """Open ISIC 2018 task 1 below a root; raises DataError without one."""
    return IsicReader(ISIC2018, root_of(request, ISIC2018), request.options)


def names_of(part: str) -> tuple[str, str]:
    """Return the published names of a part's folders of images and masks."""
    title = part.capitalize()
    return f"ISIC2018_Task1-2_{title}_Input", f"ISIC2018_Task1_{title}_GroundTruth"


def _labels(values: UInt8Array, stored: Stored) -> UInt8Array:
    lesion: NDArray[np.bool_] = values == 255
    if np.count_nonzero(values) != np.count_nonzero(lesion):
        shown = some([str(value) for value in np.unique(values[(values != 0) & ~lesion])], 5)
        raise DataError(
            f"the mask holds the values {shown} beside 0 and 255", place=stored.place, fix=REPLACE
        )
    labels: UInt8Array = lesion.view(np.uint8)
    return labels


def _found(root: Path, listing: Listing) -> dict[str, list[_Holder]]:
    """Return where each published folder or archive lies."""
    names = {name for part in PARTS for name in names_of(part)}
    holders: dict[str, list[_Holder]] = {name: [] for name in names}
    archives: dict[str, list[Path]] = {name: [] for name in names}
    loose: list[str] = []
    for folder, below, files in folders(root, DEPTH):
        for name in [name for name in below if name in names]:
            below.remove(name)
            holders[name] += _unpacked(folder / name)
        below[:] = [name for name in below if not OTHER_TASKS.fullmatch(name)]
        for name in names & {file.removesuffix(".zip") for file in files if file.endswith(".zip")}:
            archives[name].append(folder / f"{name}.zip")
        loose += [
            (folder / file).relative_to(root).as_posix()
            for file in files
            if IMAGE.fullmatch(file) or MASK.fullmatch(file)
        ]
    for name, paths in archives.items():
        if not any(_pictures(holder) for holder in holders[name]) and paths:
            holders[name] = [holder for path in paths if (holder := _zipped(path, listing)) is not None]
            if not holders[name]:
                del holders[name]
    if loose:
        what = f"{counted(len(loose), 'file')} outside of the published folders, whose names tell the parts"
        if all(holders.get(name) for name in names):
            listing.remarks.append(f"passed over: {what} ({some(loose)})")
        else:
            listing.problems.missing(root / loose[0], f"is one of {what}")
    return holders


def _unpacked(folder: Path) -> list[_Holder]:
    """Return a published folder; or the one of its name inside, which some programs make; or both."""
    below, files = listed(folder)
    found = [_Holder(folder, {name: Stored(folder / name) for name in files})]
    if folder.name in below:
        inner = folder / folder.name
        found.insert(0, _Holder(inner, {name: Stored(inner / name) for name in listed(inner)[1]}))
    return [holder for holder in found if _pictures(holder)] or found[:1]


def _pictures(holder: _Holder) -> bool:
    return any(IMAGE.fullmatch(name) or MASK.fullmatch(name) for name in holder.files)


def _zipped(path: Path, listing: Listing) -> _Holder | None:
    """Return an archive's files by their bare names; a damaged archive is a problem."""
    try:
        return _Holder(path, bare_members(path))
    except (BoundError, OSError) as error:
        listing.problems.add(path, f"{error}: download it again")
        return None


def _find_part(
    root: Path, part: str, found: Mapping[str, list[_Holder]], listing: Listing, owner: dict[str, str]
) -> None:
    problems = listing.problems
    names = names_of(part)
    holders = []
    for name in names:
        if name not in found:
            continue  # Its archive is damaged, which is told already.
        if not found[name]:
            problems.missing(root / name, ABSENT.format(name=name))
            continue
        holder, *others = found[name]
        holders.append(holder)
        for other in others:
            where = holder.place.relative_to(root)
            problems.add(other.place, f"lies there a second time, beside {where}: remove one of them")
    if len(holders) < len(names):
        return
    images = _by_id(holders[0], IMAGE, listing)
    masks = _by_id(holders[1], MASK, listing)
    if not images or not masks:
        for holder, pictures, kind in zip(holders, (images, masks), ("images", "masks"), strict=True):
            if not pictures:
                problems.missing(holder.place, f"holds no {kind}: {ISIC2018.parts[part]:,} were published")
        return
    lost = [f"{key}_segmentation.png" for key in sorted({*images} - {*masks})]
    tell_missing(problems, holders[1].place, lost, "the mask is missing")
    lost = [f"{key}.jpg" for key in sorted({*masks} - {*images})]
    tell_missing(problems, holders[0].place, lost, "the image is missing")
    expected, seen = ISIC2018.parts[part], len({*images, *masks})
    if seen < expected:
        text = f"holds {seen:,} of {expected:,} published images: unpacked in part?"
        problems.missing(holders[0].place, text)
    elif seen > expected:
        problems.add(holders[0].place, f"holds {seen:,} images, {seen - expected:,} more than published")
    for key in sorted({*images} & {*masks}):
        if owner.setdefault(key, part) != part:
            problems.add(images[key].place, f"the part {owner[key]} holds {key} as well")
            continue
        files = (images[key].path, masks[key].path)
        listing.samples.append(Sample(id=key, group=key, files=files, attributes={"part": part}))


def _by_id(holder: _Holder, pattern: re.Pattern[str], listing: Listing) -> dict[str, Stored]:
    """Return the holder's files of a pattern by id; files of no known kind become a remark."""
    kept: dict[str, Stored] = {}
    unknown = []
    for name, stored in holder.files.items():
        match = pattern.fullmatch(name)
        if match is None:
            unknown += [] if NOT_DATA.fullmatch(name) else [name]
        elif kept.setdefault(match[1].upper(), stored) is not stored:
            listing.problems.add(stored.place, f"is a second file of {match[1].upper()}")
    passed_over(listing, holder.place.name, unknown)
    return kept
