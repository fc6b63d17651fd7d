"""Images and masks in folders of your own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench_core import DatasetRequest
from bench_core.data.samples import Sample, UInt8Array
from bench_core.errors import DataError
from bench_datasets.decoding.nifti import on_grid_of
from bench_datasets.decoding.pictures import decode_image
from bench_datasets.decoding.windows import parse_window
from bench_datasets.folder.classes import parse_classes
from bench_datasets.folder.labels import read_mask
from bench_datasets.folder.listing import list_samples
from bench_datasets.folder.remarks import passed_over


class FolderReader:
    """Pairs of files; see `list_samples` for how they are matched."""

    def __init__(self, root: Path, options: Mapping[str, Any]) -> None:
        self._root = root
        self._options = options
        self._classes = parse_classes(options)
        self._channels = int(options["channels"])
        self._intensity = parse_window(options["intensity"])
        self._alpha = options["mask_channel"] == "alpha"
        self._upright = options["orientation"] == "exif"

    def samples(self) -> Sequence[Sample]:
        """Return the pairs sorted by id; raise DataError with everything that does not fit together."""
        return list_samples(self._root, self._options)

    def remarks(self) -> Sequence[str]:
        """Return what lies in the folders, looks like data and is not used."""
        return passed_over(self._root, self._options, self.samples())

    def read(self, sample: Sample) -> tuple[UInt8Array, UInt8Array]:
        """Decode one pair; raise DataError with the path of the file that cannot be used."""
        image_path, mask_path = sample.files
        image = decode_image(image_path, self._channels, self._intensity, upright=self._upright)
        mask = read_mask(mask_path, self._classes, alpha=self._alpha, upright=self._upright)
        mask = on_grid_of(mask, mask_path, image_path)
        if image.shape[:2] != mask.shape:
            raise DataError(
                f"the mask is {mask.shape[1]} x {mask.shape[0]} pixels, its image {image_path.name} is "
                f"{image.shape[1]} x {image.shape[0]}",
                place=str(mask_path),
                fix="export both at the same size",
            )
        return image, mask


def open_folder(request: DatasetRequest) -> FolderReader:
    """Open a folder of images and masks; raises DataError without a root or with options that do not fit."""
    if request.root is None:
        raise DataError("dataset folder needs `root`", place="folder", fix="give `root: path/of/your/data`")
    try:
        return FolderReader(request.root, request.options)
    except ValueError as error:
        raise DataError(str(error), place=str(request.root)) from error
