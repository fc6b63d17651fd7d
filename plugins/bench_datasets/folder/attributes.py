"""What is known of each sample beside its image: columns of a CSV file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from bench_core.data.samples import Attribute
from bench_core.samples import LONGEST_TEXT, is_value
from bench_datasets.folder.tables import read_rows, spellings

UNKNOWN = {"", "na", "n/a", "nan", "none", "null", "unknown", "?"}
"""Cells that say nothing, in lower case."""


def find_attributes(
    root: Path, names: Mapping[str, str], file: str, problems: list[str]
) -> dict[str, dict[str, Attribute]]:
    """Return the attributes of each sample id (`names`: id to the image's path below the root).

    A column is numbers where all its cells are, else text. What fails is added to `problems`.
    """
    if not file:
        return {}
    rows = read_rows(root, file, problems)
    if rows is None:
        return {}
    header, table = (rows[0][1], rows[1:]) if rows else ([], [])
    if len(header) < 2 or len(set(header)) < len(header) or not all(map(_is_name, header)):
        problems.append(f"{file}: its first line must name the columns, each once: id, age, sex ...")
        return {}
    cells: dict[str, list[str]] = {}
    for number, row in table:
        if len(row) != len(header):
            problems.append(f"{file}:{number}: expected {len(header)} cells, found {len(row)}")
        elif cells.setdefault(row[0], row[1:]) != row[1:]:
            problems.append(f"{file}:{number}: {row[0]} has a second line")
        elif not all(map(is_value, row)):
            problems.append(f"{file}:{number}: a cell has more than {LONGEST_TEXT} or unprintable characters")
    columns = _columns(header[1:], cells)
    found = {}
    for key, name in names.items():
        line = next((spelling for spelling in spellings(key, name) if spelling in cells), None)
        if line is not None:
            found[key] = {column: values[line] for column, values in columns.items() if line in values}
    if not found and names and cells:
        problems.append(f"{file}: none of its ids is a sample, for example {next(iter(cells))}")
    return found


def _columns(names: list[str], cells: Mapping[str, list[str]]) -> dict[str, dict[str, Attribute]]:
    """Return the known values of each column, by line."""
    columns: dict[str, dict[str, Attribute]] = {}
    for place, name in enumerate(names):
        known = {line: row[place] for line, row in cells.items() if row[place].lower() not in UNKNOWN}
        numbers = {line: _number(text) for line, text in known.items()}
        if all(value is not None for value in numbers.values()):
            columns[name] = {line: value for line, value in numbers.items() if value is not None}
        else:
            columns[name] = dict(known)
    return columns


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _is_name(text: str) -> bool:
    return bool(text) and text.isprintable() and len(text) <= LONGEST_TEXT
