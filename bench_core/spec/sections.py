"""Which keys are valid where: the spec's models as a map, for hints and for the draft."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, get_args

from bench_core.spec.model import Spec
from bench_core.spec.nodes import Loc, dotted
from bench_core.spec.protocol import Section


def section_types(annotation: Any) -> list[type[Section]]:
    """Return the sections inside of a type such as `EarlyStopping | Off` or `list[ModelEntry]`."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return [annotation]
    return [found for part in get_args(annotation) for found in section_types(part)]


def sections_at(loc: Loc) -> list[type[Section]]:
    """Return the sections that can stand at `loc` (list indices are passed over)."""
    found: list[type[Section]] = [Spec]
    for step in loc:
        if isinstance(step, int):
            continue
        found = [
            inner
            for section in found
            if step in section.model_fields
            for inner in section_types(section.model_fields[step].annotation)
        ]
    return found


def keys_at(loc: Loc) -> list[str]:
    """Return the keys that are valid in the mapping at `loc`."""
    keys = [key for section in sections_at(loc) for key in section.model_fields]
    return [*keys, "extends"] if not loc else keys


@cache
def homes() -> dict[str, tuple[str, ...]]:
    """Return each key with the sections that know it, for keys that stand in the wrong place."""
    table: dict[str, list[str]] = {}
    for loc, key in _walk(Spec, ()):
        table.setdefault(key, []).append(dotted(loc) or "the top level")
    return {key: tuple(places) for key, places in table.items()}


def _walk(section: type[Section], loc: Loc) -> Iterator[tuple[Loc, str]]:
    for key, field in section.model_fields.items():
        yield loc, key
        for inner in section_types(field.annotation):
            yield from _walk(inner, (*loc, key))
