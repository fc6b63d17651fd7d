"""How images of no dataset are opened: like a folder's, like cases of volumes, like CAMUS."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bench_core.data.loose import LooseImage
from bench_core.data.picture import Picture
from bench_core.declarations import LooseRequest
from bench_datasets.declared.layouts import check_window
from bench_datasets.decoding.pictures import as_picture
from bench_datasets.decoding.pixels import Pixels
from bench_datasets.decoding.tiff import count_pages
from bench_datasets.decoding.windows import Window, parse_window
from bench_datasets.folder.slices import MOST_SLICES
from bench_datasets.loose.pictures import (
    PICTURES,
    VOLUMES,
    LoosePicture,
    alone,
    is_volume,
    only,
    without_options,
    words_of,
)
from bench_datasets.loose.volumes import LooseStack, LooseVolume, Ranges, open_stack, open_volumes
from bench_datasets.readers.camus_pixels import pixels_of, to_gray
from bench_datasets.readers.nnunet import CHANNEL
from bench_datasets.volumes import Volume, VolumeCache

_TIFF = (".tif", ".tiff")
_BYTES: Ranges = ((0.0, 255.0),)


@dataclass(frozen=True)
class FolderImages:
    """Images as the dataset `folder` reads them under its options."""

    channels: int
    window: Window
    upright: bool
    plane: str
    cache: VolumeCache = field(default_factory=VolumeCache)
    suffixes: tuple[str, ...] = (*PICTURES, *VOLUMES)

    def group(self, paths: Sequence[Path]) -> list[tuple[Path, ...]]:
        """Return each file alone."""
        return alone(paths)

    def open(self, files: tuple[Path, ...]) -> LooseImage:
        """Open a picture, a volume, or a TIFF of several pages."""
        path = only(files)
        if not is_volume(path):
            stacked = self.plane and path.name.lower().endswith(_TIFF)
            pages = count_pages(path, MOST_SLICES) if stacked else 1
            return LoosePicture(path, self.channels, self.window, self.upright, pages if pages > 1 else 0)
        if not self.plane:
            return open_stack(path, self.channels, self.window)
        volumes = open_volumes(files)
        # A picture in a file of volumes stays as it is stored, as the reader has it.
        if min(volumes[0].shape) == 1 and volumes[0].slices("acquired") == 1:
            return open_stack(path, self.channels, self.window)
        nearly = self.window == "image"
        words = words_of(None if nearly else self.window)
        given = (volumes, self.plane, self.cache, self._nearly_all, words, self.channels)
        return LooseVolume(*given) if nearly else SlicedVolume(*given, self.window)

    def _nearly_all(self, volume: Volume, place: int, dtype: np.dtype[Any]) -> Ranges:
        return self.cache.range(volume)


@dataclass(frozen=True)
class SlicedVolume(LooseVolume):
    """A volume whose slices are brought to 8 bits like pictures, each for itself."""

    given: Window = "dtype"

    def picture(self, number: int) -> Picture:
        """Decode a slice; raise DataError with the path."""
        volume = self.volumes[0]
        values = self.cache.read(volume, self.plane, number)
        with without_options():
            return as_picture(Pixels(values), self.channels, self.given, volume.path)


@dataclass(frozen=True)
class CaseImages:
    """Images as cases of volumes or pictures are read: nnU-Net, the Decathlon, templates."""

    channels: int
    plane: str
    window: Ranges | None
    """By channel; None: 8 bits as they are, else nearly all of the volume's values."""
    per_channel: bool = False
    """Whether CASE_0000 and CASE_0001 are channels of one image."""
    cache: VolumeCache = field(default_factory=VolumeCache)
    suffixes: tuple[str, ...] = (*PICTURES, *VOLUMES)

    def group(self, paths: Sequence[Path]) -> list[tuple[Path, ...]]:
        """Return the files of each case in the order of its channels."""
        if not self.per_channel or self.channels == 1:
            return alone(paths)
        found: dict[tuple[Path, str, str], list[Path]] = {}
        for path in paths:
            stem, dot, suffix = path.name.partition(".")
            match = CHANNEL.fullmatch(stem)
            key = (path.parent, match[1] if match else stem, dot + suffix)
            found.setdefault(key, []).append(path)
        return [tuple(sorted(files)) for files in found.values()]

    def open(self, files: tuple[Path, ...]) -> LooseImage:
        """Open the volumes of a case, or a picture."""
        if not is_volume(files[0]):
            ranges: Window = "dtype" if self.window is None else self.window[0]
            if self.window is not None and len(set(self.window)) > 1:
                ranges = self.window
            return LoosePicture(only(files), self.channels, ranges)
        words = "8 bits as they are, else percentiles 0.5 to 99.5 of the volume"
        return LooseVolume(
            open_volumes(files),
            self.plane,
            self.cache,
            self._range,
            words if self.window is None else words_of(self.window),
            self.channels,
        )

    def _range(self, volume: Volume, place: int, dtype: np.dtype[Any]) -> Ranges:
        if self.window is not None:
            return self.window if volume.channels > 1 else (self.window[place],)
        return _BYTES * volume.channels if dtype == np.uint8 else self.cache.range(volume)


@dataclass(frozen=True)
class CamusImage(LooseStack):
    """A picture or a sequence of ultrasound as CAMUS publishes it, the probe on top."""

    def picture(self, number: int) -> Picture:
        """Decode a frame; raise DataError with the path."""
        return Picture(to_gray(self.values(number), self.path))


@dataclass(frozen=True)
class CamusHeader(LoosePicture):
    """A picture of the older release: an MHD header with its data beside it."""

    def picture(self, number: int) -> Picture:
        """Decode it; raise DataError with the path."""
        return Picture(to_gray(pixels_of(self.path), self.path))


@dataclass(frozen=True)
class CamusImages:
    """Ultrasound as CAMUS publishes it, and gray pictures."""

    channels: int = 1
    suffixes: tuple[str, ...] = (*PICTURES, *VOLUMES, ".mhd")

    def group(self, paths: Sequence[Path]) -> list[tuple[Path, ...]]:
        """Return each file alone."""
        return alone(paths)

    def open(self, files: tuple[Path, ...]) -> LooseImage:
        """Open a NIfTI file, an MHD header or a picture."""
        path = only(files)
        if is_volume(path):
            found = open_stack(path, 1, (0.0, 255.0))
            return CamusImage(found.path, found.shape, 1, found.window)
        if path.suffix.lower() == ".mhd":
            return CamusHeader(path, 1, (0.0, 255.0), upright=False)
        return LoosePicture(path, 1, "dtype")


def open_like_folder(request: LooseRequest) -> FolderImages:
    """Return what opens images as the dataset `folder` does."""
    options = request.options
    window = parse_window(options["intensity"])
    return FolderImages(request.channels, window, options["orientation"] == "exif", str(options["slices"]))


def open_like_cases(request: LooseRequest) -> CaseImages:
    """Return what opens images as cases of volumes are read."""
    options = request.options
    window = check_window(options["window"], request.channels)
    return CaseImages(request.channels, str(options["plane"]), window, per_channel=True)


def open_like_mni152(request: LooseRequest) -> CaseImages:
    """Return what opens volumes of the head as the template's slices are read."""
    return CaseImages(request.channels, str(request.options["plane"]), None)


def open_like_camus(request: LooseRequest) -> CamusImages:
    """Return what opens ultrasound images as CAMUS's are read."""
    return CamusImages()
