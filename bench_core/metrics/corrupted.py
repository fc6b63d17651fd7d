"""Counts of images under corruptions: their table, and the values that follow from it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from bench_core.metrics.counts import dice
from bench_core.metrics.tables import Rows, TableError

CORRUPTION_COUNTS, CORRUPTION_EXAMPLES = "corruption-counts", "corruption-examples"
"""Names of the records."""
CLEAN = "clean"
"""The kind of images as they are, of severity 0; always the first condition."""
SEVERITIES = (1, 2, 3, 4, 5)
_COLUMNS = ("kind", "severity", "image", "class", "tp", "fp", "fn")
_KIND = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_LARGEST, _LONGEST_KIND = 2**53, 60

Condition = tuple[str, int]
"""Kind and severity."""


def corruption_rows(
    conditions: Sequence[Condition], ids: Sequence[str], classes: Sequence[str], values: NDArray[np.int64]
) -> Iterator[Mapping[str, object]]:
    """Yield one row per condition, image and class of counts [X, N, K, 3]."""
    for (kind, severity), table in zip(conditions, values, strict=True):
        for sample, each in zip(ids, table.tolist(), strict=True):
            for label, counts in zip(classes, each, strict=True):
                yield dict(zip(_COLUMNS, (kind, severity, sample, label, *counts), strict=True))


def read_corruption(
    rows: Rows, ids: Sequence[str], classes: Sequence[str]
) -> tuple[tuple[Condition, ...], NDArray[np.int64]]:
    """Return the conditions, clean first, and their counts [X, N, K, 3]; raise TableError.

    Rows are in the order in which `corruption_rows` yields them. A mask does not change with the image: true
    positives and false negatives of an image and class add up to the same number under every condition.
    """
    block = len(ids) * len(classes)
    if not block or not rows or len(rows) % block:
        raise TableError(f"{len(rows)} rows are not those of {block} images and classes under each condition")
    if tuple(rows[0]) != _COLUMNS:
        raise TableError(f"the columns are not {', '.join(_COLUMNS)}")
    conditions: list[Condition] = []
    values = np.zeros((len(rows) // block, len(ids), len(classes), 3), dtype=np.int64)
    expected = [(sample, label) for sample in ids for label in classes]
    for place in range(len(values)):
        part = rows[place * block : (place + 1) * block]
        kind, severity = part[0]["kind"], part[0]["severity"]
        conditions.append(_condition(kind, severity, conditions))
        for row, (sample, label) in zip(part, expected, strict=True):
            if (row["kind"], row["severity"]) != (kind, severity):
                raise TableError(f"rows of {kind!a:.40}, {severity!a:.10} are missing")
            if (row["image"], row["class"]) != (sample, label):
                raise TableError(
                    f"image {row['image']!a:.60}, class {row['class']!a:.60} is not expected there"
                )
        numbers = [[_whole(row[key]) for key in _COLUMNS[4:]] for row in part]
        values[place] = np.array(numbers, dtype=np.int64).reshape(values.shape[1:])
    truth = values[..., 0] + values[..., 2]
    odd = np.argwhere(truth != truth[0])
    if len(odd):
        place, image, _ = (int(number) for number in odd[0])
        raise TableError(f"the mask of {ids[image]!a:.60} has another size under {conditions[place][0]}")
    return tuple(conditions), values


def corruption_values(conditions: Sequence[Condition], values: NDArray[np.int64]) -> dict[str, float]:
    """Return pooled Dice of clean images (`mdsc-clean`) and of each kind, and the mean `degradation`.

    A kind's score is the mean over its severities; its degradation the mean of 1 - corrupted / clean, and the
    mean of these over kinds that of the network. What is undefined is left out.
    """
    scores = dict(zip(conditions, dice(values.sum(axis=(1, 2))).tolist(), strict=True))
    clean = scores[CLEAN, 0]
    found = {f"mdsc-{CLEAN}": clean}
    lost = []
    for kind, each in by_kind(conditions).items():
        mine = [scores[kind, severity] for severity in each]
        found[f"mdsc-{kind}"] = fmean(mine)
        lost.append(fmean(clean - score for score in mine) / clean if clean > 0 else float("nan"))
    if lost:
        found["degradation"] = fmean(lost)
    return {name: value for name, value in found.items() if value == value}


def by_kind(conditions: Sequence[Condition]) -> dict[str, list[int]]:
    """Return the severities of each kind, in the order of the conditions, without the clean images."""
    found: dict[str, list[int]] = {}
    for kind, severity in conditions:
        if kind != CLEAN:
            found.setdefault(kind, []).append(severity)
    return found


def _condition(kind: str, severity: str, before: Sequence[Condition]) -> Condition:
    if not before:
        if (kind, severity) != (CLEAN, "0"):
            raise TableError("it does not begin with the clean images")
        return CLEAN, 0
    if (
        len(kind) > _LONGEST_KIND
        or not _KIND.fullmatch(kind)
        or kind == CLEAN
        or severity not in map(str, SEVERITIES)
    ):
        raise TableError(f"{kind!a:.40}, {severity!a:.10} is no kind with a severity")
    found = kind, int(severity)
    if found in before:
        raise TableError(f"{kind}, {severity} is there twice")
    return found


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 16 and int(text) < _LARGEST):
        raise TableError(f"{text!a:.40} is not a count")
    return int(text)
