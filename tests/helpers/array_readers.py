"""A reader of lesions in memory, for tests of the cache, and what caches it has."""

from __future__ import annotations

from pathlib import Path

from bench_core import Task
from bench_core.data.cache import CachedArrays
from tests.helpers.pictures import (
    ArrayReader,
    blob,
    picture,
)

LESION = Task(classes=("lesion",), channels=3)


def reader(count: int = 5) -> ArrayReader:
    return ArrayReader([picture(n) for n in range(count)], [blob(n, value=1) for n in range(count)])


def folders(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.iterdir() if path.is_dir())


def same(one: CachedArrays, other: CachedArrays) -> bool:
    return (
        one.ids == other.ids
        and one.groups == other.groups
        and one.pixel_hashes == other.pixel_hashes
        and bool((one.images == other.images).all() and (one.masks == other.masks).all())
    )
