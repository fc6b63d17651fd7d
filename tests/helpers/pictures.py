"""Small folders of images and masks, cached arrays in memory, and a reader over arrays."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bench_core import DatasetRequest
from bench_core.data.cache import CachedArrays, open_cache
from bench_core.data.samples import Sample, UInt8Array
from bench_core.declarations import resolve_entry
from bench_core.options import complete_options
from bench_datasets.plugin import FOLDER


def picture(seed: int, height: int = 20, width: int = 24, channels: int = 3) -> UInt8Array:
    """Random blocks: every seed gives another image."""
    blocks = np.random.default_rng(seed).integers(0, 256, (5, 6, channels), dtype=np.uint8)
    rows = np.arange(height) * 5 // height
    columns = np.arange(width) * 6 // width
    return blocks[rows][:, columns]


def blob(seed: int, height: int = 20, width: int = 24, value: int = 255) -> UInt8Array:
    """A rectangle of `value` on zeros."""
    mask = np.zeros((height, width), dtype=np.uint8)
    top, left = seed % 5 + 2, seed % 7 + 2
    mask[top : top + 9, left : left + 10] = value
    return mask


def write_folder(root: Path, count: int = 6, value: int = 255) -> Path:
    """Write images/case-00.png ... and masks/case-00.png ..."""
    (root / "images").mkdir(parents=True)
    (root / "masks").mkdir()
    for number in range(count):
        Image.fromarray(picture(number)).save(root / f"images/case-{number:02d}.png")
        Image.fromarray(blob(number, value=value)).save(root / f"masks/case-{number:02d}.png")
    return root


def folder_options(**given: Any) -> dict[str, Any]:
    return complete_options(FOLDER.options, {"classes": {"lesion": 255}, **given})


def open_folder(root: Path, **given: Any) -> Any:
    assert FOLDER.open is not None
    return resolve_entry(FOLDER.open)(DatasetRequest(root=root, options=folder_options(**given)))


def cache_folder(root: Path, cache: Path, *, image_size: int = 16, **given: Any) -> CachedArrays:
    options = folder_options(**given)
    return open_cache(
        open_folder(root, **given),
        dataset="folder",
        version=1,
        options=options,
        image_size=image_size,
        resize="pad-square",
        root=cache,
        task=FOLDER.task_for(options),
    )


class ArrayReader:
    """A reader over arrays in memory, which counts how often it is read."""

    def __init__(self, images: Sequence[UInt8Array], masks: Sequence[UInt8Array]) -> None:
        self.images, self.masks = list(images), list(masks)
        self.reads = 0

    def samples(self) -> list[Sample]:
        return [Sample(f"s{number}", f"g{number}") for number in range(len(self.images))]

    def read(self, sample: Sample) -> tuple[UInt8Array, UInt8Array]:
        self.reads += 1
        number = int(sample.id[1:])
        return self.images[number], self.masks[number]


def open_arrays(
    reader: Any, cache: Path, options: Mapping[str, Any] | None = None, **given: Any
) -> CachedArrays:
    settings = {"image_size": 16, "resize": "pad-square", "dataset": "arrays", "version": 1, **given}
    return open_cache(reader, options=options or {}, root=cache, **settings)


def in_memory(count: int, size: int = 8, channels: int = 3, groups: Sequence[str] = ()) -> CachedArrays:
    """Random arrays without files."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (count, size, size, channels), dtype=np.uint8)
    return CachedArrays(
        ids=tuple(f"s{number:03d}" for number in range(count)),
        groups=tuple(groups) or tuple(f"g{number:03d}" for number in range(count)),
        images=images,
        masks=random.integers(0, 2, (count, size, size), dtype=np.uint8),
        fingerprint="in memory",
        pixel_hashes=tuple(hashlib.sha256(image.tobytes()).hexdigest() for image in images),
    )
