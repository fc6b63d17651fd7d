"""Which keys are valid where: the spec's models as a map, for hints and for the draft."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, get_args, get_origin

from bench_core.spec.change import owners
from bench_core.spec.model import Spec
from bench_core.spec.nodes import Loc, dotted
from bench_core.spec.section import Form, Section, word_of


def section_types(annotation: Any) -> list[type[Section]]:
    """Return the sections inside of a type such as `EarlyStopping | Off` or `list[ModelEntry]`."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return [annotation]
    return [found for part in get_args(annotation) for found in section_types(part)]


def sections_at(loc: Loc) -> list[type[Section]]:
    """Return the sections that can stand at `loc` (list indices and keys of free choice are passed over)."""
    found: list[Any] = [Spec]
    for step in loc:
        if isinstance(step, int):
            continue
        found = [
            inner
            for annotation in found
            for inner in (*_fields_at(annotation, step), *_free_values(annotation))
        ]
    return [section for annotation in found for section in _standing(annotation)]


def _fields_at(annotation: Any, key: str) -> list[Any]:
    """Return the types of a key in the sections that a type stands for."""
    return [
        field.annotation
        for section in _standing(annotation)
        for name, field in section.model_fields.items()
        if key == (field.alias or name)
    ]


def _standing(annotation: Any) -> list[type[Section]]:
    """Return the sections inside of a type, without those behind keys of free choice."""
    if get_origin(annotation) is dict:
        return []
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return [annotation]
    return [found for part in get_args(annotation) for found in _standing(part)]


def _free_values(annotation: Any) -> list[Any]:
    """Return the types behind keys of free choice, such as X of `dict[str, X]`."""
    if get_origin(annotation) is dict:
        return [get_args(annotation)[1]]
    if isinstance(annotation, type):
        return []
    return [found for part in get_args(annotation) for found in _free_values(part)]


def keys_at(loc: Loc, form: str | None = None) -> list[str]:
    """Return the keys that are valid in the mapping at `loc`, of several forms in that of this name."""
    sections = sections_at(loc)
    chosen = [section for section in sections if form is not None and word_of(section) == form]
    keys = [key_of(section, name) for section in chosen or sections for name in _fields(section)]
    return [*dict.fromkeys(keys), *(() if loc else ("extends",))]


def _fields(section: type[Section]) -> list[str]:
    """Return a section's fields, that which tells forms apart before the others."""
    first = section.key if issubclass(section, Form) else ""
    return sorted(section.model_fields, key=lambda name: name != first)


def key_at(loc: Loc) -> str:
    """Return the key that tells the forms at `loc` apart."""
    return next((section.key for section in sections_at(loc) if issubclass(section, Form)), "name")


def owners_at(loc: Loc, key: str) -> list[str]:
    """Return the names of the forms at `loc` that have a setting."""
    return owners(key, sections_at(loc))


def key_of(section: type[Section], name: str) -> str:
    """Return what a field is called in a spec."""
    return section.model_fields[name].alias or name


@cache
def homes() -> dict[str, tuple[str, ...]]:
    """Return each key with the sections that know it, for keys that stand in the wrong place."""
    table: dict[str, list[str]] = {}
    for loc, key in _walk(Spec, ()):
        table.setdefault(key, []).append(dotted(loc) or "the top level")
    return {key: tuple(dict.fromkeys(places)) for key, places in table.items()}


def _walk(section: type[Section], loc: Loc) -> Iterator[tuple[Loc, str]]:
    for name, field in section.model_fields.items():
        key = key_of(section, name)
        yield loc, key
        for inner in section_types(field.annotation):
            yield from _walk(inner, (*loc, key))
