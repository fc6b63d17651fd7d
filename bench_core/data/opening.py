"""From a declared dataset and where it lies to its reader, its arrays, its folds and its fingerprint."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench_core.data.arrays import CachedArrays
from bench_core.data.cache import HASHES, open_cache
from bench_core.data.folds import assign_folds, check_groups, match_folds
from bench_core.data.grouping import Duplicates, apply, present_fingerprint
from bench_core.data.hashing import FileHashes
from bench_core.data.listing import fingerprint_of, list_samples
from bench_core.data.resize import Fit
from bench_core.data.samples import Reader
from bench_core.data.strata import assign_stratified, strata_of
from bench_core.declarations import Dataset, DatasetRequest, Task, resolve_entry
from bench_core.errors import BenchError, DataError
from bench_core.fold_files import GivenFolds, read_folds
from bench_core.options import differing

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Source:
    """A dataset of a spec: what is declared, and what the user says about it."""

    label: str
    declared: Dataset
    task: Task
    root: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    """Complete."""
    folds: str | None = None
    """The user's file of folds; None for those that the seed deals."""
    folds_content: str = ""
    """Content hash of that file when the study was planned."""
    duplicates: Duplicates = field(default_factory=Duplicates)
    """Which images are copies, and what becomes of them."""
    stratify: tuple[str, ...] = ()
    """By what the folds that the seed deals are balanced: attributes, or "classes"."""

    @property
    def copies(self) -> Duplicates:
        """What becomes of copies; nothing is moved where the user says which sample lies in which fold."""
        return replace(self.duplicates, given=self.folds is not None)

    @property
    def chosen(self) -> dict[str, Any]:
        """Options that count and are not at their default: one added later changes no fingerprint."""
        return differing(self.declared.options, self.options)


@dataclass(frozen=True)
class Present:
    """What the files of a dataset are now."""

    fingerprint: str | None
    """None where it cannot be told."""
    because: str = ""
    """Why it cannot."""
    ungrouped: bool = False
    """Whether the files alone were looked at, since it is not known here which images are copies."""


def open_reader(source: Source) -> Reader:
    """Return the dataset's reader at its root; raise DataError or MissingDependencyError."""
    declared = source.declared
    if declared.open is None:
        raise DataError(f"dataset {declared.name} cannot be read yet", cause=declared.unavailable)
    root = Path(source.root) if source.root is not None else None
    reader: Reader = resolve_entry(declared.open)(DatasetRequest(root=root, options=source.options))
    return reader


def open_arrays(source: Source, fit: Fit, cache: Path, progress: Progress | None = None) -> CachedArrays:
    """Open the dataset through the cache in this folder, which is built if it is missing.

    Groups are those that folds are cut by, and copies are left out, where the source says so.
    Raises DataError naming every sample that cannot be used, StoreError if the cache cannot be written.
    """
    arrays = open_cache(
        open_reader(source),
        dataset=source.declared.name,
        version=source.declared.version,
        options=source.chosen,
        image_size=fit.size,
        resize=fit.resize,
        padding=fit.padding,
        root=cache,
        task=source.task,
        study=source.duplicates.rule == "study",
        progress=progress,
    )
    return apply(arrays, source.copies, cache)


def present_data(source: Source, cache: Path, most_bytes: int | None = None) -> Present:
    """Return the present fingerprint of the dataset's files.

    Files whose size, times and inode are those of before are not read; others are hashed, unless they are
    more than `most_bytes` together. Nothing is decoded, though a reader may open files to list its samples;
    which images are copies is known where the cache has seen these files.
    Imports no framework.
    """
    declared = source.declared
    try:
        samples = list_samples(open_reader(source), declared.name)
        hashes = FileHashes(cache / HASHES)
        files = {path for sample in samples for path in sample.files}
        if most_bytes is not None and (size := hashes.new_bytes(files)) > most_bytes:
            return Present(None, f"{size / 1e6:.0f} MB of its files are new to this cache")
        found = fingerprint_of(samples, hashes, declared.name, declared.version, source.chosen)
    except BenchError as error:
        return Present(None, str(error).splitlines()[0])
    except Exception as error:  # A reader is a plugin's code and may raise anything.
        return Present(None, f"its reader failed: {type(error).__name__}: {error}")
    if cache.is_dir():
        hashes.save()
    grouped = present_fingerprint(found, source.copies, cache)
    return Present(found, ungrouped=True) if grouped is None else Present(grouped)


def planned_folds(source: Source) -> GivenFolds | None:
    """Return the user's folds, None for those that the seed deals.

    Raises DataError if the file cannot be used, or is not what it was when the study was planned.
    """
    if source.folds is None:
        return None
    given = read_folds(Path(source.folds))
    if source.folds_content and given.content != source.folds_content:
        raise DataError(
            f"the folds of dataset {source.label} have changed since the study was planned",
            place=source.folds,
            cause="its jobs belong to the folds of before",
            fix="put the file back, or start the command again, which plans jobs for the new folds",
        )
    return given


def deal(source: Source, arrays: CachedArrays, count: int, seed: int) -> NDArray[np.int64]:
    """Return each opened sample's fold: after the user's file, or dealt by the seed.

    Raises DataError if the file does not fit the samples, there are too few groups, or `stratify` names what
    the samples do not have.
    """
    if count > 1 and source.folds is None and arrays.copies:
        check_groups(arrays.groups, count, "\n  ".join(arrays.remarks))
    if count > 1 and source.stratify and source.folds is None:
        check_groups(arrays.groups, count)
        try:
            strata = strata_of(arrays, source.stratify, source.task.classes)
        except DataError as error:
            place = f"dataset {source.label}"
            raise DataError(error.message, place=place, cause=error.cause, fix=error.fix) from error
        return assign_stratified(arrays.groups, strata, count, seed)
    return cut_folds(source, arrays.ids, arrays.groups, count, seed, arrays.left_out)


def cut_folds(
    source: Source,
    ids: Sequence[str],
    groups: Sequence[str],
    count: int,
    seed: int,
    left_out: Sequence[str] = (),
) -> NDArray[np.int64]:
    """Return each sample's fold: after the user's file, or dealt by the seed, which balances no strata.

    The file may say where samples belong that are left out. Raises DataError if it does not fit the samples,
    or there are too few groups.
    """
    if count == 1:
        return np.zeros(len(ids), dtype=np.int64)
    given = planned_folds(source)
    if given is None:
        return assign_folds(ids, groups, count, seed)
    if given.count != count:
        raise DataError(
            f"the file holds {given.count} folds, the study {count}",
            place=source.folds,
            fix=f"set `evaluate: {{folds: {given.count}}}`",
        )
    return match_folds(given, ids, str(source.folds), left_out)
