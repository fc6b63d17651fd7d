"""Decoded and resized samples, read from disk by memory map."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench_core.data.samples import UInt8Array

CACHE_FORMAT = 1
INDEX, IMAGES, MASKS = "index.json", "images.npy", "masks.npy"
SPOT_CHECKS = 64
"""Samples whose checksum is verified when a cache is opened, evenly spread."""


class DamagedCacheError(Exception):
    """A cache folder that is incomplete or was changed; never reaches the user, it is rebuilt."""


@dataclass(frozen=True, eq=False)
class CachedArrays:
    """All samples of a dataset at one image size."""

    ids: tuple[str, ...]
    groups: tuple[str, ...]
    images: UInt8Array
    """[N, S, S, C]"""
    masks: UInt8Array
    """[N, S, S] class indices, 0 = background"""
    fingerprint: str
    """sha256 over the content of all files, reader, version and options; not over the image size."""
    pixel_hashes: tuple[str, ...]
    """sha256 of each image as decoded, before it was resized."""
    path: Path | None = None
    """Folder of the memory maps; None for arrays in memory."""

    def __getstate__(self) -> dict[str, Any]:
        # A loader process gets the path and maps the files itself: gigabytes are never pickled.
        state = dict(self.__dict__)
        if self.path is not None:
            state["images"] = state["masks"] = None
        return state

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.__dict__.update(state)
        if self.path is not None:
            self.__dict__["images"] = np.load(self.path / IMAGES, mmap_mode="r")
            self.__dict__["masks"] = np.load(self.path / MASKS, mmap_mode="r")


def sample_checksum(image: UInt8Array, mask: UInt8Array) -> int:
    """Return the CRC-32 over a cached sample's image and mask bytes."""
    return zlib.crc32(np.ascontiguousarray(mask).data, zlib.crc32(np.ascontiguousarray(image).data))


def write_index(folder: Path, index: Mapping[str, Any]) -> None:
    """Write the index with its own checksum."""
    body = json.dumps(index, sort_keys=True)
    text = json.dumps({"sha256": hashlib.sha256(body.encode()).hexdigest(), "index": body})
    (folder / INDEX).write_text(text, encoding="utf-8")


def load_cache(folder: Path) -> CachedArrays:
    """Map a finished cache; raise DamagedCacheError if anything in it is missing, short or altered."""
    try:
        envelope = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        body = envelope["index"]
        if hashlib.sha256(body.encode()).hexdigest() != envelope["sha256"]:
            raise DamagedCacheError("index checksum differs")
        index = json.loads(body)
        for name, size in index["bytes"].items():
            if (folder / name).stat().st_size != size:
                raise DamagedCacheError(f"{name} has another size than the index says")
        images = np.load(folder / IMAGES, mmap_mode="r")
        masks = np.load(folder / MASKS, mmap_mode="r")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError) as error:
        raise DamagedCacheError(str(error)) from error
    _check_samples(images, masks, index)
    return CachedArrays(
        ids=tuple(index["ids"]),
        groups=tuple(index["groups"]),
        images=images,
        masks=masks,
        fingerprint=index["fingerprint"],
        pixel_hashes=tuple(index["pixel_hashes"]),
        path=folder,
    )


def _check_samples(images: UInt8Array, masks: UInt8Array, index: Mapping[str, Any]) -> None:
    count = len(index["ids"])
    if index["format"] != CACHE_FORMAT or images.shape[0] != count or masks.shape[0] != count:
        raise DamagedCacheError("index and arrays do not fit together")
    for number in sorted({round(step * (count - 1) / SPOT_CHECKS) for step in range(SPOT_CHECKS + 1)}):
        if sample_checksum(images[number], masks[number]) != index["checksums"][number]:
            raise DamagedCacheError(f"checksum of sample {index['ids'][number]} differs")
