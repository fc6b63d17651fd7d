"""Whether what a plugin declares is of the types that its declaration says."""

from __future__ import annotations

import types
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from bench_core.declarations.code import shown


def wrong_field(declaration: Any) -> str | None:
    """Return in words which field of a declaration (a dataclass) is of a wrong type, or None.

    Types are followed into tuples, sequences, mappings and declarations inside; what a callable takes and
    returns is not looked at.
    """
    kind: Any = type(declaration)
    hints = _hints(kind)
    for field in fields(declaration):
        value = getattr(declaration, field.name)
        if not _fits(value, hints[field.name]):
            return f"{field.name} is {shown(value)}, but must be {_words(hints[field.name])}"
    return None


@cache
def _hints(kind: Hashable) -> dict[str, Any]:
    return get_type_hints(kind)


def _fits(value: Any, hint: Any) -> bool:
    origin, inner = get_origin(hint), get_args(hint)
    if hint is Any or hint is object:
        return True
    if origin in (Union, types.UnionType):
        return any(_fits(value, part) for part in inner)
    if origin is Literal:
        return any(type(value) is type(part) and value == part for part in inner)
    if hint is None or hint is type(None):
        return value is None
    if hint is Callable or origin is Callable or origin is _CALLABLE:
        return callable(value)
    if origin is tuple:
        return isinstance(value, tuple) and _tuple_fits(value, inner)
    if origin in (list, Sequence):
        # A text is a sequence of texts, and never meant as one.
        return isinstance(value, list | tuple if origin is Sequence else list) and all(
            _fits(item, inner[0]) for item in value
        )
    if origin in (dict, Mapping):
        return isinstance(value, Mapping) and all(
            _fits(key, inner[0]) and _fits(item, inner[1]) for key, item in value.items()
        )
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if not isinstance(hint, type):
        return True
    if not isinstance(value, hint):
        return False
    return not is_dataclass(value) or isinstance(value, type) or wrong_field(value) is None


_CALLABLE = get_origin(Callable[[], None])


def _tuple_fits(value: tuple[Any, ...], inner: tuple[Any, ...]) -> bool:
    if len(inner) == 2 and inner[1] is Ellipsis:
        return all(_fits(item, inner[0]) for item in value)
    return len(value) == len(inner) and all(map(_fits, value, inner))


def _words(hint: Any) -> str:
    if hint is None or hint is type(None):
        return "None"
    if get_origin(hint) in (Union, types.UnionType):
        return " or ".join(_words(part) for part in get_args(hint))
    if get_origin(hint) is Literal:
        return " or ".join(repr(part) for part in get_args(hint))
    if isinstance(hint, type) and not get_args(hint):
        return hint.__name__
    return str(hint).replace("typing.", "").replace("collections.abc.", "").replace("bench_core.", "")
