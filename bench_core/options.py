"""Options of models, datasets and report parts: declared, checked and completed alike everywhere."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

LARGEST = 2**53
"""No number of an option is larger: beyond it whole numbers cannot be told apart as floats."""
_WORDS = {
    int: "a whole number",
    float: "a number",
    str: "text",
    bool: "true or false",
    list: "a list",
    tuple: "a list",
    dict: "a mapping",
}
"""Types as a spec's author knows them."""


@dataclass(frozen=True, kw_only=True)
class Option:
    """One option of a model or dataset: its type, default and meaning."""

    type: type
    default: Any
    help: str
    choices: tuple[Any, ...] = ()
    """Of a list: what each of its items may be."""
    minimum: float | None = None
    maximum: float | None = None
    multiple: int | None = None
    """What an integer must be a multiple of."""
    counts: bool = True
    """Whether it can change a number, and so belongs to a job's identity; False for what only describes."""
    names: Literal["", "metric", "pool"] = ""
    """Which declared things the text, or each item of the list, must name; asked where plugins are known."""


def complete_options(declared: Mapping[str, Option], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return every declared option with its given value or its default, as plain JSON data.

    Integers are taken for floats (and become floats), tuples become lists and mapping keys become text, so
    that a value is the same before and after a job has been written to disk. None is taken where it is
    the default; bounds and multiples hold for each number of a list. Raises ValueError naming the option,
    what is wrong and what is valid.
    """
    for name in given:
        if name not in declared:
            raise ValueError(_unknown_option(str(name), declared))
    return {
        name: _checked_option(name, option, given[name])
        if name in given
        else plain_option(name, option.default)
        for name, option in declared.items()
    }


def _unknown_option(name: str, declared: Mapping[str, Option]) -> str:
    if not declared:
        return f"unknown option {name!r}: there are no options here"
    near = difflib.get_close_matches(name, declared, n=1, cutoff=0.5)
    hint = f", did you mean {near[0]!r}?" if near else ""
    return f"unknown option {name!r}{hint} (options are: {', '.join(sorted(declared))})"


def _checked_option(name: str, option: Option, given: Any) -> Any:
    if given is None and option.default is None:
        return None
    value = float(given) if option.type is float and type(given) is int else given
    kinds = (list, tuple) if option.type in (list, tuple) else option.type
    # bool is a subclass of int, and `width: true` is a mistake.
    if not isinstance(value, kinds) or (isinstance(value, bool) and option.type not in (bool, object)):
        raise ValueError(
            f"option {name!r} must be {_WORDS.get(option.type, option.type.__name__)}, not {_said(given)}"
        )
    plain = plain_option(name, value)
    _check_choices(name, option, plain)
    _check_bounds(name, option, plain)
    return plain


def _said(value: Any) -> str:
    """Return a value as YAML writes it, and what it is."""
    if value is None:
        return "empty (null)"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value!r} ({_WORDS.get(type(value), type(value).__name__)})"


def _check_choices(name: str, option: Option, value: Any) -> None:
    if not option.choices:
        return
    choices = [plain_option(name, choice) for choice in option.choices]
    for item in value if isinstance(value, list) else [value]:
        if item not in choices:
            near = difflib.get_close_matches(str(item), [str(choice) for choice in choices], n=1)
            hint = f", did you mean {near[0]!r}?" if near else ""
            listed = ", ".join(str(choice) for choice in choices)
            verb = "contain" if isinstance(value, list) else "be"
            raise ValueError(f"option {name!r} cannot {verb} {item!r}{hint} (choices are: {listed})")


def _check_bounds(name: str, option: Option, value: Any) -> None:
    for number in value if isinstance(value, list) else [value]:
        if not isinstance(number, (int, float)):
            continue
        if option.maximum is None and abs(number) > LARGEST:
            raise ValueError(f"option {name!r} must be at most {LARGEST:,}, not {number:g}")
        if option.minimum is not None and number < option.minimum:
            raise ValueError(f"option {name!r} must be at least {option.minimum:g}, not {number!r}")
        if option.maximum is not None and number > option.maximum:
            raise ValueError(f"option {name!r} must be at most {option.maximum:g}, not {number!r}")
        if option.multiple is not None and number % option.multiple:
            raise ValueError(_no_multiple(name, option, number))


def _no_multiple(name: str, option: Option, number: float) -> str:
    step = option.multiple or 1
    below = int(number // step) * step
    near = [
        str(value)
        for value in (below, below + step)
        if (option.minimum is None or value >= option.minimum)
        and (option.maximum is None or value <= option.maximum)
    ]
    hint = f" (nearest: {' or '.join(near)})" if near else ""
    return f"option {name!r} must be a multiple of {step}, not {number!r}{hint}"


def plain_option(name: str, value: Any) -> Any:
    """Return a value as plain JSON data; ValueError names the option for what is not."""
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"option {name!r} must be finite, not {value!r}")
    if isinstance(value, (list, tuple)):
        return [plain_option(name, item) for item in value]
    if isinstance(value, Mapping):
        plain = {str(key): plain_option(name, item) for key, item in value.items()}
        if len(plain) < len(value):
            raise ValueError(f"option {name!r} has two keys that read the same as text: {value!r}")
        return plain
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise ValueError(f"option {name!r} holds {value!r}, which is not a number, text, list or mapping")


def differing(declared: Mapping[str, Option], complete: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of complete options that count and are not at their declared default."""
    return {
        name: value
        for name, value in complete.items()
        if declared[name].counts and value != plain_option(name, declared[name].default)
    }
