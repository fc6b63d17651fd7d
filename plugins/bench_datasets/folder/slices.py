"""Volumes and stacks among own files, cut into slices that stay together."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bench_core import IGNORE
from bench_core.data.samples import Sample, UInt8Array
from bench_core.errors import DataError
from bench_datasets.decoding.nifti import is_nifti
from bench_datasets.decoding.pictures import decode_pixels
from bench_datasets.decoding.pixels import Pixels
from bench_datasets.decoding.tiff import count_pages
from bench_datasets.decoding.windows import Window, parse_window
from bench_datasets.folder.classes import Classes, parse_classes
from bench_datasets.folder.labels import joined, label_indices, read_mask
from bench_datasets.folder.search import shown
from bench_datasets.volumes import Volume, VolumeCache, open_volume, other_place

MOST_SLICES = 100_000
"""Of one file."""
KNOWN = 4096
"""Headers that are kept."""
_TIFF = (".tif", ".tiff")


class Slices:
    """Knows which files are stacks, and reads one slice of them. Safe for several threads."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = options
        self._plane = str(options["slices"])
        self._classes: Classes = parse_classes(options)
        self._window: Window = parse_window(options["intensity"])
        self._cache = VolumeCache()
        self._headers: dict[tuple[str, int], Volume | int] = {}
        self._shown: dict[tuple[Any, ...], list[int]] = {}
        self._lock = threading.Lock()
        self.left_out = 0
        """Slices without foreground that the last listing left out."""

    def cut(self, root: Path, samples: Sequence[Sample], problems: list[str]) -> list[Sample]:
        """Return the slices of each sample that is a stack, and other samples as they are.

        What does not fit together is added to `problems`. A slice's group is that of its stack.
        """
        if not self._plane:
            return list(samples)
        found: list[Sample] = []
        self.left_out = 0
        for sample in samples:
            try:
                found += self._slices_of(root, sample, problems)
            except DataError as error:
                problems.append(f"{shown(root, Path(error.place or sample.files[0]))}: {error.message}")
        return found

    def number_of(self, sample: Sample) -> int | None:
        """Return which slice of its files a sample is; None for a picture of its own."""
        if not self._plane or self._stack(sample.files[0]) is None:
            return None
        return int(sample.id.rpartition("-")[2])

    def pixels(self, sample: Sample, number: int) -> tuple[Pixels, Window]:
        """Return a slice's values, and the window that is meant for them.

        `image` is the range of nearly all voxels of a volume (percentiles 0.5 to 99.5).
        """
        path = sample.files[0]
        stack = self._stack(path)
        if not isinstance(stack, Volume):
            return decode_pixels(path, colors=True, page=number), self._window
        values = self._cache.read(stack, self._plane, number)
        if self._window != "image":
            return Pixels(values), self._window
        ranges = self._cache.range(stack)
        return Pixels(values), ranges[0] if len(ranges) == 1 else ranges

    def mask(self, paths: Sequence[Path], number: int) -> UInt8Array:
        """Return the class indices of a slice [H, W]."""
        masks = []
        for path in paths:
            stack = self._stack(path)
            if isinstance(stack, Volume):
                values = self._cache.read(stack, self._plane, number)
                masks.append(label_indices(values, self._classes, path))
            else:
                masks.append(read_mask(path, self._classes, page=number))
        return joined(masks, paths)

    def _slices_of(self, root: Path, sample: Sample, problems: list[str]) -> list[Sample]:
        image, *masks = sample.files
        stack = self._stack(image)
        if stack is None:
            return [sample]
        count = self._count(stack)
        fits = True
        for mask in masks:
            other = self._stack(mask)
            what = ""
            if isinstance(stack, Volume) and isinstance(other, Volume):
                what = other_place(stack, other)
                if not what and stack.normal(self._plane) != other.normal(self._plane):
                    what = "has other axes than its image: name the plane in `slices`, such as axial"
            elif other is None or self._count(other) != count:
                slices = 1 if other is None else self._count(other)
                what = f"has {slices} slice{'s' if slices > 1 else ''}, its image {image.name} {count}"
            if what:
                problems.append(f"{shown(root, mask)}: {what}")
                fits = False
        if not fits:
            return []
        numbers = list(range(count))
        if self._options["empty_slices"] == "drop":
            numbers = self._with_foreground(masks, count)
            self.left_out += count - len(numbers)
        digits = max(3, len(str(count - 1)))
        spacing = stack.slice_spacing(self._plane) if isinstance(stack, Volume) else None
        return [
            replace(
                sample,
                id=f"{sample.id}-{number:0{digits}d}",
                attributes={**sample.attributes, "slice": float(number)},
                spacing=spacing,
            )
            for number in numbers
        ]

    def _with_foreground(self, masks: Sequence[Path], count: int) -> list[int]:
        key = tuple((str(path), path.stat().st_mtime_ns, path.stat().st_size) for path in masks)
        if key not in self._shown:
            self._shown[key] = [
                number for number in range(count) if not np.isin(self.mask(masks, number), (0, IGNORE)).all()
            ]
        return self._shown[key]

    def _count(self, stack: Volume | int) -> int:
        return stack.slices(self._plane) if isinstance(stack, Volume) else stack

    def _stack(self, path: Path) -> Volume | int | None:
        """Return a volume, or the number of pages of a TIFF; None for one picture."""
        key = (str(path), path.stat().st_mtime_ns)
        with self._lock:
            if key not in self._headers:
                if len(self._headers) >= KNOWN:
                    self._headers.clear()
                self._headers[key] = self._look(path)
            found = self._headers[key]
        return None if self._count(found) == 1 and not isinstance(found, Volume) else found

    def _look(self, path: Path) -> Volume | int:
        if is_nifti(path):
            volume = open_volume(path)
            return 1 if min(volume.shape) == 1 and volume.slices("acquired") == 1 else volume
        return count_pages(path, MOST_SLICES) if path.name.lower().endswith(_TIFF) else 1
