"""Write a cache folder: one sample after another, so that memory stays flat whatever the dataset's size."""

from __future__ import annotations

import errno
import hashlib
import os
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench_core.data.arrays import (
    CACHE_FORMAT,
    IMAGES,
    LOOKS,
    MASKS,
    THREADS,
    sample_checksum,
    write_index,
)
from bench_core.data.hashing import ChangedFileError
from bench_core.data.layout import LISTED, LayoutError, layout_error
from bench_core.data.looks import look_of
from bench_core.data.resize import Fit, fit_square
from bench_core.data.samples import Reader, Sample, UInt8Array
from bench_core.data.unfinished import Unfinished
from bench_core.declarations import IGNORE, Task
from bench_core.errors import BenchError, DataError

NO_FAULT_OF_A_FILE = {
    errno.EMFILE: "raise the limit of open files (ulimit -n 4096), or use fewer --workers",
    errno.ENFILE: "end other programs, or raise the system's limit of open files",
    errno.ENOMEM: "use fewer --workers, or end other programs",
}
"""What the system lacks; another file would fail alike, so the first one ends the reading."""


@dataclass(frozen=True)
class _Prepared:
    image: UInt8Array
    mask: UInt8Array
    pixel_hash: str
    mask_hash: str
    size: tuple[int, int]
    look: UInt8Array
    study_hash: int


@dataclass(frozen=True)
class Recipe:
    """How samples are read and what they are brought to."""

    reader: Reader
    fit: Fit
    task: Task | None
    """What masks and channels are checked against."""
    confirm: Callable[[Sequence[Path]], None] = lambda files: None
    """Raises ChangedFileError if what was decoded is not what the fingerprint was made from."""


def build_cache(
    folder: Path,
    recipe: Recipe,
    samples: Sequence[Sample],
    facts: Mapping[str, Any],
    progress: Callable[[int, int], None],
) -> None:
    """Fill a folder with images, masks and index; `facts` go into the index.

    Samples that an earlier process finished in this folder are not decoded again.

    Raises ChangedFileError at the first file that changes meanwhile, DataError listing every sample that
    cannot be used, OSError if writing fails.
    """
    failures: list[DataError] = []
    task, size = recipe.task, recipe.fit.size
    with Unfinished(folder, samples, size, None if task is None else task.channels) as cache:
        begun = len(cache.rows)
        if begun:
            progress(begun, len(samples))
        for done, outcome in enumerate(_prepare_all(recipe, samples[begun:]), start=begun + 1):
            progress(done, len(samples))
            if isinstance(outcome, DataError):
                failures.append(outcome)
                continue
            channels = cache.channels or outcome.image.shape[2]
            if outcome.image.shape[2] != channels:
                failures.append(_wrong_channels(samples[done - 1], outcome.image.shape[2], channels))
            if not failures:
                cache.append(outcome.image, outcome.mask, _row(outcome), outcome.look)
        if failures:
            raise _all_at_once(failures)
        cache.close()
    rows = [{**_said(sample), **row} for sample, row in zip(samples, cache.rows, strict=True)]
    pictures = np.stack(cache.looks)
    np.save(folder / LOOKS, pictures)
    index = {
        **facts,
        "format": CACHE_FORMAT,
        "image_size": size,
        "resize": recipe.fit.resize,
        **{name: [row[name] for row in rows] for name in rows[0]},
        "looks": zlib.crc32(pictures.data),
        "bytes": {name: (folder / name).stat().st_size for name in (IMAGES, MASKS, LOOKS)},
    }
    write_index(folder, index)


def with_damaged(error: LayoutError, recipe: Recipe, progress: Callable[[int, int], None]) -> LayoutError:
    """Return the error with the problems of those files that it could not see, since it decodes none."""
    lines = list(error.problems)
    for done, outcome in enumerate(_prepare_all(recipe, error.usable), start=1):
        progress(done, len(error.usable))
        if isinstance(outcome, DataError):
            place = Path(outcome.place or "")
            root = Path(error.place or "")
            shown = place.relative_to(root).as_posix() if place.is_relative_to(root) else str(place)
            lines.append(f"{shown}: {outcome.message}")
    lines = list(dict.fromkeys(lines))
    return layout_error(lines, Path(error.place or ""), error.usable, cause=error.cause, fix=error.fix)


def _said(sample: Sample) -> dict[str, Any]:
    """Return what the index says of a sample without its pixels, by column."""
    return {
        "ids": sample.id,
        "groups": sample.group,
        "attributes": dict(sample.attributes),
        "spacing": None if sample.spacing is None else [float(side) for side in sample.spacing],
    }


def _row(prepared: _Prepared) -> dict[str, Any]:
    """Return what the index says of a sample's pixels, by column."""
    found, counts = np.unique(prepared.mask, return_counts=True)
    return {
        "sizes": list(prepared.size),
        "labels": {str(label): count for label, count in zip(found.tolist(), counts.tolist(), strict=True)},
        "pixel_hashes": prepared.pixel_hash,
        "mask_hashes": prepared.mask_hash,
        "study_hashes": f"{prepared.study_hash:016x}",
        "checksums": sample_checksum(prepared.image, prepared.mask),
    }


def _prepare_all(recipe: Recipe, samples: Sequence[Sample]) -> Iterator[_Prepared | DataError]:
    """Yield outcomes in the samples' order; at most two a thread are in memory."""
    waiting: deque[Future[_Prepared | DataError]] = deque()
    pool = ThreadPoolExecutor(THREADS, thread_name_prefix="decode")
    try:
        for sample in samples:
            waiting.append(pool.submit(_prepare, recipe, sample))
            if len(waiting) >= 2 * THREADS:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _prepare(recipe: Recipe, sample: Sample) -> _Prepared | DataError:
    place = str(sample.files[0]) if sample.files else sample.id
    try:
        image, mask = recipe.reader.read(sample)
        recipe.confirm(sample.files)
        check_pair(sample, image, mask, recipe.task)
        size = (image.shape[0], image.shape[1])
        hashes = _pixel_hash(image), _pixel_hash(mask)
        return _Prepared(*fit_square(image, mask, recipe.fit), *hashes, size, *look_of(image))
    except ChangedFileError:
        raise
    except DataError as error:
        # A file that is being written cannot be decoded either, and is then no fault of the file.
        recipe.confirm(sample.files)
        if error.place is not None:
            return error
        return DataError(error.message, place=place, cause=error.cause, fix=error.fix)
    except BenchError:
        raise
    except MemoryError:
        return DataError("the sample does not fit into memory", place=place, fix="shrink the image")
    except Exception as error:
        recipe.confirm(sample.files)
        if isinstance(error, OSError) and error.errno in NO_FAULT_OF_A_FILE:
            raise DataError(
                f"the data cannot be read: {error.strerror}", place=place, fix=NO_FAULT_OF_A_FILE[error.errno]
            ) from error
        return DataError(
            f"the reader failed on sample {sample.id!r}: {type(error).__name__}: {error}",
            place=place,
            fix="replace the file, or report this to the dataset plugin's author",
        )


def _pixel_hash(array: UInt8Array) -> str:
    pixels = hashlib.sha256(f"{array.shape}".encode())
    pixels.update(np.ascontiguousarray(array).data)
    return pixels.hexdigest()


def check_pair(sample: Sample, image: UInt8Array, mask: UInt8Array, task: Task | None) -> None:
    """Raise DataError unless image [H, W, C] and mask [H, W] are uint8, fit together and fit the task."""
    place = str(sample.files[-1]) if sample.files else sample.id
    if image.ndim != 3 or mask.ndim != 2 or image.dtype != np.uint8 or mask.dtype != np.uint8:
        raise DataError(
            f"sample {sample.id!r} is {image.dtype} {list(image.shape)} with a mask {mask.dtype} "
            f"{list(mask.shape)}; expected uint8 [H, W, C] and uint8 [H, W]",
            place=place,
            fix="report this to the dataset plugin's author",
        )
    if image.shape[:2] != mask.shape or 0 in image.shape:
        raise DataError(
            f"image is {image.shape[1]} x {image.shape[0]} pixels, "
            f"its mask {mask.shape[1]} x {mask.shape[0]}",
            place=place,
            fix="export both at the same size",
        )
    if task is None:
        return
    if image.shape[2] != task.channels:
        raise _wrong_channels(sample, image.shape[2], task.channels)
    labels = mask[mask != IGNORE] if task.ignore else mask
    highest = int(labels.max()) if labels.size else 0
    if highest > len(task.classes):
        raise DataError(
            f"mask holds class {highest}, but the classes end at {len(task.classes)} ({task.classes[-1]})",
            place=place,
            fix="correct the mask, or the dataset's classes",
        )


def _wrong_channels(sample: Sample, found: int, expected: int) -> DataError:
    place = str(sample.files[0]) if sample.files else sample.id
    return DataError(
        f"image has {found} channel(s), expected {expected}",
        place=place,
        fix="convert the image, or declare its channels",
    )


def _all_at_once(failures: Sequence[DataError]) -> DataError:
    # A file that holds several samples is at fault once.
    failures = list({(error.place, error.message): error for error in failures}.values())
    if len(failures) == 1:
        return failures[0]
    lines = [f"{error.place}: {error.message}" for error in failures[:LISTED]]
    if len(failures) > LISTED:
        lines.append(f"and {len(failures) - LISTED} more")
    fixes = list(dict.fromkeys(error.fix for error in failures if error.fix))
    return DataError(
        f"{len(failures)} samples cannot be used:\n  " + "\n  ".join(lines),
        place=_common_place(failures),
        fix="; ".join(fixes[:3]) or None,
    )


def _common_place(failures: Sequence[DataError]) -> str:
    places = [error.place or "" for error in failures]
    if all(Path(place).is_absolute() for place in places):
        return os.path.commonpath(places)
    return ", ".join(places[:LISTED])
