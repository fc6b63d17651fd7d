"""Write a cache folder: one sample after another, so that memory stays flat whatever the dataset's size."""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bench_core.data.arrays import IMAGES, LOOKS, MASKS, sample_checksum
from bench_core.data.equality import told_apart
from bench_core.data.layout import LISTED, LayoutError, layout_error
from bench_core.data.looks import look_of, study_hash_of
from bench_core.data.mapped import CACHE_FORMAT, write_index
from bench_core.data.picture import Picture
from bench_core.data.reading import Recipe, read_all, wrong_channels
from bench_core.data.resize import fit_image, fit_mask
from bench_core.data.samples import Sample, UInt8Array
from bench_core.data.study_hashes import save_study_hashes
from bench_core.data.unfinished import Unfinished
from bench_core.errors import DataError


@dataclass(frozen=True)
class _Prepared:
    image: UInt8Array
    mask: UInt8Array
    size: tuple[int, int]
    look: UInt8Array
    study_hash: int | None


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
        prepared = read_all(recipe, samples[begun:], partial(_prepare, recipe))
        for done, outcome in enumerate(prepared, start=begun + 1):
            progress(done, len(samples))
            if isinstance(outcome, DataError):
                failures.append(outcome)
                continue
            channels = cache.channels or outcome.image.shape[2]
            if outcome.image.shape[2] != channels:
                failures.append(wrong_channels(samples[done - 1], outcome.image.shape[2], channels))
            if not failures:
                cache.append(outcome.image, outcome.mask, _row(outcome), outcome.look)
        if failures:
            raise _all_at_once(failures)
        known = told_apart(recipe, samples, [row["keys"] for row in cache.rows])
        cache.close()
    study = [row.pop("study_hash") for row in cache.rows]
    rows = [
        {**_said(sample), **row, **hashes}
        for sample, row, hashes in zip(samples, cache.rows, known, strict=True)
    ]
    if recipe.study and None not in study:
        save_study_hashes(folder, facts["fingerprint"], study)
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
    for done, outcome in enumerate(read_all(recipe, error.usable, partial(_prepare, recipe)), start=1):
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
    from PIL import Image

    # NumPy counts bytes as 64-bit numbers, which takes three times as long.
    counts = Image.fromarray(np.ascontiguousarray(prepared.mask)).histogram()
    return {
        "sizes": list(prepared.size),
        "labels": {str(label): count for label, count in enumerate(counts) if count},
        "keys": _key(prepared),
        "study_hash": prepared.study_hash,
        "checksums": sample_checksum(prepared.image, prepared.mask),
    }


def _key(prepared: _Prepared) -> str:
    """Return a hash of an image's size and small pictures: images with equal pixels share it."""
    found = hashlib.sha256(f"{prepared.size} {prepared.image.shape}".encode())
    found.update(np.ascontiguousarray(prepared.look).data)
    found.update(np.ascontiguousarray(prepared.image).data)
    return found.hexdigest()


def _prepare(recipe: Recipe, image: Picture, mask: UInt8Array) -> _Prepared:
    size = (image.shape[0], image.shape[1])
    small, labels = fit_image(image, recipe.fit), fit_mask(mask, recipe.fit)
    return _Prepared(small, labels, size, look_of(image), study_hash_of(image) if recipe.study else None)


def complete(
    folder: Path,
    recipe: Recipe,
    samples: Sequence[Sample],
    fingerprint: str,
    progress: Callable[[int, int], None],
) -> None:
    """Add the study's hashes to a finished cache that was built without them.

    Raises ChangedFileError or DataError for a sample that cannot be used, OSError if writing fails.
    """
    found = []
    for done, outcome in enumerate(read_all(recipe, samples, lambda image, _: study_hash_of(image)), start=1):
        progress(done, len(samples))
        if isinstance(outcome, DataError):
            raise outcome
        found.append(outcome)
    save_study_hashes(folder, fingerprint, found)


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
