"""Which mask values or colors mean which class, from the spec's options; plain Python, checked early."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from bench_core import IGNORE, Task
from bench_datasets.decoding.windows import parse_window

Color = tuple[int, int, int]
MOST_CLASSES = 254
MOST_VALUES = 65536
_RANGE = re.compile(r"\d{1,9}\.\.\d{1,9}")
_HEX = re.compile(r"#[0-9a-fA-F]{6}")


@dataclass(frozen=True)
class Classes:
    """Label (0 = background, IGNORE) by mask value or color; exactly one of the two tables is used."""

    names: tuple[str, ...]
    values: Mapping[int, int]
    colors: Mapping[Color, int]
    rest: int | None
    """Label of values or colors that are in no table; None: there may be none."""
    nearest: bool


def folder_task(options: Mapping[str, Any]) -> Task:
    """Return the task of the options; raise ValueError naming the option that is wrong."""
    for option in ("images", "masks"):
        if not str(options.get(option, "x")):
            raise ValueError(f"option {option!r} is empty: give a sub-folder or a pattern")
        where = PurePath(str(options.get(option, "x")))
        if where.is_absolute() or ".." in where.parts:
            raise ValueError(
                f"option {option!r} leads out of the root ({where}): set `root` to the folder above both"
            )
    pattern = str(options.get("group_pattern", ""))
    if pattern and options.get("group_file"):
        raise ValueError("options 'group_pattern' and 'group_file' exclude each other")
    if options.get("part_pattern") and options.get("part_file"):
        raise ValueError("options 'part_pattern' and 'part_file' exclude each other")
    _check_part_file(options.get("part_file", ""))
    for option in ("group_pattern", "pair_by", "part_pattern"):
        try:
            re.compile(str(options.get(option, "")))
        except re.error as error:
            raise ValueError(f"option {option!r} is not a regular expression: {error}") from error
    channels = int(options.get("channels", 3))
    parse_window(options.get("intensity", "dtype"), channels)
    return Task(
        classes=parse_classes(options).names,
        channels=channels,
        ignore=options.get("ignore") is not None,
    )


def _check_part_file(given: Any) -> None:
    listed = isinstance(given, Mapping) and given and all(isinstance(item, str) for item in given.values())
    if not isinstance(given, str) and not listed:
        raise ValueError(
            f"option 'part_file' cannot be {given!r}: expected a file, or one per part such as "
            "{train: train.txt, test: test.txt}"
        )


def parse_classes(options: Mapping[str, Any]) -> Classes:
    """Read `classes`, `background`, `ignore` and `nearest`; raise ValueError naming what is wrong."""
    given = options.get("classes") or {}
    if not isinstance(given, Mapping) or not given:
        raise ValueError("option 'classes' is needed: a mapping such as {lesion: 255} or {polyp: '#ff0000'}")
    if len(given) > MOST_CLASSES:
        raise ValueError(f"option 'classes' holds {len(given)} classes, at most {MOST_CLASSES} are possible")
    values: dict[int, int] = {}
    colors: dict[Color, int] = {}
    for label, (name, what) in enumerate(given.items(), start=1):
        _add(str(name), label, what, values, colors)
    if values and colors:
        raise ValueError("option 'classes' mixes label values and colors: use one of them for all classes")
    background, ignored = options.get("background"), options.get("ignore")
    nearest = bool(options.get("nearest", False))
    rest = _rest(background, ignored, nearest)
    in_color = bool(colors)
    for option, label, what in (("ignore", IGNORE, ignored), ("background", 0, background)):
        if what not in (None, "rest"):
            _add(option, label, what, values, colors)
        if values if in_color else colors:
            raise ValueError(f"option {option!r} must be of the same kind as the classes: values or colors")
    if background is None:
        _add_black(colors if in_color else values, (0, 0, 0) if in_color else 0)
    return Classes(tuple(str(name) for name in given), values, colors, rest, nearest)


def _add_black(table: dict[Any, int], black: Any) -> None:
    # Where black pixels are ignored, nothing is background unless it is named.
    if table.get(black) != IGNORE:
        _once("background", black, 0, table)


def _rest(background: Any, ignored: Any, nearest: bool) -> int | None:
    """Return the label of values that are not listed; raise ValueError where the options contradict."""
    for option, value in (("background", background), ("ignore", ignored)):
        if value == "rest" and nearest:
            raise ValueError(
                f"options '{option}: rest' and 'nearest: true' exclude each other: name the values or colors"
            )
    if background == ignored == "rest":
        raise ValueError("options 'background: rest' and 'ignore: rest' exclude each other: choose one")
    return 0 if background == "rest" else (IGNORE if ignored == "rest" else None)


def _add(name: str, label: int, what: Any, values: dict[int, int], colors: dict[Color, int]) -> None:
    if not name.strip():
        raise ValueError("option 'classes' holds a class without a name")
    if name == "ignore" and label != IGNORE:
        raise ValueError(
            f"option 'classes' holds a class 'ignore', which would be learned and scored: write "
            f"`ignore: {what}` beside `classes`"
        )
    for item in what if isinstance(what, (list, tuple)) else [what]:
        if isinstance(item, int) and not isinstance(item, bool):
            _once(name, item, label, values)
        elif isinstance(item, str) and _RANGE.fullmatch(item):
            first, last = map(int, item.split(".."))
            if not first <= last < first + MOST_VALUES:
                raise ValueError(
                    f"class {name!r} is given as {item!r}: expected a range of {MOST_VALUES} at most"
                )
            for value in range(first, last + 1):
                _once(name, value, label, values)
        elif isinstance(item, str) and _HEX.fullmatch(item):
            color = int(item[1:3], 16), int(item[3:5], 16), int(item[5:7], 16)
            _once(name, color, label, colors)
        else:
            raise ValueError(
                f"class {name!r} is given as {item!r}: expected a label value such as 255, a range such as "
                "'1..40', a color such as '#ff0000' (quoted, or YAML reads a comment), or a list of these"
            )
    if isinstance(what, (list, tuple)) and not what:
        raise ValueError(f"class {name!r} is given no value or color")


def _once(name: str, key: Any, label: int, table: dict[Any, int]) -> None:
    if key in table:
        shown = "#{:02x}{:02x}{:02x}".format(*key) if isinstance(key, tuple) else key
        raise ValueError(f"{shown} stands for two classes, one of them {name!r}")
    table[key] = label
