"""Images that belong to no dataset, decoded as the reader of a dataset decodes its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from bench_core.data.picture import Picture
from bench_core.data.samples import UInt8Array


class LooseImage(Protocol):
    """One opened image: a picture, or a stack of slices that is read one by one."""

    @property
    def slices(self) -> int:
        """How many pictures it is."""

    @property
    def keeps_space(self) -> bool:
        """Whether its label maps are kept in a file like itself, which says where voxels lie (NIfTI)."""

    @property
    def facts(self) -> Mapping[str, str]:
        """How it is decoded, in words, by what: range, orientation, plane."""

    def picture(self, number: int) -> Picture:
        """Decode one slice [H, W, C]; raise DataError with the file's path."""

    def write(self, labels: Iterable[UInt8Array], path: Path) -> None:
        """Write the label maps [H, W] of all slices in order as a file that lies where the image does.

        Only where it `keeps_space`.
        """


class LooseReader(Protocol):
    """Opens files that a user has; may be used from one thread only."""

    @property
    def suffixes(self) -> tuple[str, ...]:
        """Ends of the names (lower case) of files that are images, for looking through folders."""

    def group(self, paths: Sequence[Path]) -> Sequence[tuple[Path, ...]]:
        """Return the files of each image, in the order of the paths: one, or one for each channel."""

    def open(self, files: tuple[Path, ...]) -> LooseImage:
        """Read the header of an image; raise DataError with the file's path."""
