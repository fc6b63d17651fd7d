"""Which samples belong together: by a pattern on their ids or by a CSV file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from bench_datasets.folder.tables import read_rows, spellings


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
        group = next((given[spelling] for spelling in spellings(key, name) if spelling in given), None)
        if group is None and given:
            problems.append(f"{name}: has no line in {file}")
        groups[key] = group or key
    return groups


def _read(root: Path, file: str, problems: list[str]) -> dict[str, str]:
    table: dict[str, str] = {}
    rows = read_rows(root, file, problems)
    for number, cells in rows or ():
        if number == 1 and [cell.lower() for cell in cells] == ["id", "group"]:
            continue
        if len(cells) != 2 or not all(cells):
            problems.append(f"{file}:{number}: expected two cells, id and group, found {cells!a:.60}")
        elif table.setdefault(cells[0], cells[1]) != cells[1]:
            problems.append(f"{file}:{number}: {cells[0]} is given a second group")
    if not table and rows is not None:
        problems.append(f"{file}: holds no groups")
    return table
