"""NeoPolyp (BKAI-IGH NeoPolyp-Small): endoscopic images whose masks are JPEG pictures in red and green.

Layout, colors and sizes as in the Kaggle competition bkai-igh-neopolyp; Lan et al. 2021,
doi:10.1007/978-3-030-90436-4_2.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench_core import DatasetRequest
from bench_core.data.picture import Picture
from bench_core.data.samples import Sample, UInt8Array
from bench_core.errors import DataError
from bench_datasets.declared.study import NEOPOLYP
from bench_datasets.readers.base import (
    Listing,
    StoredReader,
    counted,
    passed_over,
    root_of,
    some,
    tell_missing,
)
from bench_datasets.readers.neopolyp_colors import Doubt, classify, measured
from bench_datasets.readers.neopolyp_sessions import session_of
from bench_datasets.readers.pictures import rgb
from bench_datasets.readers.stored import Stored, folders, listed

IMAGES, MASKS, UNLABELLED = "train", "train_gt", "test"
DEPTH = 2
"""Levels below the root in which these folders are looked for."""
NAME = re.compile(r"([0-9a-f]{32})\.jpe?g")
ARCHIVE = "bkai-igh-neopolyp.zip"
THREADS = 8


class NeoPolypReader(StoredReader):
    """Pairs of one name in train/ and train_gt/; test/ has no masks and is not used."""

    def find(self, listing: Listing) -> None:
        """List both folders, doubled as published or flat, and the images that have no mask by design."""
        problems = listing.problems
        base = _base(self.root)
        if base is None:
            zipped = " (is it still inside of its archive?)" if (self.root / ARCHIVE).is_file() else ""
            for name in (IMAGES, MASKS):
                problems.missing(self.root / name / name, f"the published folder is missing{zipped}")
            return
        places = {name: _inner(base / name, listing) for name in (IMAGES, MASKS, UNLABELLED)}
        found = {name: _pictures(place, listing) for name, place in places.items() if place is not None}
        for name in (IMAGES, MASKS):
            if name not in found:
                problems.missing(base / name / name, "the published folder is missing")
            elif not found[name]:
                problems.missing(
                    places[name] or base, f"holds none of the {self.declared.samples:,} published files"
                )
        images, masks = found.get(IMAGES), found.get(MASKS)
        if images and masks:
            self._pair(images, masks, listing)
        if unused := found.get(UNLABELLED):
            listing.remarks.append(
                f"not used: {counted(len(unused), 'image')} in {UNLABELLED}/, published without masks"
            )

    def decode(self, image: Stored, mask: Stored) -> tuple[Picture, UInt8Array]:
        """Return the image and its mask: 1 = non-neoplastic (green), 2 = neoplastic (red)."""
        return rgb(image), classify(mask)

    def pixel_remarks(self) -> Sequence[str]:
        """Return which masks hold colors that lie between the classes, as JPEG makes them."""
        told = _doubtful(self.root, [self.pair(sample)[1] for sample in self._listed().samples])
        return [told] if told else []

    def _pair(self, images: Mapping[str, Stored], masks: Mapping[str, Stored], listing: Listing) -> None:
        problems = listing.problems
        one, other = next(iter(images.values())).path.parent, next(iter(masks.values())).path.parent
        lost = [f"{name}.jpeg" for name in sorted({*images} - {*masks})]
        tell_missing(problems, other, lost, "the mask is missing")
        lost = [f"{name}.jpeg" for name in sorted({*masks} - {*images})]
        tell_missing(problems, one, lost, "the image is missing")
        seen, expected = len({*images, *masks}), self.declared.samples or 0
        if seen < expected:
            problems.missing(one, f"holds {seen:,} of {expected:,} published images: unpacked in part?")
        elif seen > expected:
            problems.add(one, f"holds {seen:,} images, {seen - expected:,} more than published")
        by_session = self.options["groups"] == "session"
        unknown = []
        for name in sorted({*images} & {*masks}):
            session = session_of(name) if by_session else None
            if session is None:
                unknown.append(name)
            group = name if session is None else f"session-{session}"
            listing.samples.append(Sample(id=name, group=group, files=(images[name].path, masks[name].path)))
        if by_session and unknown:
            listing.remarks.append(
                f"groups: no known session has {counted(len(unknown), 'image')}, each a group of its own "
                f"({some(unknown)})"
            )


def open_neopolyp(request: DatasetRequest) -> NeoPolypReader:
    """Open NeoPolyp below a root; raises DataError without one."""
    return NeoPolypReader(NEOPOLYP, root_of(request, NEOPOLYP), request.options)


def _base(root: Path) -> Path | None:
    """Return the folder that holds train/ or train_gt/."""
    for folder, below, _ in folders(root, DEPTH):
        if IMAGES in below or MASKS in below:
            return folder
    return None


def _inner(folder: Path, listing: Listing) -> Path | None:
    """Return where a folder's files are: one level down where the name is doubled; None without it."""
    if not folder.is_dir():
        return None
    below, files = listed(folder)
    if folder.name not in below:
        return folder
    if beside := [name for name in files if NAME.fullmatch(name)]:
        what = f"{counted(len(beside), 'image')} beside the folder {folder.name}/{folder.name}"
        listing.problems.add(folder, f"holds {what}: keep one of them ({some(beside)})")
    return folder / folder.name


def _pictures(folder: Path, listing: Listing) -> dict[str, Stored]:
    """Return files by id; files of other names become a remark."""
    found: dict[str, Stored] = {}
    other = []
    for name in listed(folder)[1]:
        match = NAME.fullmatch(name)
        if match is None:
            other.append(name)
        elif found.setdefault(match[1], Stored(folder / name)).path.name != name:
            listing.problems.add(folder / name, f"is a second file of {match[1]}")
    passed_over(listing, folder.name, other)
    return found


def _doubtful(root: Path, masks: Sequence[Stored]) -> str:
    """Return how many pixels lie between the classes' colors, and the masks with most of them."""

    def look(mask: Stored) -> tuple[Doubt, Stored] | None:
        try:
            return measured(mask), mask
        except DataError:
            return None  # Told when the sample is read.

    with ThreadPoolExecutor(THREADS) as pool:
        found = [item for item in pool.map(look, masks) if item is not None]
    unsure = [(doubt, mask) for doubt, mask in found if doubt.unsure]
    if not unsure:
        return ""
    total = sum(doubt.unsure for doubt, _ in unsure)
    pixels = sum(doubt.pixels for doubt, _ in found)
    unsure.sort(key=lambda item: (-item[0].share, item[1].place))
    worst = [f"{mask.path.relative_to(root)} {doubt.share:.2%}" for doubt, mask in unsure]
    return (
        f"undecidable colors: {total:,} of {pixels:,} mask pixels ({total / pixels:.3%}) in {len(unsure)} "
        f"masks lie far from black, red and green and take the nearest; most in {some(worst)}"
    )
