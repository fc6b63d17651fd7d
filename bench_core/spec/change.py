"""A deviation of a section: what it says laid over what the protocol says."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar, cast

from pydantic import BaseModel, create_model

from bench_core.spec.section import Form, Section, word_of

Part = TypeVar("Part", bound=Section)


def change_of(name: str, about: str, forms: Sequence[type[Form]]) -> type[Section]:
    """Return a section of every setting that one of the forms has, without what tells the forms apart.

    What such a section leaves out means nothing; what it gives is checked as the forms check it.
    """
    fields: dict[str, Any] = {}
    for form in forms:
        for key, field in form.model_fields.items():
            if key != form.key:
                fields.setdefault(key, (field.annotation, field))
    made = create_model(name, __base__=Section, __module__=forms[0].__module__, __doc__=about, **fields)
    return cast(type[Section], made)


def replaces(current: Section, change: Section) -> bool:
    """Return whether a change names another form than the current one, and so takes its place as a whole."""
    named = word_of(type(change))
    return named is not None and named != word_of(type(current))


def strays(current: Section, change: Section) -> list[str]:
    """Return the settings of a change that the current form does not have, so that they would do nothing."""
    if replaces(current, change):
        return []
    return sorted(change.model_fields_set - type(current).model_fields.keys())


def applied(current: Part, change: Section) -> Part:
    """Return the current section with what the change says; what it leaves out stays.

    Raises ValueError for a setting that the current form does not have.
    """
    if replaces(current, change):
        return cast(Part, change)
    wrong = strays(current, change)
    if wrong:
        raise ValueError(f"{', '.join(wrong)} would have no effect with {word_of(type(current))}")
    return current.model_copy(update={name: getattr(change, name) for name in change.model_fields_set})


def owners(key: str, forms: Iterable[type[BaseModel]]) -> list[str]:
    """Return the words of the forms that have a setting."""
    words = (word_of(form) for form in forms if key in form.model_fields)
    return [word for word in words if word is not None]
