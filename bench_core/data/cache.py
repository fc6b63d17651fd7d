"""Decode and resize a dataset once; afterwards every job maps the same bytes from disk.

A cache is built in a temporary folder beside its place and moved there by one rename, so a reader sees all
of it or nothing, whatever is killed when. The next build continues in the folder of a killed one.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from bench_core.data.arrays import CachedArrays
from bench_core.data.build import build_cache, complete, with_damaged
from bench_core.data.hashing import ChangedFileError, FileHashes
from bench_core.data.layout import LayoutError
from bench_core.data.listing import fingerprint_of, list_samples
from bench_core.data.locking import STALE_SECONDS, Turn, building
from bench_core.data.mapped import CACHE_FORMAT, DamagedCacheError, load_cache
from bench_core.data.reading import Recipe
from bench_core.data.resize import Fit
from bench_core.data.samples import Reader, Sample
from bench_core.declarations import Task
from bench_core.errors import StoreError

__all__ = ["CachedArrays", "open_cache"]

Progress = Callable[[int, int], None]

ABANDONED_SECONDS = 3600.0
"""Whoever holds the lock: a build of another machine that wrote nothing for so long, watched, is dead."""
ATTEMPTS = 3
"""A dataset whose files change while they are read is read so often before the user hears of it."""
HASHES = "hashes.json"
UNFINISHED = ".unfinished.tmp"
"""Ends the name of a folder in which the next build continues."""
_HOST = re.sub(r"[^A-Za-z0-9-]", "-", socket.gethostname())


def open_cache(
    reader: Reader,
    *,
    dataset: str,
    version: int,
    options: Mapping[str, Any],
    image_size: int,
    resize: str,
    root: Path,
    padding: str = "background",
    task: Task | None = None,
    study: bool = False,
    progress: Progress | None = None,
) -> CachedArrays:
    """Return the dataset's samples as [N, image_size, image_size, C] memory maps, built when missing.

    `root` is the folder of caches, `resize` is "pad-square" or "stretch", `padding` "background" or
    "ignore". `options` are those that the fingerprint covers. Several processes may ask at once: one builds,
    the others wait for it. `progress(done, total)` is called while building. With `task`, masks and channels
    are checked against it. With `study`, images have the study's hashes, too, which are added to a cache that
    lacks them. Attributes are those that the reader gives at this opening.
    Raises DataError naming every sample that cannot be used, StoreError if the cache cannot be written.
    """
    recipe = Recipe(reader, Fit(image_size, resize, padding), task, study=study)
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(root, error) from error
    for attempt in range(ATTEMPTS):
        try:
            samples = list_samples(reader, dataset)
        except LayoutError as error:
            raise with_damaged(error, recipe, progress or (lambda done, total: None)) from error
        hashes = FileHashes(root / HASHES)
        facts = {"dataset": dataset, "version": version}
        facts["fingerprint"] = fingerprint_of(samples, hashes, dataset, version, options)
        hashes.save()
        confirmed = replace(recipe, confirm=hashes.confirm)
        try:
            arrays = _open(root, confirmed, samples, facts, progress)
        except ChangedFileError:
            if attempt + 1 == ATTEMPTS:
                raise
            continue
        return replace(arrays, attributes=tuple(dict(sample.attributes) for sample in samples))
    raise AssertionError("unreachable")


def _open(
    root: Path,
    recipe: Recipe,
    samples: Sequence[Sample],
    facts: Mapping[str, Any],
    progress: Progress | None,
) -> CachedArrays:
    fit = recipe.fit
    settings = "\x1f".join(map(str, (CACHE_FORMAT, facts["fingerprint"], fit.size, fit.resize, fit.padding)))
    name = re.sub(r"[^A-Za-z0-9._-]", "-", str(facts["dataset"])).lstrip(".")[:80]
    folder = root / f"{name}-{fit.size}-{hashlib.sha256(settings.encode()).hexdigest()[:20]}"
    load = partial(
        load_cache,
        folder,
        [sample.id for sample in samples],
        [sample.group for sample in samples],
        facts["fingerprint"],
    )

    def whole() -> CachedArrays:
        arrays = load()
        if recipe.study and arrays.study_hashes is None:
            with building(folder) as turn:
                if load().study_hashes is None:
                    complete(folder, recipe, samples, facts["fingerprint"], _both(turn.alive, progress))
            arrays = load()
        return arrays

    try:
        with contextlib.suppress(DamagedCacheError):
            return whole()
        with building(folder) as turn:
            _build(
                folder,
                turn,
                load,
                partial(
                    build_cache,
                    recipe=recipe,
                    samples=samples,
                    facts=facts,
                    progress=_both(turn.alive, progress),
                ),
            )
        return whole()
    except OSError as error:
        raise _unwritable(folder, error) from error
    except DamagedCacheError as error:
        raise StoreError(
            f"the cache was damaged right after it was written: {error}",
            place=str(folder),
            fix="check the disk, or keep the store on another one",
        ) from error


def _build(folder: Path, turn: Turn, load: Callable[[], CachedArrays], fill: Callable[[Path], None]) -> None:
    """Build the cache unless another process has done so by now."""
    with contextlib.suppress(DamagedCacheError):
        load()
        return
    temporary = _temporary(folder, turn)
    others = _Others(folder, temporary)
    try:
        fill(temporary)
        _publish(temporary, folder, load)
    except Exception:
        # Who is stopped or killed instead leaves what is finished, and the next one continues.
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    shutil.rmtree(temporary, ignore_errors=True)
    others.remove_dead(STALE_SECONDS if turn.held else ABANDONED_SECONDS)


def _temporary(folder: Path, turn: Turn) -> Path:
    """Return the folder to build in, after removing those that killed builds of this machine left behind.

    Whoever holds the lock takes over what such a build has finished.
    """
    continued = folder.with_name(f".{folder.name}.{_HOST}{UNFINISHED}")
    for path in folder.parent.glob(f".{folder.name}.{_HOST}.*tmp"):
        if turn.held and path != continued:
            shutil.rmtree(path, ignore_errors=True)
    alone = folder.with_name(f".{folder.name}.{_HOST}.{os.getpid()}.tmp")
    temporary = continued if turn.held else alone
    temporary.mkdir(exist_ok=True)
    return temporary


class _Others:
    """The builds of other machines, watched during one's own: some file systems lock within a machine only.

    Whether they wrote meanwhile is told by their files alone; no time of another machine means anything.
    """

    def __init__(self, folder: Path, own: Path) -> None:
        found = folder.parent.glob(f".{folder.name}.*.tmp")
        self._signs = {path: _signs_of(path) for path in found if path != own}
        self._since = time.monotonic()

    def remove_dead(self, seconds: float) -> None:
        """Remove those that wrote nothing, if they were watched for so long."""
        if time.monotonic() - self._since >= seconds:
            for path, signs in self._signs.items():
                if _signs_of(path) == signs:
                    shutil.rmtree(path, ignore_errors=True)


def _signs_of(path: Path) -> tuple[tuple[str, int, int], ...]:
    """Return names, sizes and times of a folder's files: only whether they differ means anything."""
    found = []
    with contextlib.suppress(OSError):
        for file in sorted(path.iterdir()):
            facts = file.stat()
            found.append((file.name, facts.st_size, facts.st_mtime_ns))
    return tuple(found)


def _publish(temporary: Path, folder: Path, load: Callable[[], CachedArrays]) -> None:
    try:
        temporary.rename(folder)
        return
    except OSError:
        if not folder.exists():
            raise
    with contextlib.suppress(DamagedCacheError):
        load()
        return  # Another process was faster; its cache holds the same bytes.
    damaged = folder.with_name(f".{folder.name}.{_HOST}.{os.getpid()}.damaged")
    folder.rename(damaged)
    shutil.rmtree(damaged, ignore_errors=True)
    temporary.rename(folder)


def _both(alive: Callable[[], None], progress: Progress | None) -> Progress:
    def report(done: int, total: int) -> None:
        alive()
        if progress is not None:
            progress(done, total)

    return report


def _unwritable(place: Path, error: OSError) -> StoreError:
    return StoreError(
        f"the data cache cannot be written: {error.strerror or error}",
        place=str(error.filename or place),
        cause="decoded and resized images are kept there, one file for all jobs",
        fix="free space, or choose a writable folder with --store",
    )
