"""Which part of a published split each sample belongs to: train, validation or test."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench_core.errors import DataError
from bench_core.fold_files import ROLE_NAMES, ROLES, read_folds
from bench_datasets.folder.tables import composed, read_rows, spellings

_HEADS = ("part", "split", "set", "subset", "fold")
MOST_BYTES = 64 * 1024**2


def find_parts(
    root: Path, names: Mapping[str, str], options: Mapping[str, Any], problems: list[str]
) -> dict[str, str]:
    """Return the part of each sample id (`names`: id to the image's path below the root).

    From `part_pattern`, whose parentheses find it in the image's path, or from `part_file`: a CSV file
    `id,part`, a JSON file as for `folds:`, or a text file of ids for each part. What fails is added to
    `problems`.
    """
    pattern, given = str(options["part_pattern"]), options["part_file"]
    if pattern:
        return _by_pattern(names, pattern, problems)
    if not given:
        return {}
    read = _from_lists if isinstance(given, Mapping) else _from_file
    table = read(root, given, problems)
    found = {}
    for key, name in names.items():
        known = next((spelling for spelling in _written(key, name) if spelling in table), None)
        if known is not None:
            found[key] = table[known]
        elif table:
            problems.append(f"{name}: is in no part of {_shown(given)}")
    return found


def _by_pattern(names: Mapping[str, str], pattern: str, problems: list[str]) -> dict[str, str]:
    found = {}
    for key, name in names.items():
        match = re.search(pattern, name)
        text = match[1 if match.re.groups else 0] if match is not None else None
        if not text:
            problems.append(f"{name}: part_pattern {pattern!r} finds no part in it")
        else:
            found[key] = part_name(text)
    return found


def part_name(text: str) -> str:
    """Return a part's usual name (train, validation, test) for any word for it, else the word itself."""
    role = ROLES.get(text.strip().lower())
    return text if role is None else ROLE_NAMES[role]


def _from_file(root: Path, file: Any, problems: list[str]) -> dict[str, str]:
    if not str(file).lower().endswith(".json"):
        return _from_table(root, str(file), problems)
    path = _inside(root, str(file), problems)
    if path is None:
        return {}
    try:
        given = read_folds(path)
    except DataError as error:
        problems.append(f"{file}: {error.message}")
        return {}
    named = ROLE_NAMES if given.roles else [f"fold {fold}" for fold in range(given.count)]
    return {composed(sample): named[fold] for sample, fold in given.folds.items()}


def _from_table(root: Path, file: str, problems: list[str]) -> dict[str, str]:
    table: dict[str, str] = {}
    for number, cells in read_rows(root, file, problems) or ():
        if number == 1 and len(cells) == 2 and cells[1].lower() in _HEADS:
            continue
        if len(cells) != 2 or not all(cells):
            problems.append(f"{file}:{number}: expected two cells, id and part, found {cells!a:.60}")
        elif table.setdefault(cells[0], part_name(cells[1])) != part_name(cells[1]):
            problems.append(f"{file}:{number}: {cells[0]} is given a second part")
    return table


def _from_lists(root: Path, given: Mapping[Any, Any], problems: list[str]) -> dict[str, str]:
    table: dict[str, str] = {}
    for part, file in given.items():
        path = _inside(root, str(file), problems)
        if path is None:
            continue
        try:
            if path.stat().st_size > MOST_BYTES:
                raise ValueError(f"is larger than {MOST_BYTES} bytes")
            lines = path.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, ValueError) as error:
            problems.append(f"{file}: cannot be read as a list of ids: {error}")
            continue
        for number, line in enumerate(lines, start=1):
            sample = composed(line.strip())
            if sample and table.setdefault(sample, part_name(str(part))) != part_name(str(part)):
                problems.append(f"{file}:{number}: {sample} is in {table[sample]} as well")
    return table


def _inside(root: Path, file: str, problems: list[str]) -> Path | None:
    try:
        path = (root / file).resolve()
        if not path.is_relative_to(root.resolve()):
            problems.append(f"{file!a:.80}: lies outside of the root, from which alone files are read")
            return None
        if path.is_file():
            return path
    except (OSError, RuntimeError, ValueError) as error:
        problems.append(f"{file!a:.80}: cannot be read: {error}")
        return None
    problems.append(f"{file!a:.80}: no such file")
    return None


def _written(key: str, name: str) -> list[str]:
    """Return how a list may write a sample: as in a table, or without the extension."""
    return [*spellings(key, name), composed(Path(name).with_suffix("").as_posix())]


def _shown(given: Any) -> str:
    return ", ".join(map(str, given.values())) if isinstance(given, Mapping) else str(given)
