"""Which mask values or colors mean which class, from the spec's options; plain Python, checked early."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bench_core import Task

Color = tuple[int, int, int]
MOST_CLASSES = 254
_HEX = re.compile(r"#[0-9a-fA-F]{6}")


@dataclass(frozen=True)
class Classes:
    """Class index (0 = background) by mask value or color; exactly one of the two tables is used."""

    names: tuple[str, ...]
    values: Mapping[int, int]
    colors: Mapping[Color, int]
    rest_is_background: bool
    nearest: bool


def folder_task(options: Mapping[str, Any]) -> Task:
    """Return the task of the options; raise ValueError naming the option that is wrong."""
    for option in ("images", "masks"):
        if not str(options.get(option, "x")):
            raise ValueError(f"option {option!r} is empty: give a sub-folder or a pattern")
    pattern = str(options.get("group_pattern", ""))
    if pattern and options.get("group_file"):
        raise ValueError("options 'group_pattern' and 'group_file' exclude each other")
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"option 'group_pattern' is no regular expression: {error}") from error
    intensity_window(options.get("intensity", "dtype"))
    return Task(classes=parse_classes(options).names, channels=int(options.get("channels", 3)))


def parse_classes(options: Mapping[str, Any]) -> Classes:
    """Read the options `classes`, `background` and `nearest`; raise ValueError naming what is wrong."""
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
    background, nearest = options.get("background"), bool(options.get("nearest", False))
    if background == "rest" and nearest:
        raise ValueError(
            "options 'background: rest' and 'nearest: true' exclude each other: name the background"
        )
    if background != "rest":
        default: Any = "#000000" if colors else 0
        both = bool(values), bool(colors)
        _add("background", 0, default if background is None else background, values, colors)
        if both != (bool(values), bool(colors)):
            raise ValueError("option 'background' must be of the same kind as the classes: values or colors")
    return Classes(tuple(str(name) for name in given), values, colors, background == "rest", nearest)


def _add(name: str, label: int, what: Any, values: dict[int, int], colors: dict[Color, int]) -> None:
    if not name.strip():
        raise ValueError("option 'classes' holds a class without a name")
    for item in what if isinstance(what, (list, tuple)) else [what]:
        if isinstance(item, int) and not isinstance(item, bool):
            _once(name, item, label, values)
        elif isinstance(item, str) and _HEX.fullmatch(item):
            color = int(item[1:3], 16), int(item[3:5], 16), int(item[5:7], 16)
            _once(name, color, label, colors)
        else:
            raise ValueError(
                f"class {name!r} is given as {item!r}: expected a label value such as 255, a color such as "
                "'#ff0000' (quoted, or YAML reads a comment), or a list of these"
            )
    if isinstance(what, (list, tuple)) and not what:
        raise ValueError(f"class {name!r} is given no value or color")


def _once(name: str, key: Any, label: int, table: dict[Any, int]) -> None:
    if key in table:
        shown = "#{:02x}{:02x}{:02x}".format(*key) if isinstance(key, tuple) else key
        raise ValueError(f"{shown} stands for two classes, one of them {name!r}")
    table[key] = label


def intensity_window(given: Any) -> tuple[float, float] | str:
    """Return "dtype", "image" or (low, high); raise ValueError for anything else."""
    if given in ("dtype", "image"):
        return str(given)
    if isinstance(given, (list, tuple)) and len(given) == 2:
        low, high = given
        if all(isinstance(end, (int, float)) and not isinstance(end, bool) for end in given) and low < high:
            return float(low), float(high)
    raise ValueError(
        f"option 'intensity' cannot be {given!r}: expected dtype, image or [low, high] with low < high"
    )
