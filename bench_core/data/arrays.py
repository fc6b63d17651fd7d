"""Decoded and resized samples, read from disk by memory map."""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from bench_core.data.holding import Held, hold
from bench_core.data.samples import Attribute, UInt8Array
from bench_core.errors import StoreError

INDEX, IMAGES, MASKS, CHECKED = "index.json", "images.npy", "masks.npy", "checked.json"
LOOKS = "looks.npy"


@dataclass(frozen=True, eq=False)
class CachedArrays:
    """All samples of a dataset at one image size."""

    ids: tuple[str, ...]
    groups: tuple[str, ...]
    images: UInt8Array
    """[N, S, S, C]"""
    masks: UInt8Array
    """[N, S, S] class indices, 0 = background, bench_core.IGNORE = counts nowhere"""
    fingerprint: str
    """sha256 over the content of all files, reader, version and options; not over the image size."""
    pixel_hashes: tuple[str, ...]
    """Equal for two images where all their pixels are, as decoded and before they were resized."""
    sizes: NDArray[np.int64] | None = None
    """[N, 2] pixels, (height, width) before the resize; None where nothing was resized."""
    spacing: tuple[tuple[float, float] | None, ...] = ()
    """mm per pixel of the original images, (down, across)."""
    attributes: tuple[Mapping[str, Attribute], ...] = ()
    labels: tuple[Mapping[int, int], ...] = ()
    """Label to its number of pixels in each cached mask; counted when the cache is built."""
    looks: UInt8Array | None = None
    """[N, 32, 32] small gray pictures of the original images (bench_core.data.looks)."""
    study_hashes: NDArray[np.uint64] | None = None
    """[N] perceptual hashes of the original images by the study's rule; None where no rule has asked for
    them."""
    keys: tuple[str, ...] = ()
    """Hash of each image's original size, small gray picture and cached pixels, for comparing datasets whose
    caches are of one image size; empty for arrays in memory."""
    mask_hashes: tuple[str, ...] = ()
    """sha256 of each mask as decoded; empty where no other image is equal."""
    copies: tuple[tuple[str, ...], ...] = ()
    """Ids of images that are copies of each other by the dataset's rule and not of one declared group."""
    left_out: tuple[str, ...] = ()
    """Ids of copies that are not among the samples."""
    remarks: tuple[str, ...] = ()
    """What became of copies, and what in them should make the user look again."""
    path: Path | None = None
    """Folder of the memory maps; None for arrays in memory."""
    checksums: tuple[int, ...] = ()
    """CRC-32 of each sample; empty for arrays in memory."""
    rows: NDArray[np.int64] | None = None
    """Places of the samples in the files; None where they are all samples of the files."""
    held: Held | None = field(default=None, repr=False)
    """Keeps `bench cache rm` from removing the files while these arrays are in use."""
    _read: set[int] = field(default_factory=set, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        # A loader process gets the path and maps the files itself: gigabytes are never pickled.
        state = dict(self.__dict__)
        if self.path is not None:
            state["images"] = state["masks"] = state["looks"] = state["held"] = None
            state["_read"] = set()
        return state

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.__dict__.update(state)
        if self.path is not None:
            self.__dict__["held"] = hold(self.path / INDEX)
            self.__dict__["images"] = _chosen(np.load(self.path / IMAGES, mmap_mode="r"), self.rows)
            self.__dict__["masks"] = _chosen(np.load(self.path / MASKS, mmap_mode="r"), self.rows)

    def take(self, numbers: NDArray[np.int64]) -> CachedArrays:
        """Return some of the samples, in this order; nothing is read from disk."""

        def some(column: tuple[Any, ...]) -> tuple[Any, ...]:
            return tuple(column[int(number)] for number in numbers) if column else ()

        rows: NDArray[np.int64] | None = None
        if self.path is None:
            images, masks = self.images[numbers], self.masks[numbers]
        else:
            rows = numbers if self.rows is None else self.rows[numbers]
            images, masks = _chosen(_whole(self.images), rows), _chosen(_whole(self.masks), rows)
        return replace(
            self,
            ids=some(self.ids),
            groups=some(self.groups),
            images=images,
            masks=masks,
            pixel_hashes=some(self.pixel_hashes),
            sizes=None if self.sizes is None else self.sizes[numbers],
            spacing=some(self.spacing),
            attributes=some(self.attributes),
            labels=some(self.labels),
            looks=None if self.looks is None else self.looks[numbers],
            study_hashes=None if self.study_hashes is None else self.study_hashes[numbers],
            keys=some(self.keys),
            mask_hashes=some(self.mask_hashes),
            checksums=some(self.checksums),
            rows=rows,
            _read=set(),
        )

    def read(self, numbers: NDArray[np.int64]) -> tuple[UInt8Array, UInt8Array]:
        """Return copies of images [B, S, S, C] and masks [B, S, S].

        Each sample is held against its checksum the first time that a process reads it; raises StoreError
        where the two differ.
        """
        images, masks = self.images[numbers], self.masks[numbers]
        for place, number in enumerate(int(number) for number in numbers):
            if not self.checksums or number in self._read:
                continue
            if sample_checksum(images[place], masks[place]) != self.checksums[number]:
                raise self._damaged(number)
            self._read.add(number)
        return images, masks

    def _damaged(self, number: int) -> StoreError:
        if self.path is not None:
            # The next opening then looks at every sample and rebuilds the cache.
            with contextlib.suppress(OSError):
                (self.path / CHECKED).unlink(missing_ok=True)
        return StoreError(
            "the data cache was changed or damaged while it was in use",
            place=str(self.path),
            cause=f"the checksum of sample {self.ids[number]} differs",
            fix="run the same command again: the cache is rebuilt; if it happens again, check the disk",
        )


class _Rows:
    """Some rows of a memory map, in an order; indexed like the array that it stands for."""

    def __init__(self, whole: UInt8Array, rows: NDArray[np.int64]) -> None:
        self.whole, self.rows = whole, rows
        self.shape = (len(rows), *whole.shape[1:])
        self.dtype, self.ndim = whole.dtype, whole.ndim
        self.nbytes = whole.nbytes // max(len(whole), 1) * len(rows)

    def __getitem__(self, key: Any) -> Any:
        first, *rest = key if isinstance(key, tuple) else (key,)
        return self.whole[(self.rows[first], *rest)]

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[UInt8Array]:
        return (self.whole[row] for row in self.rows)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self.whole[self.rows], dtype=dtype)


def _chosen(whole: UInt8Array, rows: NDArray[np.int64] | None) -> UInt8Array:
    return whole if rows is None else cast("UInt8Array", _Rows(whole, rows))


def _whole(images: UInt8Array) -> UInt8Array:
    return images.whole if isinstance(images, _Rows) else images


def sample_checksum(image: UInt8Array, mask: UInt8Array) -> int:
    """Return the CRC-32 over a cached sample's image and mask bytes."""
    return zlib.crc32(np.ascontiguousarray(mask).data, zlib.crc32(np.ascontiguousarray(image).data))
