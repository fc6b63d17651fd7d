"""Images and masks in folders of your own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench_core import DatasetRequest
from bench_core.data.picture import Picture
from bench_core.data.samples import Sample, UInt8Array
from bench_core.errors import DataError
from bench_datasets.decoding.nifti import on_grid_of
from bench_datasets.decoding.pictures import as_picture, decode_picture, decode_pixels
from bench_datasets.decoding.pixels import Pixels
from bench_datasets.decoding.windows import parse_window
from bench_datasets.folder.classes import parse_classes
from bench_datasets.folder.labels import joined, read_mask
from bench_datasets.folder.listing import list_samples
from bench_datasets.folder.orientation import turned_alone
from bench_datasets.folder.remarks import all_remarks
from bench_datasets.folder.slices import Slices


class FolderReader:
    """Pairs of files; see `list_samples` for how they are matched."""

    def __init__(self, root: Path, options: Mapping[str, Any]) -> None:
        self._root = root
        self._options = options
        self._classes = parse_classes(options)
        self._channels = int(options["channels"])
        self._intensity = parse_window(options["intensity"])
        self._alpha = options["mask_channel"] == "alpha"
        self._slices = Slices(options)
        self._upright = options["orientation"] == "exif"

    def samples(self) -> Sequence[Sample]:
        """Return the pairs sorted by id; raise DataError with everything that does not fit together."""
        return list_samples(self._root, self._options, self._slices)

    def remarks(self) -> Sequence[str]:
        """Return what is not used, and what is possible and rarely meant: ranges, orientations, names."""
        samples = self.samples()
        found = all_remarks(self._root, self._options, samples, self._pixels)
        left = self._slices.left_out
        return [*found, f"left out: {left} slices without foreground"] if left else found

    def read(self, sample: Sample) -> tuple[UInt8Array, UInt8Array]:
        """Decode one pair; raise DataError with the path of the file that cannot be used."""
        image, mask = self.read_picture(sample)
        return image.array, mask

    def read_picture(self, sample: Sample) -> tuple[Picture, UInt8Array]:
        """Decode one pair as `read` does; the image stays as it was decoded where nothing changes it."""
        image_path, *mask_paths = sample.files
        number = self._slices.number_of(sample)
        if number is not None:
            pixels, window = self._slices.pixels(sample, number)
            image = as_picture(pixels, self._channels, window, image_path)
            return image, self._slices.mask(mask_paths, number) if mask_paths else _empty(image)
        image = decode_picture(image_path, self._channels, self._intensity, upright=self._upright)
        masks = [self._read_mask(path, image_path, image) for path in mask_paths]
        return image, joined(masks, mask_paths) if masks else _empty(image)

    def _pixels(self, sample: Sample) -> Pixels:
        number = self._slices.number_of(sample)
        if number is None:
            return decode_pixels(sample.files[0], colors=True, upright=self._upright)
        return self._slices.pixels(sample, number)[0]

    def _read_mask(self, path: Path, image_path: Path, image: Picture) -> UInt8Array:
        mask = read_mask(path, self._classes, alpha=self._alpha, upright=self._upright)
        mask = on_grid_of(mask, path, image_path)
        if image.shape[:2] != mask.shape:
            cause = None
            if self._upright and image.shape[:2] == mask.shape[::-1]:
                cause = turned_alone(image_path, path)
            raise DataError(
                f"the mask is {mask.shape[1]} x {mask.shape[0]} pixels, its image {image_path.name} is "
                f"{image.shape[1]} x {image.shape[0]}" + (f" ({cause})" if cause else ""),
                place=str(path),
                fix="set the option `orientation: stored`" if cause else "export both at the same size",
            )
        return mask


def _empty(image: Picture) -> UInt8Array:
    return np.zeros(image.shape[:2], dtype=np.uint8)


def open_folder(request: DatasetRequest) -> FolderReader:
    """Open a folder of images and masks; raises DataError without a root or with options that do not fit."""
    if request.root is None:
        raise DataError("dataset folder needs `root`", place="folder", fix="give `root: path/of/your/data`")
    try:
        return FolderReader(request.root, request.options)
    except ValueError as error:
        raise DataError(str(error), place=str(request.root)) from error
