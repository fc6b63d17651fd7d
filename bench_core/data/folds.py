"""Cross-validation folds over groups, and the check that nothing leaks from one fold into another."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bench_core.data.arrays import CachedArrays
from bench_core.errors import DataError
from bench_core.seeds import derive_seed

LISTED = 10
"""Leaks that a message lists; the rest are counted."""


def assign_folds(ids: Sequence[str], groups: Sequence[str], count: int, seed: int) -> NDArray[np.int64]:
    """Return each sample's fold in [0, count): whole groups, balanced in samples, random by `seed`.

    The folds' sizes differ by at most the largest group. The result depends on the ids' groups, not on the
    order of the samples. Raises DataError if there are fewer groups than folds.
    """
    if len(ids) != len(groups):
        raise DataError(f"{len(ids)} sample ids, but {len(groups)} groups")
    sizes = Counter(groups)
    if len(sizes) < count:
        raise DataError(
            f"{len(sizes)} groups cannot fill {count} folds",
            cause="samples of one group (patient, video, slab) stay in one fold, and no fold may be empty",
            fix=f"set `evaluate: {{folds: {max(len(sizes), 2)}}}` or fewer, or use data with more groups",
        )
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


def fold_hash(ids: Sequence[str], folds: Sequence[int] | NDArray[np.int64]) -> str:
    """Return a sha256 over every sample's fold, equal for equal splits whatever the samples' order."""
    lines = sorted(f"{sample}\x1f{int(fold)}" for sample, fold in zip(ids, folds, strict=True))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def check_leaks(arrays: CachedArrays, folds: Sequence[int] | NDArray[np.int64]) -> None:
    """Raise DataError naming the samples if one group, or one image's exact pixels, lie in two folds."""
    leaks = _shared(arrays, arrays.groups, folds, "group {key!r}")
    leaks += _shared(arrays, arrays.pixel_hashes, folds, "identical pixels")
    if leaks:
        more = f"; and {len(leaks) - LISTED} more" if len(leaks) > LISTED else ""
        raise DataError(
            f"{len(leaks)} leak(s) between folds: {'; '.join(leaks[:LISTED])}{more}",
            cause="a model would be tested on what it was trained on",
            fix="give samples that belong together (same patient, copies of one image) the same group, "
            "or remove the copies",
        )


def _shared(
    arrays: CachedArrays, keys: Sequence[str], folds: Sequence[int] | NDArray[np.int64], what: str
) -> list[str]:
    members: dict[str, list[int]] = defaultdict(list)
    for number, key in enumerate(keys):
        members[key].append(number)
    leaks = []
    for key, numbers in members.items():
        if len({int(folds[number]) for number in numbers}) > 1:
            first = min(numbers, key=lambda number: int(folds[number]))
            other = next(number for number in numbers if folds[number] != folds[first])
            leaks.append(
                f"{what.format(key=key)} in {arrays.ids[first]} (fold {int(folds[first])}) "
                f"and {arrays.ids[other]} (fold {int(folds[other])})"
            )
    return leaks
