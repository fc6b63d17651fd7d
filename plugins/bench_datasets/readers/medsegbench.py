"""MedSegBench: one NAME_SIZE.npz with train_images, train_label and so for val and test.

Kuş and Aydin, Scientific Data 2024, doi:10.1038/s41597-024-04159-2.
"""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench_core import DatasetRequest
from bench_core.data.samples import Sample, UInt8Array
from bench_core.errors import DataError
from bench_core.files.arrays import Arrays, open_arrays
from bench_core.files.bounded import BoundError
from bench_datasets.decoding.pictures import MOST_PIXELS
from bench_datasets.folder.classes import parse_classes
from bench_datasets.problems import Problems
from bench_datasets.readers.label_tables import label_indices
from bench_datasets.readers.published import listable

PARTS = ("train", "val", "test")
NAME = re.compile(r"[A-Za-z0-9_-]+_[0-9]+\.npz")
MOST_BYTES = 16 * 1024**3
"""Of all arrays in one file, decompressed; the largest published file holds less."""
KEPT_BYTES = 2 * 1024**3
"""Of arrays that are kept in memory, beside those of the part that is read."""


class MedSegBenchReader:
    """Images of the parts train, val and test; an array is decompressed once and kept for the next image."""

    def __init__(self, request: DatasetRequest) -> None:
        if request.root is None:
            raise DataError(
                "dataset medsegbench needs `root`", place="medsegbench", fix="give `root: folder`"
            )
        self._root = request.root
        self._file = str(request.options["file"])
        self._category = str(request.options["category"])
        self._channels = int(request.options["channels"])
        try:
            self._classes = parse_classes(request.options)
        except ValueError as error:
            raise DataError(str(error), place=str(request.root)) from error
        self._lock = threading.Lock()
        self._known: dict[Path, tuple[str, ...]] = {}
        self._kept: OrderedDict[tuple[str, str, int], NDArray[np.uint8]] = OrderedDict()

    def samples(self) -> Sequence[Sample]:
        """Return the images in the order of the file; raise LayoutError with everything that does not fit."""
        return self._list()[0]

    def remarks(self) -> Sequence[str]:
        """Return what the file does not say, and what is left unread."""
        return self._list()[1]

    def read(self, sample: Sample) -> tuple[UInt8Array, UInt8Array]:
        """Decode one image and its mask; raise DataError with the file's path."""
        part, _, number = sample.id.partition("-")
        path = sample.files[0]
        images, label = (self._array(path, name) for name in self._names(part, self._members(path)))
        image = images[int(number)].copy()
        mask = label[int(number)]
        image = image[:, :, None] if image.ndim == 2 else image
        return image, label_indices(mask.reshape(image.shape[:2]), self._classes, path)

    def _names(self, part: str, members: Sequence[str]) -> tuple[str, str]:
        """Return the names of a part's images and labels; a category may have images of its own."""
        end = f"_{self._category}" if self._category else ""
        images = f"{part}_images"
        return (images + end if images + end in members else images), f"{part}_label{end}"

    def _members(self, path: Path) -> tuple[str, ...]:
        """Return the names of the file's arrays, looked up once."""
        with self._lock:
            if path not in self._known:
                try:
                    with open_arrays(path, MOST_BYTES) as arrays:
                        self._known[path] = arrays.names
                except (BoundError, OSError) as error:
                    raise _unreadable(path, error) from error
            return self._known[path]

    def _list(self) -> tuple[list[Sample], list[str]]:
        if not self._root.is_dir():
            raise DataError(
                "the dataset's root is not a folder", place=str(self._root), fix="correct `root:` in the spec"
            )
        problems = Problems(self._root, allow_missing=False)
        remarks: list[str] = []
        samples: list[Sample] = []
        with listable(self._root):
            path = self._path(problems)
        if path is not None:
            try:
                with open_arrays(path, MOST_BYTES) as arrays:
                    samples = self._of(path, arrays, problems, remarks)
            except (BoundError, OSError) as error:
                problems.add(path, f"cannot be read: {error}")
        problems.raise_all(samples)
        return samples, remarks

    def _path(self, problems: Problems) -> Path | None:
        if self._file:
            path = self._root / self._file
            if path.is_file() and path.resolve().is_relative_to(self._root.resolve()):
                return path
            problems.add(self._file, "is missing, or does not lie below the root")
            return None
        found = sorted(path for path in self._root.iterdir() if NAME.fullmatch(path.name) and path.is_file())
        if len(found) == 1:
            return found[0]
        named = ", ".join(path.name for path in found[:5])
        problems.add(".", f"write which `file` is meant: {named}" if named else "holds no file NAME_SIZE.npz")
        return None

    def _of(self, path: Path, arrays: Arrays, problems: Problems, remarks: list[str]) -> list[Sample]:
        """Return the samples that the arrays' headers promise."""
        samples: list[Sample] = []
        parts = [part for part in PARTS if self._names(part, arrays.names)[0] in arrays.names]
        if not parts:
            problems.add(path, "holds no train_images, val_images or test_images: it is not of MedSegBench")
        elif len(parts) < len(PARTS):
            remarks.append(
                f"{path.name} holds no part " + ", ".join(each for each in PARTS if each not in parts)
            )
        for part in parts:
            images, label = self._names(part, arrays.names)
            wrong = self._wrong(arrays, images, label)
            if wrong:
                problems.add(path, wrong)
                continue
            count = arrays.header(images)[1][0]
            samples += [
                Sample(f"{part}-{number:05d}", f"{part}-{number:05d}", (path,), {"part": part})
                for number in range(count)
            ]
        remarks.append(
            "groups: MedSegBench names no patients, so that each image is one; its parts are dealt by chance"
        )
        return samples

    def _wrong(self, arrays: Arrays, images: str, label: str) -> str:
        """Return in words what is wrong with the arrays of a part; empty if nothing is."""
        if label not in arrays.names:
            start = f"{label.split('_')[0]}_label_"
            known = [name.removeprefix(start) for name in arrays.names if name.startswith(start)]
            more = f"; write `category`, one of {', '.join(known)}" if known else ""
            return f"array {label!a:.60} is missing{more}"
        dtype, shape = arrays.header(images)
        kind, size = arrays.header(label)
        channels = shape[3] if len(shape) == 4 else 1
        if dtype != np.uint8 or len(shape) not in (3, 4) or 0 in shape or shape[1] * shape[2] > MOST_PIXELS:
            return f"array {images!a} is {dtype} {list(shape)}, expected uint8 [N, H, W] or [N, H, W, C]"
        if kind != np.uint8 or size not in (shape[:3], (*shape[:3], 1)):
            return f"array {label!a} is {kind} {list(size)}, expected uint8 {list(shape[:3])}"
        if channels != self._channels:
            ours = self._channels
            return f"array {images!a} has {channels} channels: write `channels: {channels}`, not {ours}"
        return ""

    def _array(self, path: Path, name: str) -> NDArray[np.uint8]:
        """Return one array, decompressed once; the least recently read ones make room."""
        key = (str(path), name, path.stat().st_mtime_ns)
        with self._lock:
            if key not in self._kept:
                try:
                    with open_arrays(path, MOST_BYTES) as arrays:
                        self._kept[key] = arrays.read(name, np.uint8)
                except (BoundError, OSError) as error:
                    raise _unreadable(path, error) from error
                while len(self._kept) > 2 and sum(each.nbytes for each in self._kept.values()) > KEPT_BYTES:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(key)
            return self._kept[key]


def _unreadable(path: Path, error: Exception) -> DataError:
    return DataError(f"cannot be read: {error}", place=str(path), fix="download it again")


def open_medsegbench(request: DatasetRequest) -> MedSegBenchReader:
    """Open a folder with NAME_SIZE.npz files."""
    return MedSegBenchReader(request)
