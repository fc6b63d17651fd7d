"""Which samples belong together: by a pattern on their ids or by a CSV file."""

from __future__ import annotations

import csv
import re
import unicodedata
from collections.abc import Mapping
from pathlib import Path

MOST_BYTES = 64 * 1024**2


def find_groups(
    root: Path, names: Mapping[str, str], pattern: str, file: str, problems: list[str]
) -> dict[str, str]:
    """Return the group of each sample id (`names`: id to the image's path below the root).

    Without pattern and file every sample is its own group. What fails is added to `problems`.
    """
    if pattern:
        return _by_pattern(names, pattern, problems)
    if file:
        return _by_file(root, names, file, problems)
    return {key: key for key in names}


def _by_pattern(names: Mapping[str, str], pattern: str, problems: list[str]) -> dict[str, str]:
    expression = re.compile(pattern)
    groups = {}
    for key, name in names.items():
        match = expression.search(key)
        group = None
        if match is not None:
            named = "group" in expression.groupindex
            group = match["group"] if named else match[1 if expression.groups else 0]
        if not group:
            problems.append(f"{name}: group_pattern {pattern!r} finds no group in {key!r}")
        groups[key] = group or key
    return groups


def _by_file(root: Path, names: Mapping[str, str], file: str, problems: list[str]) -> dict[str, str]:
    given = _read(root, file, problems)
    groups = {}
    for key, name in names.items():
        spellings = tuple(map(composed, (key, name, Path(name).name, Path(key).name)))
        group = next((given[spelling] for spelling in spellings if spelling in given), None)
        if group is None and given:
            problems.append(f"{name}: has no line in {file}")
        groups[key] = group or key
    return groups


def composed(text: str) -> str:
    """Return text in NFC: macOS writes accents as characters of their own."""
    return unicodedata.normalize("NFC", text)


def _read(root: Path, file: str, problems: list[str]) -> dict[str, str]:
    table: dict[str, str] = {}
    try:
        path = (root / file).resolve()
        if not path.is_relative_to(root.resolve()):
            problems.append(f"{file!a:.80}: lies outside of the root, from which alone files are read")
            return table
        if not path.is_file() or path.stat().st_size > MOST_BYTES:
            problems.append(f"{file}: cannot be read as CSV: it is missing, no regular file, or too large")
            return table
        with path.open(encoding="utf-8-sig", newline="") as lines:
            for number, row in enumerate(csv.reader(lines, strict=True), start=1):
                cells = [composed(cell.strip()) for cell in row]
                if not any(cells) or (number == 1 and [cell.lower() for cell in cells] == ["id", "group"]):
                    continue
                if len(cells) != 2 or not all(cells):
                    problems.append(f"{file}:{number}: expected two cells, id and group, found {row!a:.60}")
                elif table.setdefault(cells[0], cells[1]) != cells[1]:
                    problems.append(f"{file}:{number}: {cells[0]} is given a second group")
    except (OSError, RuntimeError, ValueError, csv.Error) as error:
        problems.append(f"{file}: cannot be read as CSV: {error}")
        return table
    if not table:
        problems.append(f"{file}: holds no groups")
    return table
