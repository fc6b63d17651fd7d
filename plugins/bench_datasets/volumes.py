"""Slices of NIfTI volumes: one orientation for all, their spacing, and no volume decompressed twice."""

from __future__ import annotations

import errno
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench_core.data.samples import UInt8Array
from bench_core.errors import DataError

PLANES = ("acquired", "axial", "coronal", "sagittal")
"""Directions of slices; acquired: across the widest spacing, or along the file's third axis where none is."""
NORMAL = {"sagittal": 0, "coronal": 1, "axial": 2}
"""Axis (to the right, front and top of the patient) that a slice of each plane is perpendicular to."""
MOST_BYTES = 2 * 1024**3
"""Of one volume in memory, as its file stores it."""
KEPT_BYTES = 1024**3
"""Of decompressed volumes that are kept for the next slice, beside the last one."""
MUCH_WIDER = 1.5
"""Spacing across the acquired slices in units of the widest within them."""
SAMPLED = 2_000_000
"""Voxels that a volume's range is taken from."""
PERCENTILES = (0.5, 99.5)
TO_MM = {"mm": 1.0, "meter": 1000.0, "micron": 0.001, "unknown": 1.0}
REPLACE = "open it in a viewer; export or copy it again"


@dataclass(frozen=True)
class Volume:
    """A file of voxels and how they lie in the patient, from its header alone."""

    path: Path
    shape: tuple[int, int, int]
    """Voxels along the patient's axes: to the right, front and top."""
    channels: int
    axes: tuple[int, int, int]
    """The file's axis along each of the patient's axes."""
    flipped: tuple[bool, bool, bool]
    spacing: tuple[float, float, float]
    """mm from voxel to voxel along the patient's axes."""
    affine: NDArray[np.float64]
    """[4, 4] from voxels, as they are after reorientation, to mm."""

    def normal(self, plane: str) -> int:
        """Return the patient's axis that slices of this plane are perpendicular to."""
        if plane != "acquired":
            return NORMAL[plane]
        widest = max(range(3), key=lambda axis: self.spacing[axis])
        others = max(self.spacing[axis] for axis in range(3) if axis != widest)
        return widest if self.spacing[widest] > MUCH_WIDER * others else self.axes.index(2)

    def slices(self, plane: str) -> int:
        """Return how many slices there are."""
        return self.shape[self.normal(plane)]

    def slice_spacing(self, plane: str) -> tuple[float, float]:
        """Return mm from pixel to pixel of a slice, (down, across)."""
        across, down = (self.spacing[axis] for axis in range(3) if axis != self.normal(plane))
        return down, across


def open_volume(path: Path, most_bytes: int = MOST_BYTES) -> Volume:
    """Read a NIfTI header; raise DataError for one that is damaged, too large, or has no orientation."""
    import nibabel

    image = _load(path)
    shape = tuple(int(side) for side in image.shape)
    while len(shape) > 4 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) == 2:
        shape = (*shape, 1)
    if len(shape) not in (3, 4) or min(shape, default=0) < 1:
        raise DataError(
            f"is an array of {' x '.join(map(str, image.shape))}, expected a volume, perhaps with channels",
            place=str(path),
            fix="store each volume as a file of its own",
        )
    stored = np.dtype(image.dataobj.dtype)
    if stored.kind not in "uif":
        raise DataError(f"holds {stored} values", place=str(path), fix="store numbers")
    if int(np.prod([int(side) for side in shape], dtype=object)) * stored.itemsize > most_bytes:
        raise DataError(
            f"its header promises {' x '.join(map(str, shape))} voxels of {stored}, which are too many",
            place=str(path),
            fix="crop or split the volume",
        )
    affine = np.asarray(image.affine, dtype=np.float64)
    turn = nibabel.io_orientation(affine) if np.isfinite(affine).all() else np.full((3, 2), np.nan)
    zooms = [float(size) for size in image.header.get_zooms()[:3]]
    zooms += [1.0] * (3 - len(zooms))
    scale = TO_MM.get(image.header.get_xyzt_units()[0], 1.0)
    if not np.isfinite(turn).all() or not all(np.isfinite(size) and size > 0 for size in zooms):
        raise DataError(
            "its header says neither where its axes point nor how far voxels lie apart",
            place=str(path),
            fix="correct the header's affine (sform or qform)",
        )
    axes = tuple(int(np.flatnonzero(turn[:, 0] == axis)[0]) for axis in range(3))
    return Volume(
        path=path,
        shape=(shape[axes[0]], shape[axes[1]], shape[axes[2]]),
        channels=shape[3] if len(shape) == 4 else 1,
        axes=(axes[0], axes[1], axes[2]),
        flipped=(bool(turn[axes[0], 1] < 0), bool(turn[axes[1], 1] < 0), bool(turn[axes[2], 1] < 0)),
        spacing=(zooms[axes[0]] * scale, zooms[axes[1]] * scale, zooms[axes[2]] * scale),
        affine=affine @ nibabel.orientations.inv_ornt_aff(turn, shape[:3]),
    )


def other_place(image: Volume, label: Volume) -> str:
    """Return in words how a label volume does not lie on its image; empty where it does."""
    if image.shape != label.shape:
        ours, theirs = (" x ".join(map(str, each.shape)) for each in (label, image))
        return f"is {ours} voxels, its image {image.path.name} {theirs}"
    if label.channels != 1:
        return f"has {label.channels} channels, expected labels"
    corners = np.array([[x, y, z, 1] for x in (0, 1) for y in (0, 1) for z in (0, 1)], dtype=np.float64)
    corners[:, :3] *= np.array(image.shape) - 1
    away = float(np.abs(corners @ (image.affine - label.affine).T).max())
    if away > 0.5 * min(image.spacing):
        return f"lies up to {away:.3g} mm beside its image {image.path.name}, by the headers' affines"
    return ""


class VolumeCache:
    """Reads slices; what had to be decompressed as a whole is kept for the next ones, within bounds.

    A volume that is not compressed is never read as a whole. Safe for several threads.
    """

    def __init__(self, kept_bytes: int = KEPT_BYTES) -> None:
        self._kept_bytes = kept_bytes
        self._loading = threading.Lock()
        self._kept: OrderedDict[tuple[str, int, int], NDArray[Any]] = OrderedDict()
        self._ranges: dict[tuple[str, int, int], tuple[tuple[float, float], ...]] = {}

    def read(self, volume: Volume, plane: str, number: int) -> NDArray[Any]:
        """Return slice `number` [H, W] or [H, W, C]: front or top up, the patient's right to the right.

        Values are the file's, scaled as its header says. Raises DataError with the path.
        """
        normal = volume.normal(plane)
        axis = volume.axes[normal]
        at = volume.shape[normal] - 1 - number if volume.flipped[normal] else number
        found = self._slice(volume, axis, at)
        across, down = (each for each in range(3) if each != normal)
        # The file's two remaining axes, the earlier one first, become (across, down).
        if volume.axes[across] > volume.axes[down]:
            found = found.swapaxes(0, 1)
        found = found[:: -1 if volume.flipped[across] else 1, :: -1 if volume.flipped[down] else 1]
        return np.ascontiguousarray(found.swapaxes(0, 1)[::-1])

    def range(self, volume: Volume) -> tuple[tuple[float, float], ...]:
        """Return the values between which nearly all voxels lie (percentiles 0.5 and 99.5), by channel."""
        key = _key(volume.path)
        if key not in self._ranges:
            values = self._whole(volume).reshape([*self._stored(volume), volume.channels])
            step = max(1, values[..., 0].size // SAMPLED)
            # In the order of the file, so that nothing is copied before it is thinned out.
            parts = [values[..., each].ravel(order="K")[::step] for each in range(volume.channels)]
            flat = np.stack(parts, axis=1).astype(np.float64)
            if not np.isfinite(flat).all():
                raise DataError("holds values that are not finite", place=str(volume.path), fix=REPLACE)
            low, high = np.percentile(flat, PERCENTILES, axis=0)
            slope, inter = self._scale(volume)
            ends = (
                (float(a * slope + inter), float(b * slope + inter)) for a, b in zip(low, high, strict=True)
            )
            self._ranges[key] = tuple((min(pair), max(pair)) for pair in ends)
        return self._ranges[key]

    def shown(self, volume: Volume, plane: str, background: tuple[float, ...] = (0.0,)) -> NDArray[np.bool_]:
        """Return for each slice whether it holds a value that is not background."""
        slope, inter = self._scale(volume)
        values = self._whole(volume).reshape([*self._stored(volume), volume.channels])
        normal = volume.normal(plane)
        moved = np.moveaxis(values, volume.axes[normal], 0)
        found = np.zeros(len(moved), dtype=bool)
        for number, part in enumerate(moved):
            scaled = part if (slope, inter) == (1, 0) else part * slope + inter
            found[number] = not np.isin(scaled, background).all()
        return found[::-1] if volume.flipped[normal] else found

    def _stored(self, volume: Volume) -> list[int]:
        sides = [0, 0, 0]
        for axis, side in zip(volume.axes, volume.shape, strict=True):
            sides[axis] = side
        return sides

    def _slice(self, volume: Volume, axis: int, at: int) -> NDArray[Any]:
        place: list[Any] = [slice(None)] * 3
        place[axis] = at
        if volume.path.name.lower().endswith(".gz"):
            slope, inter = self._scale(volume)
            whole = self._whole(volume).reshape([*self._stored(volume), volume.channels])
            found = whole[(*place, slice(None))]
            if (slope, inter) != (1, 0):
                found = found * slope + inter
        else:
            proxy = _load(volume.path).dataobj
            with told(volume.path):
                if len(proxy.shape) == 2:
                    found = np.asarray(proxy)[..., None][tuple(place)]
                else:
                    more = [slice(None)] * min(len(proxy.shape) - 3, 1) + [0] * max(len(proxy.shape) - 4, 0)
                    found = np.asarray(proxy[(*place, *more)])
            found = found.reshape(*found.shape[:2], volume.channels)
        found = found.astype(found.dtype.newbyteorder("="), copy=False)
        return np.asarray(found[:, :, 0] if volume.channels == 1 else found)

    def _whole(self, volume: Volume) -> NDArray[Any]:
        """Return the voxels as the file stores them, not scaled."""
        key = _key(volume.path)
        with self._loading:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
            proxy = _load(volume.path).dataobj
            with told(volume.path):
                values = np.asarray(proxy.get_unscaled())
            if not volume.path.name.lower().endswith(".gz"):
                return values
            self._kept[key] = values
            while len(self._kept) > 1 and sum(each.nbytes for each in self._kept.values()) > self._kept_bytes:
                self._kept.popitem(last=False)
            return values

    def _scale(self, volume: Volume) -> tuple[float, float]:
        proxy = _load(volume.path).dataobj
        return float(proxy.slope), float(proxy.inter)


def to_bytes(values: NDArray[Any], ranges: tuple[tuple[float, float], ...]) -> UInt8Array:
    """Map [H, W] or [H, W, C] to uint8 [H, W, C], each channel from its range (low, high) to 0..255.

    Raises ValueError for values that are not finite.
    """
    planes = values[:, :, None] if values.ndim == 2 else values
    result = np.empty(planes.shape, dtype=np.uint8)
    for channel in range(planes.shape[2]):
        low, high = ranges[channel]
        plane = planes[:, :, channel].astype(np.float64)
        if not np.isfinite(plane).all():
            raise ValueError("holds values that are not finite")
        scale = 255.0 / (high - low) if high > low else 0.0
        result[:, :, channel] = np.clip(np.floor((plane - low) * scale + 0.5), 0, 255)
    return result


def _key(path: Path) -> tuple[str, int, int]:
    state = path.stat()
    return str(path), state.st_size, state.st_mtime_ns


def _load(path: Path) -> Any:
    import nibabel

    with told(path):
        if not path.is_file():
            raise ValueError("it is not a regular file")
        try:
            image: Any = nibabel.load(path)
        except nibabel.filebasedimages.ImageFileError as error:
            raise ValueError("it is not a NIfTI volume, or its header is cut off") from error
        if not hasattr(image.dataobj, "get_unscaled"):
            raise ValueError("it is not a NIfTI volume")
        return image


@contextmanager
def told(path: Path) -> Iterator[None]:
    """Turn what decoders raise at damaged files into DataError with the path."""
    try:
        yield
    except (DataError, MemoryError):
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
            raise  # No fault of the file: another one would do no better.
        reason = str(error) or type(error).__name__
        raise DataError(f"cannot be decoded: {reason}", place=str(path), fix=REPLACE) from error
