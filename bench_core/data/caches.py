"""The caches in a folder: what each holds, whether it is whole, and how it is removed."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bench_core.data.arrays import INDEX
from bench_core.data.cache import UNFINISHED
from bench_core.data.holding import alone
from bench_core.data.mapped import DamagedCacheError, check_all, map_cache
from bench_core.data.unfinished import JOURNAL
from bench_core.errors import StoreError
from bench_core.files.clock import now_in

State = Literal["whole", "damaged", "old", "unfinished"]
_NAME = re.compile(r"(?P<dataset>[A-Za-z0-9_-][A-Za-z0-9._-]*)-(?P<size>[0-9]{1,5})-[0-9a-f]{20}")
_MOST_SAMPLES = 2_000_000


@dataclass(frozen=True)
class Cache:
    """One dataset at one image size, or the beginning of it."""

    path: Path
    dataset: str
    image_size: int
    """Pixels of the side of its square images."""
    state: State
    """old is of another version of this program, which builds it anew."""
    images: int | None
    """None where it cannot be told."""
    bytes: int
    age: float
    """Seconds since it was written, by the clock of its file system."""
    problem: str = ""

    @property
    def name(self) -> str:
        """Its folder's name."""
        return self.path.name


def list_caches(root: Path) -> list[Cache]:
    """Return the caches in a folder, by name; indexes are looked at and no image is."""
    if not root.is_dir():
        return []
    now = now_in(root)
    found = (_described(path, now) for path in sorted(root.iterdir()) if path.is_dir())
    return [cache for cache in found if cache is not None]


def verify(cache: Cache) -> str:
    """Hold every sample against its checksum; return what is wrong, empty for a whole cache."""
    if cache.state != "whole":
        return cache.problem or cache.state
    try:
        check_all(map_cache(cache.path))
    except DamagedCacheError as error:
        return str(error)
    return ""


def remove(cache: Cache) -> str:
    """Remove a cache unless a process maps or builds it; return why it stays, empty where it is gone.

    Raises StoreError if it cannot be removed.
    """
    found = _NAME.match(cache.name.removeprefix("."))
    lock = cache.path.with_name(f".{found[0] if found else cache.name}.lock")
    with alone(lock) as unbuilt, alone(cache.path / INDEX) as unread:
        if not unbuilt:
            return "a process builds it, or the file system cannot tell"
        if not unread:
            return "a process has it open, or the file system cannot tell"
        try:
            gone = cache.path.with_name(f".{cache.name}.removed")
            cache.path.rename(gone)
            shutil.rmtree(gone)
        except OSError as error:
            raise StoreError(
                f"the cache cannot be removed: {error.strerror or error}",
                place=str(cache.path),
                fix="correct the folder's permissions",
            ) from error
    return ""


def _described(path: Path, now: float) -> Cache | None:
    unfinished = path.name.startswith(".") and path.name.endswith((UNFINISHED, ".tmp", ".removed"))
    match = (_NAME.match if unfinished else _NAME.fullmatch)(path.name[1:] if unfinished else path.name)
    if match is None or path.is_symlink():
        return None
    files = list(_files(path))
    size = sum(length for length, _ in files)
    age = max(0.0, now - max((time for _, time in files), default=now))
    dataset, side = match["dataset"], int(match["size"])
    if unfinished:
        return Cache(path, dataset, side, "unfinished", _journaled(path), size, age, "its build was cut off")
    try:
        arrays = map_cache(path)
    except DamagedCacheError as error:
        text = str(error)
        state: State = "old" if text.startswith("cache format") else "damaged"
        return Cache(path, dataset, side, state, _counted(path), size, age, text)
    return Cache(path, dataset, side, "whole", len(arrays.ids), size, age)


def _files(path: Path) -> Iterator[tuple[int, float]]:
    for file in path.iterdir():
        try:
            found = file.stat(follow_symlinks=False)
        except OSError:
            continue
        yield found.st_size, found.st_mtime


def _journaled(path: Path) -> int | None:
    try:
        with (path / JOURNAL).open("rb") as file:
            return sum(1 for _, _ in zip(file, range(_MOST_SAMPLES), strict=False))
    except OSError:
        return None


def _counted(path: Path) -> int | None:
    try:
        ids = json.loads(json.loads((path / INDEX).read_text(encoding="utf-8"))["index"])["ids"]
        return len(ids)
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None
