"""What readers of published datasets share: files listed once, problems told together, pairs of one size."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench_core import Dataset, DatasetRequest
from bench_core.data.picture import Picture
from bench_core.data.samples import Sample, UInt8Array
from bench_core.errors import DataError
from bench_datasets.problems import Problems
from bench_datasets.readers.stored import Stored

NAMED = 3
SINGLY = 10
"""Missing files of a folder that have a line each."""
Pair = tuple[Stored, Stored]


@dataclass
class Listing:
    """The files of a dataset while they are listed: samples, problems, and what is said of other files."""

    root: Path
    problems: Problems
    samples: list[Sample] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    unusable: set[Path] = field(default_factory=set)
    """Files that are there, of which a problem tells already."""

    def accept(self, path: Path) -> None:
        """Note a problem unless this is a regular file with content."""
        if not path.is_file():
            what = "is a broken link or not a regular file"
        elif path.stat().st_size == 0:
            what = "is empty (0 bytes)"
        else:
            return
        self.problems.add(path, what)
        self.unusable.add(path)

    def passed_over(self, paths: Iterable[Path], why: str) -> None:
        """Remark on files that look like data and are in no sample."""
        names = sorted(path.relative_to(self.root).as_posix() for path in paths)
        if names:
            self.remarks.append(f"passed over: {some(names)}: {why}")


class ListedReader(ABC):
    """A dataset below a root, as published; a subclass lists its files and decodes a sample's."""

    def __init__(self, declared: Dataset, root: Path, options: Mapping[str, Any]) -> None:
        self.declared = declared
        self.root = root
        self.options = options
        self._lock = threading.Lock()
        self._last: Listing | None = None

    @abstractmethod
    def find(self, listing: Listing) -> None:
        """Fill the listing from names, headers and tables; no image is decoded."""

    @abstractmethod
    def pixels(self, sample: Sample) -> tuple[Picture, UInt8Array]:
        """Return image and class indices [H, W]; raise DataError with the file's place."""

    def place_of_mask(self, sample: Sample) -> str:
        """Return where a sample's mask lies, for messages."""
        return str(sample.files[-1])

    def samples(self) -> Sequence[Sample]:
        """Return all samples; raise LayoutError with every problem of the files."""
        listing = self._listed(again=True)
        listing.problems.raise_all(listing.samples, how_to_get=self.declared.how_to_get)
        return listing.samples

    def remarks(self) -> Sequence[str]:
        """Return what is passed over, and what is missing and allowed to be."""
        listing = self._listed()
        return [*listing.problems.remarks, *listing.remarks]

    def read(self, sample: Sample) -> tuple[UInt8Array, UInt8Array]:
        """Decode one pair; raise DataError with the path of the file that cannot be used."""
        image, mask = self.read_picture(sample)
        return image.array, mask

    def read_picture(self, sample: Sample) -> tuple[Picture, UInt8Array]:
        """Decode one pair as `read` does, the image as it was decoded."""
        image, mask = self.pixels(sample)
        if image.shape[:2] != mask.shape:
            raise DataError(
                f"the mask is {mask.shape[1]} x {mask.shape[0]} pixels, its image "
                f"{image.shape[1]} x {image.shape[0]}",
                place=self.place_of_mask(sample),
                fix="get both files again: published pairs are of one size",
            )
        return image, mask

    def _listed(self, again: bool = False) -> Listing:
        with self._lock:
            if self._last is None or again:
                if not self.root.is_dir():
                    raise DataError(
                        "the dataset's root is not a folder",
                        place=str(self.root),
                        fix=f"correct `root:`; the data: {self.declared.how_to_get}",
                    )
                allow = bool(self.options.get("allow_missing", False))
                listing = Listing(self.root, Problems(self.root, allow_missing=allow))
                self.find(listing)
                self._last = listing
            return self._last


class StoredReader(ListedReader):
    """A dataset whose files may lie in archives; a subclass decodes a pair wherever it is stored."""

    @abstractmethod
    def decode(self, image: Stored, mask: Stored) -> tuple[Picture, UInt8Array]:
        """Return image and class indices [H, W]; raise DataError with the file's place."""

    def pair(self, sample: Sample) -> Pair:
        """Return where image and mask of a sample are, from its own files alone."""
        return Stored(sample.files[0]), Stored(sample.files[1])

    def pixels(self, sample: Sample) -> tuple[Picture, UInt8Array]:
        """Decode the pair of a sample."""
        return self.decode(*self.pair(sample))

    def place_of_mask(self, sample: Sample) -> str:
        """Return the mask's path, continued into its archive."""
        return self.pair(sample)[1].place


def root_of(request: DatasetRequest, declared: Dataset) -> Path:
    """Return the absolute root; raise DataError without one."""
    if request.root is None:
        raise DataError(
            f"dataset {declared.name} needs `root`", place=declared.name, fix=f"get it: {declared.how_to_get}"
        )
    return request.root.absolute()


def tell_missing(problems: Problems, folder: Path, names: Sequence[str], what: str) -> None:
    """Note what is said of each of these names in a folder; many of them in one line."""
    if len(names) > SINGLY:
        problems.missing(folder, f"{what}, {len(names):,} times: {some(names)}")
        return
    for name in names:
        problems.missing(folder / name, what)


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, in the plural unless it is one."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def passed_over(listing: Listing, place: str, names: Sequence[str]) -> None:
    """Remark on files of a folder that have no published name."""
    if names:
        listing.remarks.append(f"passed over: {counted(len(names), 'other file')} in {place} ({some(names)})")


def some(names: Iterable[str], most: int = NAMED) -> str:
    """Return the first few names and how many follow."""
    found = list(names)
    rest = len(found) - most
    return ", ".join(found[:most]) + (f" and {rest} more" if rest > 0 else "")
