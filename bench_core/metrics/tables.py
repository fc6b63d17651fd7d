"""Tables of numbers per image and class that steps leave: how their columns are called, written and read."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, cast, get_args

import numpy as np
from numpy.typing import NDArray

from bench_core.metrics.declared import KnownUnit

SCORES, NATIVE_COUNTS = "scores", "native-counts"
HOME_COUNTS, TRANSFER_IMAGES, ENSEMBLE_CLASSES = "home-counts", "transfer-images", "ensemble-classes"
"""Names of the records."""
_SCORE_COLUMNS = ("metric", "unit", "image", "class", "score")
_COUNT_COLUMNS = ("image", "class", "height", "width", "tp", "fp", "fn")
_SEEN_COLUMNS = ("image", "scored", "copy_of", "how")
_LARGEST_SIDE, _LARGEST_LENGTH = 2**27, 1e9
Rows = Sequence[Mapping[str, str]]


class TableError(ValueError):
    """A table that does not say what its columns promise; the message names the first thing that is wrong."""


@dataclass(frozen=True, eq=False)
class ImageScores:
    """One metric of every image and class."""

    unit: KnownUnit
    values: NDArray[np.float64]
    """[N, K], NaN where undefined."""


def score_rows(
    ids: Sequence[str], classes: Sequence[str], measured: Mapping[str, ImageScores]
) -> Iterator[Mapping[str, object]]:
    """Yield one row per metric, image and class."""
    for name, scores in measured.items():
        for sample, each in zip(ids, scores.values.tolist(), strict=True):
            for label, score in zip(classes, each, strict=True):
                values = (name, scores.unit, sample, label, float(score))
                yield dict(zip(_SCORE_COLUMNS, values, strict=True))


def read_scores(rows: Rows, ids: Sequence[str], classes: Sequence[str]) -> dict[str, ImageScores]:
    """Return the scores by metric, in the order of `ids` and `classes`; raise TableError."""
    found: dict[str, ImageScores] = {}
    placed = _Places(ids, classes)
    for row in rows:
        _check_columns(row, _SCORE_COLUMNS)
        name, unit = row["metric"], row["unit"]
        if unit not in get_args(KnownUnit):
            raise TableError(f"unit {unit!a:.40} is none of {', '.join(get_args(KnownUnit))}")
        if name not in found:
            values = np.full((len(ids), len(classes)), np.nan)
            found[name] = ImageScores(cast(KnownUnit, unit), values)
        if found[name].unit != unit:
            raise TableError(f"metric {name!a:.40} is in {found[name].unit} and in {unit}")
        found[name].values[placed.place(row, name)] = _score(row["score"], unit)
    for name in found:
        placed.check_complete(name)
    return found


def count_rows(
    ids: Sequence[str], classes: Sequence[str], sizes: Sequence[tuple[int, int]], values: NDArray[np.int64]
) -> Iterator[Mapping[str, object]]:
    """Yield one row per image and class of counts [N, K, 3]; `sizes` are (height, width)."""
    for sample, size, each in zip(ids, sizes, values.tolist(), strict=True):
        for label, counts in zip(classes, each, strict=True):
            yield dict(zip(_COUNT_COLUMNS, (sample, label, *size, *counts), strict=True))


def read_counts(rows: Rows, ids: Sequence[str], classes: Sequence[str]) -> NDArray[np.int64]:
    """Return counts [N, K, 3] (true positives, false positives, false negatives); raise TableError."""
    values = np.zeros((len(ids), len(classes), 3), dtype=np.int64)
    placed = _Places(ids, classes)
    for row in rows:
        _check_columns(row, _COUNT_COLUMNS)
        numbers = [_whole(row[key]) for key in _COUNT_COLUMNS[2:]]
        height, width = numbers[:2]
        if not (0 < height <= _LARGEST_SIDE and 0 < width <= _LARGEST_SIDE):
            raise TableError(f"the size of {row['image']!a:.60} is {height} x {width}")
        if sum(numbers[2:]) > height * width:
            raise TableError(f"the counts of {row['image']!a:.60} exceed its pixels")
        values[placed.place(row, "counts")] = numbers[2:]
    placed.check_complete("counts")
    return values


class Copy(Protocol):
    """What an image is a copy of, and how."""

    @property
    def image(self) -> str:
        """The id of the other one."""

    @property
    def how(self) -> str:
        """equal or alike."""


def seen_rows(ids: Sequence[str], seen: Mapping[str, Copy]) -> Iterator[Mapping[str, object]]:
    """Yield one row per image: whether it is scored, and of which training image it is a copy."""
    for sample in ids:
        copy = seen.get(sample)
        values = (sample, "yes", "", "") if copy is None else (sample, "no", copy.image, copy.how)
        yield dict(zip(_SEEN_COLUMNS, values, strict=True))


def read_seen(rows: Rows, ids: Sequence[str]) -> dict[str, str]:
    """Return the images that are not scored and the ids that they are copies of; raise TableError."""
    found: dict[str, str] = {}
    for row in rows:
        _check_columns(row, _SEEN_COLUMNS)
        if row["scored"] not in ("yes", "no") or (row["scored"] == "yes") != (row["copy_of"] == ""):
            raise TableError(f"image {row['image']!a:.60} is neither scored nor a copy")
        if row["scored"] == "no":
            found[row["image"]] = row["copy_of"]
    if [row["image"] for row in rows] != list(ids):
        raise TableError("it is of other images than those that were predicted")
    return found


def class_rows(classes: Sequence[str], scored: Sequence[int]) -> Iterator[Mapping[str, object]]:
    """Yield one row per class: whether it is scored."""
    for place, name in enumerate(classes):
        yield {"class": name, "scored": "yes" if place in scored else "no"}


def read_scored(rows: Rows, classes: Sequence[str]) -> tuple[str, ...]:
    """Return the classes that are scored; raise TableError."""
    for row in rows:
        _check_columns(row, ("class", "scored"))
    found = tuple(row["class"] for row in rows if row["scored"] == "yes")
    if [row["class"] for row in rows] != list(classes) or not found:
        raise TableError("it is of other classes than those that are predicted, or none is scored")
    return found


def classes_of(rows: Rows) -> tuple[str, ...]:
    """Return the classes that a table of counts is about, in its order; raise TableError."""
    for row in rows:
        _check_columns(row, _COUNT_COLUMNS)
    return tuple(dict.fromkeys(row["class"] for row in rows))


class _Places:
    """Where the row of an image and class belongs, and which places have been filled."""

    def __init__(self, ids: Sequence[str], classes: Sequence[str]) -> None:
        self._rows = {sample: place for place, sample in enumerate(ids)}
        self._columns = {label: place for place, label in enumerate(classes)}
        self._filled: dict[str, NDArray[np.bool_]] = {}

    def place(self, row: Mapping[str, str], part: str) -> tuple[int, int]:
        sample, label = row["image"], row["class"]
        if sample not in self._rows or label not in self._columns:
            raise TableError(f"image {sample!a:.60}, class {label!a:.60} is not among those that were tested")
        place = self._rows[sample], self._columns[label]
        filled = self._filled.setdefault(part, np.zeros((len(self._rows), len(self._columns)), bool))
        if filled[place]:
            raise TableError(f"image {sample!a:.60}, class {label!a:.60} is there twice")
        filled[place] = True
        return place

    def check_complete(self, part: str) -> None:
        filled = self._filled.get(part)
        missing = len(self._rows) * len(self._columns) - (0 if filled is None else int(filled.sum()))
        if missing:
            raise TableError(f"{missing} rows of {part!a:.40} are missing")


def _check_columns(row: Mapping[str, str], columns: tuple[str, ...]) -> None:
    if tuple(row) != columns:
        raise TableError(f"the columns are not {', '.join(columns)}")


def _score(text: str, unit: str) -> float:
    try:
        value = float(text)
    except ValueError as error:
        raise TableError(f"score {text!a:.40} is not a number") from error
    if not math.isnan(value) and not 0 <= value <= (1.0 if unit == "fraction" else _LARGEST_LENGTH):
        raise TableError(f"score {text!a:.40} is not possible in {unit}")
    return value


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise TableError(f"{text!a:.40} is not a count")
    return int(text)
