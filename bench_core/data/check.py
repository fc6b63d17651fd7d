"""Datasets opened once, before any job starts: all problems together, and what makes one look again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench_core.data.arrays import CachedArrays
from bench_core.data.describe import Part, data_warnings, describe, large_groups
from bench_core.data.folds import check_leaks
from bench_core.data.grouping import across_folds
from bench_core.data.opening import Source, deal, open_arrays, open_reader
from bench_core.data.remarks import remarks_of
from bench_core.data.resize import Fit
from bench_core.data.twins import group_hints
from bench_core.errors import DataError, MissingDependencyError
from bench_core.samples import Samples, dealing_name, given_name

Progress = Callable[[str, int, int], None]
"""Hears of a dataset's label, and of how many of how many images are decoded."""


@dataclass(frozen=True)
class Roles:
    """Which of the folds of a dealing train, validate and test in one fold of a study."""

    index: int
    train: tuple[int, ...]
    validation: tuple[int, ...]
    test: tuple[int, ...] = ()


@dataclass(frozen=True)
class Dealing:
    """One way in which samples are dealt into folds, and the folds of the study that use it."""

    count: int
    seed: int
    roles: tuple[Roles, ...] = ()


@dataclass(frozen=True)
class Wanted:
    """A dataset at one image size, as the jobs of a study need it."""

    source: Source
    fit: Fit
    dealings: tuple[Dealing, ...] = ()


@dataclass(frozen=True)
class Prepared:
    """A dataset that jobs can be started on."""

    label: str
    classes: tuple[str, ...]
    arrays: CachedArrays
    samples: Samples
    """With the folds of each dealing."""
    warnings: tuple[str, ...]
    modality: str = ""
    """As its declaration says; empty where only the user knows it."""
    resize: str = "pad-square"
    """How images were brought to the square."""


def prepare(wanted: Sequence[Wanted], cache: Path, progress: Progress | None = None) -> list[Prepared]:
    """Open each dataset through the cache, cut its folds and look for leaks.

    Raises DataError with the problems of all datasets, StoreError if the cache cannot be written.
    """
    ready: list[Prepared] = []
    failed: list[tuple[str, DataError | MissingDependencyError]] = []
    for item in wanted:
        try:
            ready.append(_prepared(item, cache, progress))
        except (DataError, MissingDependencyError) as error:
            failed.append((item.source.label, error))
    if failed:
        raise _together(failed)
    return ready


def _prepared(item: Wanted, cache: Path, progress: Progress | None) -> Prepared:
    label = item.source.label
    heard = None if progress is None else partial(progress, label)
    arrays = open_arrays(item.source, item.fit, cache, heard)
    folds: dict[str, NDArray[np.int64]] = {}
    parts: list[Part] = []
    large: list[str] = []
    for dealing in item.dealings:
        cut = deal(item.source, arrays, dealing.count, dealing.seed)
        check_leaks(arrays, cut, copies=item.source.duplicates.policy != "report")
        given = item.source.folds_content
        strata = item.source.stratify
        folds[given_name(given) if given else dealing_name(dealing.count, dealing.seed, strata)] = cut
        large += large_groups(arrays.groups, dealing.count)
        parts += [part for roles in dealing.roles for part in parts_of(roles, cut)]
    reader = open_reader(item.source)
    warnings = remarks_of(reader, arrays.fingerprint, cache)
    warnings += group_hints(arrays.ids, arrays.groups)
    warnings += arrays.remarks
    warnings += dict.fromkeys(large)
    warnings += data_warnings(arrays, item.source.task, parts)
    warnings += dict.fromkeys(text for cut in folds.values() for text in across_folds(arrays, cut.tolist()))
    return Prepared(
        label=label,
        classes=item.source.task.classes,
        arrays=arrays,
        samples=describe(arrays, folds),
        warnings=tuple(warnings),
        modality=item.source.declared.modality_for(item.source.options),
        resize=item.fit.resize,
    )


def parts_of(roles: Roles, cut: NDArray[np.int64]) -> list[Part]:
    """Return the training, validation and test images of one fold of a study."""
    named = (("training", roles.train), ("validation", roles.validation), ("test", roles.test))
    return [
        Part(f"fold {roles.index}'s {role} images", np.flatnonzero(np.isin(cut, folds)), role)
        for role, folds in named
        if folds and not (role == "test" and folds == roles.validation)
    ]


def _together(failed: Sequence[tuple[str, DataError | MissingDependencyError]]) -> DataError:
    """Return one error for all datasets that cannot be used."""
    if len(failed) == 1:
        label, error = failed[0]
        place = error.place or f"dataset {label}"
        return DataError(error.message, place=place, cause=error.cause, fix=error.fix)
    blocks = [f"{label}: {error!s}".replace("\n", "\n  ") for label, error in failed]
    return DataError(
        f"{len(failed)} datasets cannot be used:\n  " + "\n  ".join(blocks),
        place=", ".join(label for label, _ in failed),
        fix="correct them, or choose others with --only dataset=...",
    )
