"""Decode samples in several threads, in order, and tell whether a file, a reader or the system fails."""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from bench_core.data.hashing import ChangedFileError
from bench_core.data.mapped import THREADS
from bench_core.data.picture import Picture, read_picture
from bench_core.data.resize import Fit
from bench_core.data.samples import Reader, Sample, UInt8Array
from bench_core.declarations import IGNORE, Task
from bench_core.errors import BenchError, DataError

T = TypeVar("T")
NO_FAULT_OF_A_FILE = {
    errno.EMFILE: "raise the limit of open files (ulimit -n 4096), or use fewer --workers",
    errno.ENFILE: "end other programs, or raise the system's limit of open files",
    errno.ENOMEM: "use fewer --workers, or end other programs",
}
"""What the system lacks; another file would fail alike, so the first one ends the reading."""


@dataclass(frozen=True)
class Recipe:
    """How samples are read and what they are brought to."""

    reader: Reader
    fit: Fit
    task: Task | None
    """What masks and channels are checked against."""
    confirm: Callable[[Sequence[Path]], None] = lambda files: None
    """Raises ChangedFileError if what was decoded is not what the fingerprint was made from."""
    study: bool = False
    """Whether images are compared by the study's rule, whose hash costs as much as decoding them."""


def read_all(
    recipe: Recipe, samples: Sequence[Sample], work: Callable[[Picture, UInt8Array], T]
) -> Iterator[T | DataError]:
    """Yield what `work` makes of each sample's image and mask, or why it cannot be used, in their order.

    At most two samples a thread are in memory. Raises ChangedFileError at the first file that changes
    meanwhile, DataError where the system lacks what every file needs.
    """
    waiting: deque[Future[T | DataError]] = deque()
    pool = ThreadPoolExecutor(THREADS, thread_name_prefix="decode")
    try:
        for sample in samples:
            waiting.append(pool.submit(_read, recipe, sample, work))
            if len(waiting) >= 2 * THREADS:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _read(recipe: Recipe, sample: Sample, work: Callable[[Picture, UInt8Array], T]) -> T | DataError:
    place = str(sample.files[0]) if sample.files else sample.id
    try:
        image, mask = read_picture(recipe.reader, sample)
        recipe.confirm(sample.files)
        check_pair(sample, image, mask, recipe.task)
        return work(image, mask)
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


def check_pair(sample: Sample, image: UInt8Array | Picture, mask: UInt8Array, task: Task | None) -> None:
    """Raise DataError unless image [H, W, C] and mask [H, W] are uint8, fit together and fit the task."""
    place = str(sample.files[-1]) if sample.files else sample.id
    if len(image.shape) != 3 or mask.ndim != 2 or image.dtype != np.uint8 or mask.dtype != np.uint8:
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
        raise wrong_channels(sample, image.shape[2], task.channels)
    labels = np.where(mask == IGNORE, np.uint8(0), mask) if task.ignore else mask
    highest = int(labels.max())
    if highest > len(task.classes):
        raise DataError(
            f"mask holds class {highest}, but the classes end at {len(task.classes)} ({task.classes[-1]})",
            place=place,
            fix="correct the mask, or the dataset's classes",
        )


def wrong_channels(sample: Sample, found: int, expected: int) -> DataError:
    """Return the error for an image of another number of channels."""
    place = str(sample.files[0]) if sample.files else sample.id
    return DataError(
        f"image has {found} channel(s), expected {expected}",
        place=place,
        fix="convert the image, or declare its channels",
    )
