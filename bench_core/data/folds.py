"""Cross-validation folds over groups, and the check that nothing leaks from one fold into another."""

from __future__ import annotations

import hashlib
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bench_core.data.arrays import CachedArrays
from bench_core.errors import DataError
from bench_core.fold_files import GivenFolds
from bench_core.seeds import derive_seed

LISTED = 10
"""Leaks and samples that a message lists; the rest are counted."""
EXTENSIONS = (".nii.gz", ".nii", ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
"""With which a file of folds may write an id."""


def assign_folds(ids: Sequence[str], groups: Sequence[str], count: int, seed: int) -> NDArray[np.int64]:
    """Return each sample's fold in [0, count): whole groups, balanced in samples, random by `seed`.

    The folds' sizes differ by at most the largest group. The result depends on the ids' groups, not on the
    order of the samples. Raises DataError if there are fewer groups than folds.
    """
    if len(ids) != len(groups):
        raise DataError(f"{len(ids)} sample ids, but {len(groups)} groups")
    check_groups(groups, count)
    sizes = Counter(groups)
    # Large groups first, so that small ones even out the folds; by powers of two rather than exact sizes,
    # so that the seed still decides which groups come together.
    order = sorted(sizes, key=lambda group: (-sizes[group].bit_length(), derive_seed("fold", seed, group)))
    filled = [0] * count
    fold_of: dict[str, int] = {}
    for group in order:
        fold = filled.index(min(filled))
        fold_of[group] = fold
        filled[fold] += sizes[group]
    return np.array([fold_of[group] for group in groups], dtype=np.int64)


def check_groups(groups: Sequence[str], count: int, copies: str = "") -> None:
    """Raise DataError if there are fewer groups than folds; `copies` says which images make them few."""
    found = len(set(groups))
    if found >= count:
        return
    usual = "samples of one group (patient, video, slab) stay in one fold, and no fold may be empty"
    fix = f"set `evaluate: {{folds: {max(found, 2)}}}` or fewer, or use data with more groups"
    raise DataError(
        f"{found} group{'' if found == 1 else 's'} cannot fill {count} folds",
        cause=copies or usual,
        fix=f"{fix}, or set `duplicates: report` if these are no copies" if copies else fix,
    )


def match_folds(
    given: GivenFolds, ids: Sequence[str], place: str, left_out: Sequence[str] = ()
) -> NDArray[np.int64]:
    """Return each sample's fold after a user's file, in which ids may end in a file name's extension.

    The file may name samples that are left out. Raises DataError naming samples that the file lacks, and ids
    that mean no sample.
    """
    passed_over = {unicodedata.normalize("NFC", sample) for sample in left_out}
    known = {unicodedata.normalize("NFC", sample): number for number, sample in enumerate(ids)}
    folds = np.full(len(ids), -1, dtype=np.int64)
    unknown, twice = [], []
    for spelling, fold in given.folds.items():
        number = known.get(spelling, known.get(_without_extension(spelling)))
        if number is None:
            if not passed_over & {spelling, _without_extension(spelling)}:
                unknown.append(spelling)
        elif folds[number] not in (-1, fold):
            twice.append(spelling)
        else:
            folds[number] = fold
    missing = [ids[int(number)] for number in np.flatnonzero(folds < 0)]
    problems = [
        f"{len(names)} {what}: {', '.join(names[:LISTED])}" + (" ..." if len(names) > LISTED else "")
        for names, what in (
            (missing, "sample(s) of the data are not in it"),
            (unknown, "id(s) in it mean no sample of the data"),
            (twice, "id(s) in it give a sample a second fold"),
        )
        if names
    ]
    if problems:
        raise DataError(
            "the file of folds does not fit the data:\n  " + "\n  ".join(problems),
            place=place,
            cause="it gives each sample of the dataset one fold",
            fix="correct the file; `bench folds export` writes one with all ids",
        )
    empty = [fold for fold in range(given.count) if not (folds == fold).any()]
    if empty:
        raise DataError(f"fold {empty[0]} of the file has no samples", place=place, fix="correct the file")
    return folds


def _without_extension(name: str) -> str:
    lowered = name.lower()
    return next((name[: -len(end)] for end in EXTENSIONS if lowered.endswith(end)), name)


def fold_hash(ids: Sequence[str], folds: Sequence[int] | NDArray[np.int64]) -> str:
    """Return a sha256 over every sample's fold, equal for equal splits whatever the samples' order."""
    lines = sorted(f"{sample}\x1f{int(fold)}" for sample, fold in zip(ids, folds, strict=True))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def check_leaks(
    arrays: CachedArrays, folds: Sequence[int] | NDArray[np.int64], *, copies: bool = True
) -> None:
    """Raise DataError naming the samples if one group, or one image's exact pixels, lie in two folds.

    Without `copies` pixels are not compared: the user has asked to be told of them only.
    """
    leaks = group_leaks(arrays.ids, arrays.groups, folds)
    if copies:
        leaks += _shared(arrays.ids, arrays.pixel_hashes, folds, "identical pixels")
    if leaks:
        raise leak_error(leaks)


def group_leaks(
    ids: Sequence[str], groups: Sequence[str], folds: Sequence[int] | NDArray[np.int64]
) -> list[str]:
    """Return what is wrong with each group that lies in two folds."""
    return _shared(ids, groups, folds, "group {key!r}")


def leak_error(leaks: Sequence[str], place: str | None = None) -> DataError:
    """Return the error for these leaks."""
    more = f"; and {len(leaks) - LISTED} more" if len(leaks) > LISTED else ""
    return DataError(
        f"{len(leaks)} leak(s) between folds: {'; '.join(leaks[:LISTED])}{more}",
        place=place,
        cause="a model would be tested on what it was trained on",
        fix="keep samples that belong together (same patient, copies of one image) in one fold of the file "
        "of folds; or set `duplicates: drop`, which leaves copies out",
    )


def _shared(
    ids: Sequence[str], keys: Sequence[str], folds: Sequence[int] | NDArray[np.int64], what: str
) -> list[str]:
    members: dict[str, list[int]] = defaultdict(list)
    for number, key in enumerate(keys):
        members[key].append(number)
    leaks = []
    for key, numbers in members.items():
        places: dict[int, list[str]] = defaultdict(list)
        for number in numbers:
            places[int(folds[number])].append(ids[number])
        if len(places) > 1:
            where = [f"{_some(places[fold])} (fold {fold})" for fold in sorted(places)]
            leaks.append(f"{what.format(key=key)} in {_and(where)}")
    return leaks


def _some(names: Sequence[str]) -> str:
    shown = _and(names[:LISTED])
    return shown if len(names) <= LISTED else f"{', '.join(names[:LISTED])} and {len(names) - LISTED} more"


def _and(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
