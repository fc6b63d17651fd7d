"""Cases of volumes, read as slices that are grouped by volume, or of pictures, one file per channel."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bench_core import Dataset, DatasetRequest
from bench_core.data.samples import Sample, UInt8Array
from bench_core.errors import DataError
from bench_datasets.declared.layouts import check_window
from bench_datasets.decoding.pictures import decode_image, decode_mask
from bench_datasets.folder.classes import Classes, parse_classes
from bench_datasets.folder.groups import find_groups
from bench_datasets.problems import Problems
from bench_datasets.readers.label_tables import label_indices
from bench_datasets.readers.published import header_size, listable
from bench_datasets.volumes import Volume, VolumeCache, open_volume, other_place, to_bytes

VOLUMES = (".nii", ".nii.gz")
KNOWN = 4096
"""Headers that are kept."""


@dataclass(frozen=True)
class Case:
    """One image with its labels: a file of all channels, or one per channel in order."""

    id: str
    images: tuple[Path, ...]
    label: Path

    @property
    def is_volume(self) -> bool:
        """Whether it is cut into slices."""
        return self.label.name.lower().endswith(VOLUMES)


@dataclass
class Search:
    """What a layout's finder is given, and where it leaves problems and remarks."""

    root: Path
    options: Mapping[str, Any]
    classes: Classes
    problems: Problems
    remarks: list[str] = field(default_factory=list)


class StackReader:
    """Lists the slices or pictures of the cases that `find` finds, and decodes one at a time."""

    def __init__(
        self, request: DatasetRequest, declared: Dataset, find: Callable[[Search], Sequence[Case]]
    ) -> None:
        if request.root is None:
            raise DataError(
                f"dataset {declared.name} needs `root`",
                place=declared.name,
                fix="give `root: path/of/the/data`",
            )
        self._root = request.root
        self._options = request.options
        self._find = find
        self._channels = int(request.options["channels"])
        self._plane = str(request.options["plane"])
        try:
            self._classes = parse_classes(request.options)
            self._window = check_window(request.options["window"], self._channels)
        except ValueError as error:
            raise DataError(str(error), place=str(request.root)) from error
        self._cache = VolumeCache()
        self._headers: dict[tuple[Path, int], Volume] = {}
        self._shown: dict[tuple[Path, int], tuple[bool, ...]] = {}
        self._lock = threading.Lock()

    def samples(self) -> Sequence[Sample]:
        """Return the slices of each case in turn; raise LayoutError with everything that does not fit."""
        return self._list()[0]

    def remarks(self) -> Sequence[str]:
        """Return what is passed over: files of no case, slices that are left out."""
        return self._list()[1]

    def read(self, sample: Sample) -> tuple[UInt8Array, UInt8Array]:
        """Decode one slice or picture; raise DataError with the path of the file that cannot be used."""
        *images, label = sample.files
        if Case(sample.id, tuple(images), label).is_volume:
            return self._slice(images, label, int(sample.id.rpartition("-")[2]))
        if len(images) == 1:
            image = decode_image(images[0], self._channels, self._intensity(0))
        else:
            image = np.concatenate(
                [decode_image(path, 1, self._intensity(each)) for each, path in enumerate(images)], axis=2
            )
        return image, label_indices(decode_mask(label, colors=False), self._classes, label)

    def _intensity(self, channel: int) -> Any:
        return "dtype" if self._window is None else self._window[channel]

    def _slice(self, images: Sequence[Path], label: Path, number: int) -> tuple[UInt8Array, UInt8Array]:
        parts = []
        for channel, path in enumerate(images):
            volume = self._header(path)
            values = self._cache.read(volume, self._plane, number)
            if self._window is not None:
                ranges = self._window if volume.channels > 1 else (self._window[channel],)
            elif values.dtype == np.uint8:
                ranges = ((0.0, 255.0),) * volume.channels
            else:
                ranges = self._cache.range(volume)
            try:
                parts.append(to_bytes(values, ranges))
            except ValueError as error:
                raise DataError(str(error), place=str(path), fix="replace NaN and infinity") from error
        labels = self._cache.read(self._header(label), self._plane, number)
        return np.concatenate(parts, axis=2), label_indices(labels, self._classes, label)

    def _header(self, path: Path) -> Volume:
        key = (path, path.stat().st_mtime_ns if path.is_file() else 0)
        with self._lock:
            if key not in self._headers:
                if len(self._headers) >= KNOWN:
                    self._headers.clear()
                self._headers[key] = open_volume(path)
            return self._headers[key]

    def _list(self) -> tuple[list[Sample], list[str]]:
        if not self._root.is_dir():
            raise DataError(
                "the dataset's root is not a folder", place=str(self._root), fix="correct `root:` in the spec"
            )
        problems = Problems(self._root, allow_missing=False)
        search = Search(self._root, self._options, self._classes, problems)
        with listable(self._root):
            cases = list(self._find(search))
        names = {case.id: _shown(self._root, case.images[0]) for case in cases}
        lines: list[str] = []
        groups = find_groups(
            self._root, names, str(self._options["group_pattern"]), str(self._options["group_file"]), lines
        )
        for line in lines:
            place, _, what = line.partition(": ")
            problems.add(place, what)
        samples: list[Sample] = []
        dropped = 0
        for case in cases:
            try:
                found, left = self._samples_of(case, groups[case.id], problems)
            except DataError as error:
                problems.add(Path(error.place or case.label), error.message)
                continue
            samples += found
            dropped += left
        if dropped:
            search.remarks.append(f"left out: {dropped} slices of background alone (empty_slices: drop)")
        problems.raise_all(samples)
        return samples, search.remarks

    def _samples_of(self, case: Case, group: str, problems: Problems) -> tuple[list[Sample], int]:
        files = (*case.images, case.label)
        if not case.is_volume:
            return self._picture(case, group, problems), 0
        volumes = [self._header(path) for path in case.images]
        label = self._header(case.label)
        channels = sum(volume.channels for volume in volumes)
        if channels != self._channels:
            problems.add(
                case.images[0], f"has {channels} channels, the options say `channels: {self._channels}`"
            )
            return [], 0
        away = [
            (path, other_place(volumes[0], each))
            for path, each in zip(case.images[1:], volumes[1:], strict=True)
        ]
        away.append((case.label, other_place(volumes[0], label)))
        wrong = [(path, what) for path, what in away if what]
        for path, what in wrong:
            problems.add(path, what)
        if wrong:
            return [], 0
        if volumes[0].normal(self._plane) != label.normal(self._plane):
            problems.add(case.label, f"has other axes than its image: name the `plane`, not {self._plane}")
            return [], 0
        count = volumes[0].slices(self._plane)
        shown = (
            self._slices_shown(case.label, label)
            if self._options["empty_slices"] == "drop"
            else (True,) * count
        )
        spacing = volumes[0].slice_spacing(self._plane)
        digits = max(3, len(str(count - 1)))
        samples = [
            Sample(f"{case.id}-{number:0{digits}d}", group, files, {"slice": float(number)}, spacing)
            for number in range(count)
            if shown[number]
        ]
        return samples, count - len(samples)

    def _slices_shown(self, path: Path, label: Volume) -> tuple[bool, ...]:
        key = (path, path.stat().st_mtime_ns)
        if key not in self._shown:
            nothing = tuple(
                float(value) for value, index in self._classes.values.items() if index in (0, 255)
            )
            if self._classes.rest is None:
                self._shown[key] = tuple(self._cache.shown(label, self._plane, nothing).tolist())
            else:
                known = {value for value, index in self._classes.values.items() if index not in (0, 255)}
                slices = (
                    self._cache.read(label, self._plane, each) for each in range(label.slices(self._plane))
                )
                self._shown[key] = tuple(bool(np.isin(part, list(known)).any()) for part in slices)
        return self._shown[key]

    def _picture(self, case: Case, group: str, problems: Problems) -> list[Sample]:
        sizes = {path: header_size(path) for path in (*case.images, case.label)}
        width, height = sizes[case.images[0]]
        fits = True
        for path, size in sizes.items():
            if size != (width, height):
                problems.add(
                    path, f"is {size[0]} x {size[1]} pixels, {case.images[0].name} {width} x {height}"
                )
                fits = False
        return [Sample(case.id, group, (*case.images, case.label))] if fits else []


def _shown(root: Path, path: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)
