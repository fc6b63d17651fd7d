"""What a dataset is, as plain data, and what in it should make its user look again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench_core.data.arrays import CachedArrays
from bench_core.declarations import IGNORE, Task
from bench_core.samples import Samples, Value

CONSEQUENCE = {
    "training": ": nothing can be learned from them",
    "validation": ": no epoch and no learning rate can be chosen by them",
    "test": ": most scores on them are undefined",
}
"""Of a part without foreground, by role."""
SLACK = 1.5
"""A group may hold so many times the images of an even fold before it is told."""
NAMED = 3
"""Samples or folds that a warning names; the rest are counted."""


@dataclass(frozen=True)
class Part:
    """Some of a dataset's samples, as a fold of a study uses them."""

    name: str
    """As a warning names it: fold 0's training images."""
    numbers: NDArray[np.int64]
    role: str = ""
    """training, validation or test."""


def describe(arrays: CachedArrays, folds: Mapping[str, NDArray[np.int64]] | None = None) -> Samples:
    """Return a dataset's samples without images and masks; `folds` by name (bench_core.samples)."""
    sizes = arrays.sizes
    if sizes is None:
        sizes = np.tile(np.array(arrays.images.shape[1:3], dtype=np.int64), (len(arrays.ids), 1))
    known = [pair for pair in arrays.spacing if pair is not None]
    whole = len(known) == len(arrays.ids)
    samples = Samples(
        fingerprint=arrays.fingerprint,
        ids=arrays.ids,
        groups=arrays.groups,
        sizes=sizes,
        spacing=np.array(known, dtype=np.float64) if whole else None,
        attributes=_columns(arrays),
    )
    for name, assigned in (folds or {}).items():
        samples = samples.with_folds(name, assigned)
    return samples


def _columns(arrays: CachedArrays) -> dict[str, tuple[Value, ...]]:
    names = dict.fromkeys(name for row in arrays.attributes for name in row)
    return {name: tuple(row.get(name) for row in arrays.attributes) for name in names}


def label_pixels(arrays: CachedArrays) -> NDArray[np.int64]:
    """Return the number of pixels of each label in each cached mask [N, 256], IGNORE included."""
    table = np.zeros((len(arrays.ids), IGNORE + 1), dtype=np.int64)
    for number in range(len(arrays.ids)):
        if arrays.labels:
            for label, pixels in arrays.labels[number].items():
                table[number, label] = pixels
        else:
            table[number] = np.bincount(arrays.masks[number].ravel(), minlength=IGNORE + 1)
    return table


def data_warnings(arrays: CachedArrays, task: Task, parts: Iterable[Part] = ()) -> list[str]:
    """Return what is possible in a dataset and rarely meant, one sentence each.

    Classes that occur in no mask, or in none of a part's masks; masks that hold one class only, no
    foreground, or nothing that counts; spacing that only some images have.
    """
    pixels = label_pixels(arrays)
    names = ["background", *task.classes]
    counted = pixels[:, : len(names)]
    found = _absent(counted, task)
    nowhere = {task.classes[label - 1] for label in range(1, len(names)) if not counted[:, label].any()}
    found += _constant(arrays, counted, names)
    void = np.flatnonzero(counted.sum(axis=1) == 0)
    if void.size:
        found.append(f"{_masks(arrays, void)} hold nothing but ignored pixels")
    found += _in_parts(counted, task, list(parts), nowhere)
    known = sum(pair is not None for pair in arrays.spacing)
    if 0 < known < len(arrays.ids):
        found.append(f"{known} of {len(arrays.ids)} images say their spacing; distances will be in pixels")
    return found


def large_groups(groups: Sequence[str], folds: int) -> list[str]:
    """Return a sentence if a group holds more images than a fold should: folds then differ in size."""
    name, size = Counter(groups).most_common(1)[0]
    if folds < 2 or size * folds <= len(groups) * SLACK:
        return []
    return [
        f"group {name!r} holds {size} of {len(groups)} images, more than one of {folds} folds should: "
        "folds differ in size"
    ]


def _in_parts(counted: NDArray[np.int64], task: Task, parts: Sequence[Part], nowhere: set[str]) -> list[str]:
    """Return what the parts lack and the whole dataset has."""
    if len(nowhere) == len(task.classes):
        return []
    empty: dict[str, list[str]] = {}
    by_class: dict[str, list[str]] = {}
    for part in parts:
        if not counted[part.numbers, 1:].any():
            empty.setdefault(part.role, []).append(part.name)
            continue
        for label, name in enumerate(task.classes, start=1):
            if name not in nowhere and not counted[part.numbers, label].any():
                by_class.setdefault(name, []).append(part.name)
    return [
        f"no pixel of any class is in {_listed(names)}{CONSEQUENCE.get(role, '')}"
        for role, names in empty.items()
    ] + [f"class {name!r} is in no mask of {_listed(names)}" for name, names in by_class.items()]


def _absent(counted: NDArray[np.int64], task: Task) -> list[str]:
    count = len(counted)
    if not counted[:, 1:].any():
        return [f"no pixel of any class ({', '.join(task.classes)}) is in any of the {count} masks"]
    return [
        f"class {name!r} is in none of the {count} masks"
        for label, name in enumerate(task.classes, start=1)
        if not counted[:, label].any()
    ]


def _constant(arrays: CachedArrays, counted: NDArray[np.int64], names: Sequence[str]) -> list[str]:
    if not counted[:, 1:].any():
        return []
    counted = _without_padding(arrays, counted)
    single = np.count_nonzero(counted, axis=1) == 1
    found = []
    for label, name in enumerate(names):
        numbers = np.flatnonzero(single & (counted[:, label] > 0))
        if not numbers.size:
            continue
        whole = " (all of them)" if numbers.size == len(counted) else ""
        text = "without foreground" if label == 0 else f"of nothing but class {name!r}"
        found.append(f"{_masks(arrays, numbers)}{whole} {'is' if numbers.size == 1 else 'are'} {text}")
    return found


def _without_padding(arrays: CachedArrays, counted: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the counts without background of masks that have it in their padding only."""
    if arrays.sizes is None:
        return counted
    found = counted.copy()
    edge = arrays.masks.shape[1]
    for number in np.flatnonzero((np.count_nonzero(counted, axis=1) == 2) & (counted[:, 0] > 0)):
        height, width = (int(side) for side in arrays.sizes[number])
        side = max(height, width)
        if height == width:
            continue
        bands = [(edge * ((side - length) // 2) / side, length * edge / side) for length in (height, width)]
        inner = tuple(slice(int(np.ceil(start)), int(start + length)) for start, length in bands)
        # A pixel on the border is of the image or of its padding.
        outer = tuple(slice(int(start), int(np.ceil(start + length))) for start, length in bands)
        mask = arrays.masks[number]
        if mask[inner].all() and np.count_nonzero(mask) == np.count_nonzero(mask[outer]):
            found[number, 0] = 0
    return found


def _masks(arrays: CachedArrays, numbers: NDArray[np.int64]) -> str:
    noun = "mask" if numbers.size == 1 else "masks"
    return f"{numbers.size} {noun} ({_listed([arrays.ids[number] for number in numbers])})"


def _listed(names: Sequence[str]) -> str:
    rest = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {rest} more" if rest > 0 else "")
