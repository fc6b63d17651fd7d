"""Whether what a plugin declares is of the types that its declaration says."""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import cache, partial
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from bench_core.declarations.code import shown

Fits = Callable[[Any], bool]


def wrong_field(declaration: Any) -> str | None:
    """Return in words which field of a declaration (a dataclass) is of a wrong type, or None.

    Types are followed into tuples, sequences, mappings and declarations inside; what a callable takes and
    returns is not looked at.
    """
    kind: Any = type(declaration)
    for name, hint, fits in _fields(kind):
        value = getattr(declaration, name)
        if not fits(value):
            return f"{name} is {shown(value)}, but must be {_words(hint)}"
    return None


# Every command looks at each field of all declarations: what a hint asks for is found out once.
@cache
def _fields(kind: Any) -> tuple[tuple[str, Any, Fits], ...]:
    hints = get_type_hints(kind)
    return tuple((field.name, hints[field.name], _fits(hints[field.name])) for field in fields(kind))


def _fits(hint: Any) -> Fits:
    """Return what says whether a value is of the type that a hint names."""
    origin, inner = get_origin(hint), get_args(hint)
    if hint is Any or hint is object:
        return _is_anything
    if origin in (Union, types.UnionType):
        parts = tuple(map(_fits, inner))
        return lambda value: any(fits(value) for fits in parts)
    if origin is Literal:
        return lambda value: any(type(value) is type(part) and value == part for part in inner)
    if hint is None or hint is type(None):
        return lambda value: value is None
    if hint is Callable or origin is _CALLABLE:
        return callable
    if origin is tuple:
        return _tuple_fits(inner)
    if origin in (list, Sequence):
        # A text is a sequence of texts, and never meant as one.
        kinds, each = (list | tuple if origin is Sequence else list), _fits(inner[0])
        return lambda value: isinstance(value, kinds) and all(map(each, value))
    if origin in (dict, Mapping):
        key_fits, item_fits = map(_fits, inner)
        return lambda value: (
            isinstance(value, Mapping)
            and all(key_fits(key) and item_fits(item) for key, item in value.items())
        )
    if hint is float:
        return lambda value: isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return lambda value: isinstance(value, int) and not isinstance(value, bool)
    if not isinstance(hint, type):
        return _is_anything
    if is_dataclass(hint):
        return partial(_is_instance, hint)
    return lambda value: type(value) is hint or _is_instance(hint, value)


_CALLABLE = get_origin(Callable[[], None])


def _is_anything(value: Any) -> bool:
    return True


def _is_instance(kind: type, value: Any) -> bool:
    if not isinstance(value, kind):
        return False
    return not is_dataclass(value) or isinstance(value, type) or wrong_field(value) is None


def _tuple_fits(inner: tuple[Any, ...]) -> Fits:
    if len(inner) == 2 and inner[1] is Ellipsis:
        each = _fits(inner[0])
        return lambda value: isinstance(value, tuple) and all(map(each, value))
    parts = tuple(map(_fits, inner))
    return lambda value: (
        isinstance(value, tuple)
        and len(value) == len(parts)
        and all(fits(item) for fits, item in zip(parts, value, strict=True))
    )


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
