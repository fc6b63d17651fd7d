"""What a dataset's samples are, as plain data that a store keeps: no image and no mask is in it.

A store may be handed on where the data may not; tables by subgroup and distances in mm need only this.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench_core.files.bounded import BoundError, read_json

SAMPLES_FORMAT = 1
MOST_BYTES = 512 * 1024**2
MOST_SAMPLES = 2_000_000
MOST_COLUMNS = 256
LONGEST_TEXT = 1024
LONGEST_SIDE = 2**27
LARGEST_SPACING = 1e6
_FINGERPRINT = re.compile(r"[0-9a-f]{64}")
Value = str | float | None
Column = tuple[Value, ...]
AUTOMATIC = ("size", "contrast", "border", "components", "sharpness")
"""Attributes that images and masks say themselves (bench_core.data.automatic)."""
AUTOMATIC_VERSION = 1
"""Of their definition; other numbers stand under another name, beside those of the old one."""
PREFIX = "auto:"
"""Before the names of automatic attributes, where they stand beside those of the dataset."""


@dataclass(frozen=True, eq=False)
class Samples:
    """A dataset's samples as its jobs saw them."""

    fingerprint: str
    """Of the content of the dataset's files: 64 hexadecimal digits."""
    ids: tuple[str, ...]
    groups: tuple[str, ...]
    sizes: NDArray[np.int64]
    """[N, 2] pixels, (height, width) of the original images."""
    spacing: NDArray[np.float64] | None
    """[N, 2] mm from pixel to pixel of the original images, (down, across); None unless all are known."""
    attributes: Mapping[str, Column] = field(default_factory=dict)
    """Column to one value per sample, all text or all numbers; None where a sample has none."""
    folds: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Name of a dealing (`dealing_name`) to each sample's fold."""
    automatic: Mapping[str, Mapping[str, Column]] = field(default_factory=dict)
    """Name of a grid (`automatic_name`) to the columns AUTOMATIC: what images and masks say themselves.
    Each is None where nobody has looked at an image yet."""

    def grid_spacing(self, image_size: int, resize: str) -> NDArray[np.float64] | None:
        """Return mm per pixel [N, 2] of the square of `image_size` pixels that models are compared on.

        `resize` is "pad-square" or "stretch"; None where the original spacing is not known.
        """
        return None if self.spacing is None else grid_spacing(self.sizes, self.spacing, image_size, resize)

    def with_folds(self, name: str, folds: Sequence[int] | NDArray[np.int64]) -> Samples:
        """Return these samples with one more dealing into folds."""
        if len(folds) != len(self.ids):
            raise ValueError(f"{len(folds)} folds for {len(self.ids)} samples")
        return replace(self, folds={**self.folds, name: tuple(int(fold) for fold in folds)})

    def with_automatic(self, name: str, columns: Mapping[str, Column]) -> Samples:
        """Return these samples with the automatic attributes of one grid."""
        return replace(self, automatic={**self.automatic, name: columns})

    def named(self, grid: str) -> dict[str, Column]:
        """Return the dataset's own attributes, and those of images on this grid as auto:NAME."""
        found = {PREFIX + key: column for key, column in self.automatic.get(grid, {}).items()}
        return {**self.attributes, **found}

    def merged(self, other: Samples) -> Samples:
        """Return the same samples as `other` has, newer in what is not data, with the dealings of both.

        So with automatic attributes: of an image that both know, those of `other`.
        """
        if (self.fingerprint, self.ids) != (other.fingerprint, other.ids):
            raise ValueError("these are samples of two datasets")
        automatic = dict(self.automatic)
        for name, columns in other.automatic.items():
            automatic[name] = _joined(self.automatic.get(name, {}), columns)
        return replace(other, folds={**self.folds, **other.folds}, automatic=automatic)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON data, from which `from_json` makes equal samples."""
        more: dict[str, Any] = {}
        if self.automatic:
            more["automatic"] = {
                grid: {name: list(column) for name, column in columns.items()}
                for grid, columns in self.automatic.items()
            }
        return {
            "format": SAMPLES_FORMAT,
            "fingerprint": self.fingerprint,
            "ids": list(self.ids),
            "groups": list(self.groups),
            "sizes": self.sizes.tolist(),
            "spacing": None if self.spacing is None else self.spacing.tolist(),
            "attributes": {name: list(column) for name, column in self.attributes.items()},
            "folds": {name: list(folds) for name, folds in self.folds.items()},
            **more,
        }

    @classmethod
    def from_json(cls, data: Any) -> Samples:
        """Return the samples that `to_json` wrote; raise BoundError naming the first thing that is wrong."""
        keys = ("format", "fingerprint", "ids", "groups", "sizes", "spacing", "attributes", "folds")
        if not isinstance(data, dict) or set(data) - {"automatic"} != set(keys):
            raise BoundError(f"expected an object with the keys {', '.join(keys)}")
        if data["format"] != SAMPLES_FORMAT:
            raise BoundError(f"format is {data['format']!r:.40}, expected {SAMPLES_FORMAT}")
        fingerprint = data["fingerprint"]
        if not isinstance(fingerprint, str) or not _FINGERPRINT.fullmatch(fingerprint):
            raise BoundError("fingerprint is not 64 hexadecimal digits")
        ids = _texts(data["ids"], "ids")
        if len(set(ids)) != len(ids) or not ids:
            raise BoundError("ids are not unique, or there are none")
        count = len(ids)
        spacing = data["spacing"]
        if spacing is not None:
            spacing = np.array(_pairs(spacing, "spacing", count, _is_spacing), dtype=np.float64)
        return cls(
            fingerprint=fingerprint,
            ids=ids,
            groups=_texts(data["groups"], "groups", count),
            sizes=np.array(_pairs(data["sizes"], "sizes", count, _is_side), dtype=np.int64),
            spacing=spacing,
            attributes={
                _text(name, "attributes"): _column(column, name, count)
                for name, column in _object(data["attributes"], "attributes").items()
            },
            folds={
                _text(name, "folds"): _folds(folds, name, count)
                for name, folds in _object(data["folds"], "folds").items()
            },
            automatic={
                _text(grid, "automatic"): _automatic(columns, count)
                for grid, columns in _object(data.get("automatic", {}), "automatic").items()
            },
        )


def read_samples(path: Path) -> Samples:
    """Read what `to_json` gave from a file; raise OSError, or BoundError where it is not valid."""
    return Samples.from_json(read_json(path, MOST_BYTES))


def grid_spacing(
    sizes: NDArray[np.int64], spacing: NDArray[np.float64], image_size: int, resize: str
) -> NDArray[np.float64]:
    """Return mm per pixel [N, 2] after images of `sizes` [N, 2] were resized to a square of `image_size`.

    Padding to a square keeps a pixel's shape and scales both directions by the longer side; stretching scales
    each direction by its own side.
    """
    if resize == "pad-square":
        sizes = np.repeat(sizes.max(axis=1, keepdims=True), 2, axis=1)
    scaled: NDArray[np.float64] = spacing * sizes / image_size
    return scaled


def dealing_name(count: int, seed: int, stratify: Sequence[str] = ()) -> str:
    """Return the name under which `Samples.folds` keeps the folds that a spec's seed deals."""
    return f"{count} folds, seed {seed}" + (f", stratified by {', '.join(stratify)}" if stratify else "")


def given_name(content: str) -> str:
    """Return the name under which `Samples.folds` keeps a user's own folds of this content hash."""
    return f"given, {content[:16]}"


def automatic_name(image_size: int, resize: str, padding: str = "background") -> str:
    """Return the name under which `Samples.automatic` keeps the attributes of images on this grid."""
    ignored = ", padding ignored" if padding == "ignore" else ""
    return f"{image_size} pixels, {resize}{ignored}, definition {AUTOMATIC_VERSION}"


def is_value(value: object) -> bool:
    """Say whether something may be an attribute: short printable text or a finite number."""
    if isinstance(value, str):
        return len(value) <= LONGEST_TEXT and value.isprintable()
    return isinstance(value, (int, float)) and not isinstance(value, bool) and bool(np.isfinite(value))


def _object(data: Any, what: str) -> dict[str, Any]:
    if not isinstance(data, dict) or len(data) > MOST_COLUMNS:
        raise BoundError(f"{what} is not an object of at most {MOST_COLUMNS} entries")
    return data


def _list(data: Any, what: str, count: int | None = None) -> list[Any]:
    if not isinstance(data, list) or len(data) > MOST_SAMPLES:
        raise BoundError(f"{what} is not a list of at most {MOST_SAMPLES} entries")
    if count is not None and len(data) != count:
        raise BoundError(f"{what} has {len(data)} entries for {count} samples")
    return data


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str) or not value or len(value) > LONGEST_TEXT or not value.isprintable():
        raise BoundError(f"{what} holds {value!a:.60}, expected short printable text")
    return value


def _texts(data: Any, what: str, count: int | None = None) -> tuple[str, ...]:
    return tuple(_text(value, what) for value in _list(data, what, count))


def _pairs(data: Any, what: str, count: int, fits: Callable[[Any], bool]) -> list[list[Any]]:
    pairs = _list(data, what, count)
    for pair in pairs:
        if not isinstance(pair, list) or len(pair) != 2 or not all(fits(value) for value in pair):
            raise BoundError(f"{what} holds {pair!a:.60}, expected two numbers")
    return pairs


def _is_side(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= LONGEST_SIDE


def _is_spacing(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value <= LARGEST_SPACING


def _column(data: Any, name: str, count: int) -> Column:
    values = _list(data, f"attribute {name!a:.60}", count)
    kinds = {isinstance(value, str) for value in values if value is not None}
    if len(kinds) > 1 or not all(value is None or is_value(value) for value in values):
        raise BoundError(f"attribute {name!a:.60} is neither all text nor all numbers")
    return tuple(values)


def _automatic(data: Any, count: int) -> dict[str, Column]:
    columns = {name: _column(column, name, count) for name, column in _object(data, "automatic").items()}
    if set(columns) != set(AUTOMATIC) or any(isinstance(v, str) for found in columns.values() for v in found):
        raise BoundError(f"automatic holds something else than numbers of {', '.join(AUTOMATIC)}")
    return {name: columns[name] for name in AUTOMATIC}


def _joined(mine: Mapping[str, Column], theirs: Mapping[str, Column]) -> dict[str, Column]:
    """Return columns of both, image by image; every image that anybody has looked at has a size."""
    if not mine:
        return dict(theirs)
    known = [value is not None for value in theirs["size"]]
    return {
        name: tuple(new if use else old for old, new, use in zip(mine[name], column, known, strict=True))
        for name, column in theirs.items()
    }


def _folds(data: Any, name: str, count: int) -> tuple[int, ...]:
    values = _list(data, f"folds {name!a:.60}", count)
    if not all(isinstance(fold, int) and not isinstance(fold, bool) and 0 <= fold < 1000 for fold in values):
        raise BoundError(f"folds {name!a:.60} holds something else than fold numbers")
    return tuple(values)
