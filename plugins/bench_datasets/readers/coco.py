"""COCO annotations: polygons and RLE, painted by pycocotools.

Format: https://cocodataset.org/#format-data (Lin et al., ECCV 2014).
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench_core import DatasetRequest
from bench_core.data.samples import Sample, UInt8Array
from bench_core.errors import DataError
from bench_datasets.decoding.pictures import MOST_PIXELS, decode_image
from bench_datasets.folder.classes import parse_classes
from bench_datasets.folder.groups import find_groups
from bench_datasets.folder.tables import composed
from bench_datasets.problems import Problems
from bench_datasets.readers.coco_regions import wrong_region
from bench_datasets.readers.label_tables import below, check_classes, read_table
from bench_datasets.readers.published import header_size, listable, natural

MOST_BYTES = 512 * 1024**2
"""Of the JSON file."""
Region = Mapping[str, Any]
_Image = tuple[str, Path, tuple[int, int] | None]
"""Sample id, file, and width and height as the JSON file says them."""


class CocoReader:
    """One sample per image of the JSON file; regions are painted in the order of the classes."""

    def __init__(self, request: DatasetRequest) -> None:
        if request.root is None:
            raise DataError("dataset coco needs `root`", place="coco", fix="give `root: folder`")
        self._root = request.root
        self._options = request.options
        self._channels = int(request.options["channels"])
        try:
            self._classes = parse_classes(request.options)
        except ValueError as error:
            raise DataError(str(error), place=str(request.root)) from error
        self._regions: dict[str, list[Region]] | None = None
        self._lock = threading.Lock()

    def samples(self) -> Sequence[Sample]:
        """Return the images sorted by name; raise LayoutError with everything that does not fit."""
        return self._list()[0]

    def remarks(self) -> Sequence[str]:
        """Return what is passed over, and how many images have no region."""
        return self._list()[1]

    def read(self, sample: Sample) -> tuple[UInt8Array, UInt8Array]:
        """Decode one image and paint its regions; raise DataError with the path of what cannot be used."""
        with self._lock:
            if self._regions is None:
                self._regions = self._table(sample.files[1], Problems(self._root, allow_missing=False))[1]
            regions = self._regions
        image = decode_image(sample.files[0], self._channels, "dtype")
        mask = np.zeros(image.shape[:2], dtype=np.uint8)
        for region in sorted(regions.get(sample.id, []), key=lambda each: int(each["label"])):
            mask[self._painted(region, mask.shape, sample.files[1])] = region["label"]
        return image, mask

    def _painted(self, region: Region, shape: tuple[int, ...], path: Path) -> Any:
        from pycocotools import mask as coco

        height, width = shape
        try:
            form = region["segmentation"]
            if isinstance(form, list):
                codes = coco.merge(coco.frPyObjects(form, height, width))
            elif isinstance(form["counts"], list):
                codes = coco.frPyObjects(form, height, width)
            else:
                codes = {"size": [height, width], "counts": form["counts"].encode("ascii")}
            found = np.asarray(coco.decode(codes))
        except (ValueError, TypeError, KeyError, UnicodeError) as error:
            raise DataError(
                f"annotation {region['id']}: its region cannot be painted: {error}",
                place=str(path),
                fix="export the annotations again",
            ) from error
        return found.astype(bool)

    def _list(self) -> tuple[list[Sample], list[str]]:
        if not self._root.is_dir():
            raise DataError(
                "the dataset's root is not a folder", place=str(self._root), fix="correct `root:` in the spec"
            )
        problems = Problems(self._root, allow_missing=False)
        remarks: list[str] = []
        path = self._root / str(self._options["annotations"])
        with listable(self._root):
            images, regions = self._table(path, problems)
            samples = self._samples(images, path, problems)
        with self._lock:
            self._regions = regions
        bare = sum(1 for sample in samples if not regions.get(sample.id))
        if bare:
            remarks.append(
                f"{bare} of {len(samples)} images have no region of a class: they are read as background"
            )
        used = {sample.files[0].name for sample in samples}
        folder = self._root / str(self._options["images"])
        left = [
            each.name
            for each in (sorted(folder.iterdir()) if folder.is_dir() else [])
            if each.is_file() and each.suffix.lower() in (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
            and not each.name.startswith(".") and each.name not in used
        ]  # fmt: skip
        if left:
            remarks.append(
                f"passed over: {len(left)} images that {path.name} does not list: {', '.join(left[:3])}"
            )
        problems.raise_all(samples)
        return samples, remarks

    def _table(self, path: Path, problems: Problems) -> tuple[dict[int, _Image], dict[str, list[Region]]]:
        """Return what the JSON file says of images and, by sample, of regions; no image is opened."""
        if not path.resolve().is_relative_to(self._root.resolve()):
            problems.add(path, "does not lie below the root")
            return {}, {}
        table = read_table(path, problems, MOST_BYTES)
        if table is None:
            return {}, {}
        images = self._images(table, path, problems)
        return images, self._find_regions(table, path, images, problems)

    def _images(self, table: Mapping[str, Any], path: Path, problems: Problems) -> dict[int, _Image]:
        """Return sample id, file and claimed size of each image, by its number in the table."""
        found: dict[int, _Image] = {}
        listed = table.get("images")
        ids: Counter[str] = Counter()
        folder = self._root / str(self._options["images"])
        for number, entry in enumerate(listed if isinstance(listed, list) else []):
            name = entry.get("file_name") if isinstance(entry, dict) else None
            file = below(self._root, folder, name)
            key = _number(entry, "id")
            if file is None or key is None or Path(str(name)).name == "" or not str(name).isprintable():
                problems.add(
                    path, f"images[{number}] names no id and no file_name below {self._options['images']}"
                )
                continue
            sample = composed(str(Path(str(name)).with_suffix("")))
            ids[sample] += 1
            if key in found or ids[sample] > 1:
                problems.add(path, f"images[{number}] is a second {name!a:.60}, by its id or its name")
                continue
            width, height = _number(entry, "width"), _number(entry, "height")
            fine = width is not None and height is not None and 0 < width * height <= MOST_PIXELS
            if not fine:
                problems.add(path, f"images[{number}] says no width and height")
            found[key] = (sample, file, (width or 0, height or 0) if fine else None)
        if not found and not isinstance(listed, list):
            problems.add(path, "images must be a list of images")
        return found

    def _find_regions(
        self,
        table: Mapping[str, Any],
        path: Path,
        images: Mapping[int, _Image],
        problems: Problems,
    ) -> dict[str, list[Region]]:
        named = {}
        categories = table.get("categories")
        for entry in categories if isinstance(categories, list) else []:
            number = _number(entry, "id")
            if number is not None:
                named[number] = str(entry.get("name", number))
        if not named:
            problems.add(path, "categories must list ids and names")
        else:
            check_classes(problems, path, named, None, self._classes)
        regions: dict[str, list[Region]] = {}
        listed = table.get("annotations")
        if not isinstance(listed, list):
            problems.add(path, "annotations must be a list")
            return {}
        for place, entry in enumerate(listed):
            key, category = _number(entry, "image_id"), _number(entry, "category_id")
            image = None if key is None else images.get(key)
            if image is None or not isinstance(entry, dict):
                problems.add(path, f"annotations[{place}] is of no image that the file lists")
                continue
            if image[2] is None:
                continue
            label = self._classes.values.get(-1 if category is None else category, self._classes.rest)
            wrong = wrong_region(entry.get("segmentation"), image[2])
            if wrong:
                problems.add(path, f"annotations[{place}] {wrong}")
            elif category not in named:
                problems.add(path, f"annotations[{place}] is of no category that the file lists")
            elif label:
                region = {
                    "id": entry.get("id", place),
                    "label": label,
                    "segmentation": entry["segmentation"],
                }
                regions.setdefault(image[0], []).append(region)
        return regions

    def _samples(self, images: Mapping[int, _Image], path: Path, problems: Problems) -> list[Sample]:
        rows = sorted(images.values(), key=lambda row: natural(row[0]))
        names = {sample: file.relative_to(self._root).as_posix() for sample, file, _ in rows}
        lines: list[str] = []
        groups = find_groups(
            self._root, names, str(self._options["group_pattern"]), str(self._options["group_file"]), lines
        )
        for line in lines:
            place, _, what = line.partition(": ")
            problems.add(place, what)
        samples = []
        for sample, file, claimed in rows:
            if not file.is_file():
                problems.add(file, f"is missing: {path.name} lists it")
                continue
            try:
                size = header_size(file)
            except DataError as error:
                problems.add(file, error.message)
                continue
            if claimed is not None and size != claimed:
                problems.add(
                    file,
                    f"is {size[0]} x {size[1]} pixels, {path.name} says "
                    f"{claimed[0]!a:.12} x {claimed[1]!a:.12}",
                )
                continue
            if claimed is not None:
                samples.append(Sample(sample, groups[sample], (file, path)))
        return samples


def _number(entry: object, key: str) -> int | None:
    found = entry.get(key) if isinstance(entry, dict) else None
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def open_coco(request: DatasetRequest) -> CocoReader:
    """Open a folder of images with a JSON file of annotations."""
    return CocoReader(request)
