"""What a dataset gives: samples with id, group and files, and a reader that decodes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

UInt8Array = NDArray[np.uint8]
Attribute = str | float


@dataclass(frozen=True, slots=True)
class Sample:
    """One image with its mask."""

    id: str
    """Unique in the dataset and equal on every machine."""
    group: str
    """Samples of one group (patient, video, slab) never lie in two folds."""
    files: tuple[Path, ...] = ()
    """Every file that the sample is read from; empty for generated data."""
    attributes: Mapping[str, Attribute] = field(default_factory=dict, hash=False)
    """What subgroups are made of: age, sex, scanner. A name is all text or all numbers in a dataset, and may
    be missing from some samples; no number of a job depends on it."""
    spacing: tuple[float, float] | None = None
    """mm from pixel to pixel of the original image, (down, across)."""


@runtime_checkable
class Reader(Protocol):
    """A dataset opened at a root, as published."""

    def samples(self) -> Sequence[Sample]:
        """Return all samples in a fixed order; raise DataError if the layout is not as published."""

    def read(self, sample: Sample) -> tuple[UInt8Array, UInt8Array]:
        """Decode image [H, W, C] (uint8) and mask [H, W] (uint8 class index, 0 = background).

        Where the task declares `ignore`, the mask may hold bench_core.IGNORE.

        May be called from several threads at once, in any order, and gives the same arrays each time.
        Raises DataError with the file's path if one is corrupt or the two do not fit.
        """


@runtime_checkable
class Remarking(Protocol):
    """A reader that has something to say about the data before they are used."""

    def remarks(self) -> Sequence[str]:
        """Return sentences that a user should see, such as which files are passed over; none as a rule."""


@runtime_checkable
class PixelRemarking(Protocol):
    """A reader that must decode its files to say what it has to say of them."""

    def pixel_remarks(self) -> Sequence[str]:
        """Return sentences about the samples' pixels; asked once for each content of the files."""
