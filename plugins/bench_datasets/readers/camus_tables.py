"""CAMUS's small text files: Info_2CH.cfg of both releases, and the published split."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

from bench_core.data.samples import Attribute
from bench_core.errors import DataError
from bench_datasets.readers.base import Listing, some
from bench_datasets.readers.stored import Stored, folders

PARTS = ("training", "validation", "testing")
MOST_TEXT = 2**20
QUALITIES, SEXES = ("Good", "Medium", "Poor"), ("F", "M")
COLUMNS = {
    "image_quality": (("ImageQuality",), QUALITIES),
    "sex": (("Sex",), SEXES),
    "age": (("Age",), ()),
    "ef": (("EF", "LVef"), ()),
}
"""Attribute to the keys that the releases give it, and what it may be; none given: a number."""
UNKNOWN = {"", "na", "n/a", "nan", "none", "unknown", "?"}
DEPTH = 3


def attributes_of(path: Path, listing: Listing, absent: dict[str, list[str]]) -> dict[str, Attribute]:
    """Return image quality, sex, age and ejection fraction (%) of a view; what is not as published is told.

    `absent` collects the files that lack a key.

    ED and ES are frame numbers of the sequence; in some patients ES comes first, which says nothing of the
    images that are used.
    """
    try:
        text = Stored(path).content(MOST_TEXT).decode("utf-8", errors="replace")
    except DataError as error:
        listing.problems.add(path, error.message)
        return {}
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    cells: dict[str, str] = {}
    for line in lines:
        key, colon, value = line.partition(":")
        if not colon:
            listing.problems.add(path, f"holds the line {line!a:.40}, expected `Key: value`")
            return {}
        cells[key.strip()] = value.strip()
    found: dict[str, Attribute] = {}
    for name, (keys, choices) in COLUMNS.items():
        given = next((key for key in keys if key in cells), None)
        if given is None:
            absent.setdefault(keys[0], []).append(f"{path.parent.name}/{path.name}")
            continue
        told = _value(cells[given], choices)
        if told == "":
            listing.problems.add(path, f"{given} is {cells[given]!a:.40}, expected {_expected(choices)}")
        elif told is not None:
            found[name] = told
    return found


def _value(text: str, choices: Iterable[str]) -> Attribute | None:
    """Return a cell's value, None where it is unknown, "" where it is none that was published."""
    if text.lower() in UNKNOWN:
        return None
    if choices:
        return next((choice for choice in choices if choice.lower() == text.lower()), "")
    try:
        number = float(text)
    except ValueError:
        return ""
    return number if math.isfinite(number) else None


def _expected(choices: Iterable[str]) -> str:
    return " or ".join(choices) or "a number"


def splits_of(root: Path, listing: Listing) -> dict[str, str]:
    """Return the published part of each patient from subgroup_*.txt, which decide: number ranges do not."""
    names = {f"subgroup_{part}.txt": part for part in PARTS}
    places: dict[str, Path] = {}
    for folder, below, files in folders(root, DEPTH):
        below[:] = [name for name in below if not name.startswith("patient")]
        for name in names.keys() & {*files}:
            if places.setdefault(name, folder / name) != folder / name:
                listing.problems.add(folder / name, f"is there twice, see {places[name].relative_to(root)}")
    if not places:
        listing.remarks.append("database_split/ is not there: images have no attribute `split`")
        return {}
    home = next(iter(places.values())).parent
    for name in sorted(names.keys() - places.keys()):
        listing.problems.missing(home / name, "the file is missing")
    found: dict[str, str] = {}
    for name, part in names.items():
        if name in places:
            _read_split(places[name], part, found, listing)
    return found


def _read_split(path: Path, part: str, found: dict[str, str], listing: Listing) -> None:
    try:
        lines = Stored(path).content(MOST_TEXT).decode("utf-8", errors="replace").split()
    except DataError as error:
        listing.problems.add(path, error.message)
        return
    strange = [line for line in lines if not (line.startswith("patient") and line[7:].isdigit())]
    if strange:
        listing.problems.add(path, f"holds {strange[0]!a:.40}, expected patients such as patient0001")
    twice = [line for line in lines if line not in strange and found.setdefault(line, part) != part]
    if twice:
        listing.problems.add(path, f"{some(twice)} stand in subgroup_{found[twice[0]]}.txt as well")
