"""A finished cache on disk: its index, its files as memory maps, every sample held against its checksum."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
import zlib
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bench_core.data.arrays import CHECKED, IMAGES, INDEX, LOOKS, MASKS, CachedArrays, sample_checksum
from bench_core.data.hashing import SETTLED_SECONDS, stamp_of
from bench_core.data.holding import hold
from bench_core.data.looks import SIDE
from bench_core.data.study_hashes import load_study_hashes

CACHE_FORMAT = 7
COLUMNS = (
    "groups",
    "pixel_hashes",
    "mask_hashes",
    "keys",
    "checksums",
    "sizes",
    "spacing",
    "attributes",
    "labels",
)
"""What the index says of each sample besides its id."""
UNREADABLE = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    EOFError,
    RecursionError,
    OverflowError,
)
"""What JSON and arrays of another make raise where they are read."""
THREADS = min(8, os.cpu_count() or 1)


class DamagedCacheError(Exception):
    """A cache folder that is incomplete or was changed; never reaches the user, it is rebuilt."""


def write_index(folder: Path, index: Mapping[str, Any]) -> None:
    """Write the index with its own checksum."""
    body = json.dumps(index, sort_keys=True)
    text = json.dumps({"sha256": hashlib.sha256(body.encode()).hexdigest(), "index": body})
    (folder / INDEX).write_text(text, encoding="utf-8")


def load_cache(folder: Path, ids: Sequence[str], groups: Sequence[str], fingerprint: str) -> CachedArrays:
    """Map a finished cache of these samples; raise DamagedCacheError if it is not whole, or of others.

    Every sample is held against its checksum, unless that was done before and the files have not been
    touched since.
    """
    arrays = map_cache(folder)
    if (arrays.ids, arrays.groups, arrays.fingerprint) != (tuple(ids), tuple(groups), fingerprint):
        raise DamagedCacheError("the cache is of other samples")
    stamps = _stamps(folder)
    if _checked(folder) != stamps:
        check_all(arrays)
        _note_checked(folder, stamps)
    return arrays


def map_cache(folder: Path) -> CachedArrays:
    """Map a finished cache, whatever samples it is of; raise DamagedCacheError if its files do not fit.

    No sample is held against its checksum.
    """
    try:
        held = hold(folder / INDEX)
        envelope = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        body = envelope["index"]
        if hashlib.sha256(body.encode()).hexdigest() != envelope["sha256"]:
            raise DamagedCacheError("index checksum differs")
        return replace(_mapped(folder, json.loads(body)), held=held)
    except UNREADABLE as error:
        raise DamagedCacheError(str(error)) from error


def _mapped(folder: Path, index: Mapping[str, Any]) -> CachedArrays:
    if index["format"] != CACHE_FORMAT:
        raise DamagedCacheError(f"cache format {index['format']}")
    for name, size in index["bytes"].items():
        if (folder / name).stat().st_size != size:
            raise DamagedCacheError(f"{name} has another size than the index says")
    images = np.load(folder / IMAGES, mmap_mode="r")
    masks = np.load(folder / MASKS, mmap_mode="r")
    count, side = len(index["ids"]), index["image_size"]
    if images.dtype != np.uint8 or masks.dtype != np.uint8 or images.ndim != 4:
        raise DamagedCacheError("the arrays are of another kind")
    if images.shape[:3] != (count, side, side) or masks.shape != (count, side, side):
        raise DamagedCacheError("index and arrays do not fit together")
    if any(len(index[name]) != count for name in COLUMNS):
        raise DamagedCacheError("the index is not whole")
    looks = np.load(folder / LOOKS)
    whole = looks.dtype == np.uint8 and looks.shape == (count, SIDE, SIDE)
    if not whole or zlib.crc32(looks.data) != index["looks"]:
        raise DamagedCacheError("the small pictures are of another kind")
    return CachedArrays(
        ids=tuple(index["ids"]),
        groups=tuple(index["groups"]),
        images=images,
        masks=masks,
        fingerprint=index["fingerprint"],
        pixel_hashes=tuple(index["pixel_hashes"]),
        sizes=np.array(index["sizes"], dtype=np.int64).reshape(count, 2),
        spacing=tuple(None if pair is None else (pair[0], pair[1]) for pair in index["spacing"]),
        attributes=tuple(index["attributes"]),
        labels=tuple(_labels(row, side * side) for row in index["labels"]),
        looks=looks,
        study_hashes=load_study_hashes(folder, index["fingerprint"], count),
        keys=tuple(index["keys"]),
        mask_hashes=tuple(index["mask_hashes"]),
        path=folder,
        checksums=tuple(index["checksums"]),
    )


def _labels(row: Mapping[str, int], pixels: int) -> dict[int, int]:
    labels = {int(label): int(found) for label, found in row.items()}
    if sum(labels.values()) != pixels or not all(0 <= label <= 255 for label in labels):
        raise DamagedCacheError("the index counts other pixels than a mask has")
    return labels


def check_all(arrays: CachedArrays) -> None:
    """Hold every sample against its checksum; raise DamagedCacheError naming the first that differs."""

    def wrong(numbers: Iterable[int]) -> list[int]:
        return [
            number
            for number in numbers
            if sample_checksum(arrays.images[number], arrays.masks[number]) != arrays.checksums[number]
        ]

    parts = [range(start, len(arrays.ids), THREADS) for start in range(THREADS)]
    # The checksum is computed without the interpreter lock.
    with ThreadPoolExecutor(THREADS, thread_name_prefix="check") as pool:
        found = sorted(number for part in pool.map(wrong, parts) for number in part)
    if found:
        raise DamagedCacheError(f"checksum of sample {arrays.ids[found[0]]} differs")


def _stamps(folder: Path) -> dict[str, list[int]]:
    try:
        return {name: [*stamp_of((folder / name).stat())] for name in (INDEX, IMAGES, MASKS, LOOKS)}
    except OSError as error:
        raise DamagedCacheError(str(error)) from error


def _checked(folder: Path) -> object:
    """Return the stamps under which all samples were found whole, or None."""
    try:
        return json.loads((folder / CHECKED).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None


def _note_checked(folder: Path, stamps: Mapping[str, list[int]]) -> None:
    latest = max(max(stamp[1], stamp[2]) for stamp in stamps.values())
    if time.time() - latest / 1e9 <= SETTLED_SECONDS:
        return  # The next change could carry the same time.
    temporary = folder / f".{CHECKED}.{os.getpid()}.tmp"
    with contextlib.suppress(OSError):
        temporary.write_text(json.dumps(stamps), encoding="utf-8")
        temporary.replace(folder / CHECKED)
    with contextlib.suppress(OSError):
        temporary.unlink(missing_ok=True)
