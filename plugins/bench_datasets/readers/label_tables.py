"""What a layout's own JSON file says of labels and files, held against the spec's options."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench_core import IGNORE
from bench_core.data.samples import UInt8Array
from bench_core.errors import DataError
from bench_core.files.bounded import MOST_JSON_BYTES, BoundError, read_json
from bench_datasets.folder.classes import Classes
from bench_datasets.problems import Problems

NAMED = 5


def read_table(path: Path, problems: Problems, most_bytes: int = MOST_JSON_BYTES) -> dict[str, Any] | None:
    """Return a JSON object from a file; what fails is a problem, and None is returned."""
    try:
        table = read_json(path, most_bytes)
    except FileNotFoundError:
        problems.add(path, "is missing")
    except (BoundError, OSError) as error:
        problems.add(path, f"cannot be read as JSON: {error}")
    else:
        if isinstance(table, dict):
            return table
        problems.add(path, "holds no JSON object")
    return None


def below(root: Path, folder: Path, given: object) -> Path | None:
    """Return the path that a table names, None where it leads out of the root."""
    if not isinstance(given, str) or not given or "\0" in given or "$" in given or len(given) > 4096:
        return None
    path = folder / given
    inside = path.resolve().is_relative_to(root.resolve())
    return path if inside else None


def check_classes(
    problems: Problems, path: Path, named: Mapping[int, str], ignored: int | None, classes: Classes
) -> None:
    """Note in one line if the options and the table disagree about labels, and what the options should say.

    `named` is the table's name of each value but the background's, `ignored` the value that it ignores.
    """
    given = {value: label for value, label in classes.values.items() if label not in (0, IGNORE)}
    said = {name: value for value, name in named.items()}
    values_of: dict[str, list[int]] = {}
    for value, label in given.items():
        values_of.setdefault(classes.names[label - 1], []).append(value)
    swapped = any(name in said and said[name] not in values for name, values in values_of.items())
    unsaid = [value for value in named if value not in classes.values] if classes.rest is None else []
    unknown = [value for value in given if value not in named]
    wrong_ignore = ignored is not None and classes.values.get(ignored, classes.rest) != IGNORE
    if not (swapped or unsaid or unknown or wrong_ignore):
        return
    right = ", ".join(f"{name}: {value}" for value, name in sorted(named.items()))
    more = "" if ignored is None else f" and `ignore: {ignored}`"
    ours = ", ".join(f"{classes.names[label - 1]}: {value}" for value, label in sorted(given.items()))
    problems.add(
        path, f"its labels are `classes: {{{right}}}`{more}, but the options say `classes: {{{ours}}}`"
    )


def label_indices(values: NDArray[Any], classes: Classes, path: Path) -> UInt8Array:
    """Return class indices of label values; DataError lists values that mean no class."""
    if values.dtype.kind == "f":
        if not (np.isfinite(values).all() and (values == np.floor(values)).all()):
            raise DataError(
                "the labels hold values that are not whole numbers",
                place=str(path),
                fix="store labels as integers",
            )
    elif values.dtype.kind not in "ui":
        raise DataError(f"the labels are {values.dtype} values", place=str(path), fix="store integers")
    found, inverse = np.unique(values, return_inverse=True)
    table = np.zeros(len(found), dtype=np.uint8)
    strange = []
    for place, value in enumerate(found.tolist()):
        label = classes.values.get(int(value), classes.rest)
        if label is None:
            strange.append(int(value))
        else:
            table[place] = label
    if strange:
        more = f" and {len(strange) - NAMED} more" if len(strange) > NAMED else ""
        raise DataError(
            f"the labels hold values that mean no class: {', '.join(map(str, strange[:NAMED]))}{more}",
            place=str(path),
            fix="add them to `classes`, `background` or `ignore`; `background: rest` for all others",
        )
    return table[inverse].reshape(values.shape)
