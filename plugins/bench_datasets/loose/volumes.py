"""NIfTI files of no dataset: slices in a reader's orientation, and label maps where the voxels lie."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench_core.data.picture import Picture
from bench_core.data.samples import UInt8Array
from bench_core.errors import DataError
from bench_datasets.decoding.pictures import as_picture
from bench_datasets.decoding.pixels import GIVE_CHANNELS, Pixels, check_size
from bench_datasets.decoding.windows import Window
from bench_datasets.loose.pictures import without_options, words_of
from bench_datasets.volumes import (
    MOST_BYTES,
    Volume,
    VolumeCache,
    open_volume,
    other_place,
    to_bytes,
    told,
)

Ranges = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class LooseVolume:
    """Volumes that lie alike, whose channels belong together; slices are cut along a plane of the patient."""

    volumes: tuple[Volume, ...]
    plane: str
    cache: VolumeCache
    ranges: Callable[[Volume, int, np.dtype[Any]], Ranges]
    """Of a volume, its place among the volumes, and its values' type: what becomes 0..255, by channel."""
    window: str
    """The same in words."""
    channels: int

    keeps_space = True

    @property
    def slices(self) -> int:
        """How many there are along the plane."""
        return self.volumes[0].slices(self.plane)

    @property
    def facts(self) -> Mapping[str, str]:
        """How it is decoded."""
        return {"intensity": self.window, "plane": self.plane}

    def picture(self, number: int) -> Picture:
        """Decode a slice [H, W, C]: front or top up, the patient's right to the right."""
        parts = []
        for place, volume in enumerate(self.volumes):
            values = self.cache.read(volume, self.plane, number)
            try:
                parts.append(to_bytes(values, self.ranges(volume, place, values.dtype)))
            except ValueError as error:
                fix = "replace NaN and infinity"
                raise DataError(str(error), place=str(volume.path), fix=fix) from error
        found = np.concatenate(parts, axis=2)
        if found.shape[2] == 1 < self.channels == 3:
            found = np.repeat(found, 3, axis=2)
        if found.shape[2] != self.channels:
            raise DataError(
                f"has {found.shape[2]} channel(s), the networks were trained on {self.channels}",
                place=str(self.volumes[0].path),
                fix="give all channels of an image: CASE_0000.nii.gz, CASE_0001.nii.gz and so on"
                if len(self.volumes) < self.channels
                else GIVE_CHANNELS,
            )
        return Picture(found)

    def write(self, labels: Iterable[UInt8Array], path: Path) -> None:
        """Write label maps as voxels of the first volume's grid, with its affine and header."""
        volume = self.volumes[0]
        normal = volume.normal(self.plane)
        found = np.zeros([volume.shape[volume.axes.index(axis)] for axis in range(3)], dtype=np.uint8)
        turned = np.moveaxis(found, volume.axes, range(3))
        turned = turned[tuple(slice(None, None, -1 if flip else 1) for flip in volume.flipped)]
        for number, each in enumerate(labels):
            place: list[Any] = [slice(None)] * 3
            place[normal] = number
            # The remaining axes of the patient: the first runs along a row, the second up.
            turned[tuple(place)] = each[::-1].T
        save(found, volume.path, path)


@dataclass(frozen=True)
class LooseStack:
    """A NIfTI file as pictures along its third axis, as the file stores them; a 2-D file is one."""

    path: Path
    shape: tuple[int, ...]
    channels: int
    window: Window

    keeps_space = True

    @property
    def slices(self) -> int:
        """How many there are along the third axis."""
        return self.shape[2] if len(self.shape) > 2 else 1

    @property
    def facts(self) -> Mapping[str, str]:
        """How it is decoded."""
        return {"intensity": words_of(self.window), "plane": "as stored, along the third axis"}

    def values(self, number: int) -> NDArray[Any]:
        """Return a slice's values [H, W]: the file's first axis runs along a row."""
        more = (number,) + (0,) * (len(self.shape) - 3) if len(self.shape) > 2 else ()
        with told(self.path):
            found = np.asarray(opened(self.path).dataobj[(slice(None), slice(None), *more)])
        return np.ascontiguousarray(found.astype(found.dtype.newbyteorder("="), copy=False).T)

    def picture(self, number: int) -> Picture:
        """Decode a slice; raise DataError with the path."""
        with without_options():
            return as_picture(Pixels(self.values(number)), self.channels, self.window, self.path)

    def write(self, labels: Iterable[UInt8Array], path: Path) -> None:
        """Write label maps as voxels of the file's own grid, with its affine and header."""
        planes = [each.T for each in labels]
        found = planes[0] if len(self.shape) == 2 else np.stack(planes, axis=2)
        save(np.ascontiguousarray(found.reshape(self.shape)), self.path, path)


def open_stack(path: Path, channels: int, window: Window) -> LooseStack:
    """Read the header of a file of pictures; raise DataError with its path."""
    with told(path):
        image = opened(path)
        shape, stored = tuple(int(side) for side in image.shape), np.dtype(image.dataobj.dtype)
    if len(shape) < 2 or min(shape) < 1 or any(side != 1 for side in shape[3:]) or stored.kind not in "uif":
        raise DataError(
            f"is an array of {' x '.join(map(str, shape))} {stored}, expected a picture or a stack of them",
            place=str(path),
            fix="store each stack of numbers as a file of its own",
        )
    check_size(path, shape[0], shape[1])
    if int(np.prod(shape, dtype=object)) * stored.itemsize > MOST_BYTES:
        raise DataError(
            f"its header promises {' x '.join(map(str, shape))} values of {stored}, which are too many",
            place=str(path),
            fix="crop or split the stack",
        )
    return LooseStack(path, shape, channels, window)


def open_volumes(paths: Sequence[Path]) -> tuple[Volume, ...]:
    """Read the headers of volumes that belong together; raise DataError where they do not lie alike."""
    first, *others = found = tuple(open_volume(path) for path in paths)
    for other in others:
        what = other_place(first, other)
        if what:
            raise DataError(what, place=str(other.path), fix="resample the channels onto one grid")
    return tuple(found)


def opened(path: Path) -> Any:
    """Return a NIfTI file's header and a way to its voxels; raise ValueError for other files."""
    import nibabel

    if not path.is_file():
        raise ValueError("it is not a regular file")
    image: Any = nibabel.load(path)
    if not hasattr(image.dataobj, "get_unscaled"):
        raise ValueError("it is not a NIfTI file")
    return image


def save(voxels: UInt8Array, source: Path, path: Path) -> None:
    """Write labels with the affine and header of their image, but for how values are stored."""
    import nibabel

    image = opened(source)
    kind = image.__class__ if isinstance(image, nibabel.Nifti1Image) else nibabel.Nifti1Image
    header = image.header.copy()
    header.set_data_dtype(np.uint8)
    header["cal_min"] = header["cal_max"] = 0
    found = kind(voxels, image.affine, header)
    found.header.set_slope_inter(1, 0)
    found.to_filename(path)
