"""Keys, types and ranges: pydantic's errors as diagnostics at their places in the file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

from pydantic import ValidationError

from bench_core.spec.diagnostics import Diagnostic, diagnose
from bench_core.spec.model import Spec
from bench_core.spec.nodes import Loc, Node, place_of
from bench_core.spec.sections import key_at
from bench_core.spec.words import WRONG_KIND, Words, describe, describe_kinds

Mistake = tuple[Loc, Words]
MOST_MISTAKES = 500
"""Values that are reported: nobody reads more."""


def validate_structure(tree: Node, data: Mapping[str, Any]) -> tuple[Spec | None, dict[Loc, Diagnostic]]:
    """Return the spec, or None and a diagnostic for each value (by its way in the tree) that is wrong."""
    try:
        return Spec.model_validate(data), {}
    except ValidationError as error:
        found = {}
        for loc, words in islice(mistakes(error, data), MOST_MISTAKES):
            if words.check == "rate-source":
                continue  # A check of its own, which runs even where other parts of the protocol are wrong.
            key = words.check == "unknown-key"
            place = place_of(tree, loc, key=key)
            found[loc] = diagnose(place, words.check, words.message, cause=words.cause, fix=words.fix)
        return None, found


def mistakes(error: ValidationError, data: Any) -> Iterable[Mistake]:
    """Yield each wrong value once, with its way in the data.

    Pydantic reports every branch of a union, and puts the branch's name into the error's way. Only
    branches of the value's own kind are about what the user meant.
    """
    unions: dict[Loc, dict[str, list[tuple[Loc, dict[str, Any]]]]] = {}
    plain: list[tuple[Loc, dict[str, Any]]] = []
    for item in error.errors(include_url=False):
        raw: dict[str, Any] = {**item}
        loc, union, branch, form = _locate(raw["loc"], raw["type"], data)
        raw["form"] = form
        loc, raw = _unnamed(loc, raw)
        if union is None:
            plain.append((loc, raw))
        else:
            unions.setdefault(union, {}).setdefault(branch, []).append((loc, raw))
    for loc, raw in plain:
        yield loc, describe(raw, loc)
    for union, branches in unions.items():
        meant = [
            found
            for found in branches.values()
            if not any(loc == union and raw["type"] in WRONG_KIND for loc, raw in found)
        ]
        if meant:
            for loc, raw in min(meant, key=len):
                yield loc, describe(raw, loc)
        else:
            yield union, describe_kinds([raw for found in branches.values() for _, raw in found], union)


def _unnamed(loc: Loc, raw: dict[str, Any]) -> tuple[Loc, dict[str, Any]]:
    """Return a form that does not exist as a wrong choice of its name; any other error as it is."""
    if raw["type"] == "union_tag_not_found":
        return loc, raw | {"type": "model_type"}
    if raw["type"] != "union_tag_invalid":
        return loc, raw
    words = [word for word in re.findall(r"'([^']*)'", raw["ctx"]["expected_tags"]) if word.isalpha()]
    wrong = {"type": "literal_error", "ctx": {"expected": ", ".join(f"'{word}'" for word in words)}}
    given = raw["input"]
    if not isinstance(given, Mapping):
        return loc, raw | wrong
    key = key_at(loc)
    return (*loc, key), raw | wrong | {"input": given[key]}


def _locate(loc: Loc, kind: str, data: Any) -> tuple[Loc, Loc | None, str, str]:
    """Split pydantic's way: the way in the data, the outermost union on it, its branch, the last branch."""
    found: list[str | int] = []
    union: Loc | None = None
    branch = last = ""
    for number, step in enumerate(loc):
        is_last = number == len(loc) - 1
        if isinstance(data, Mapping) and step in data:
            data = data[str(step)]
        elif isinstance(data, list) and isinstance(step, int) and step < len(data):
            data = data[step]
        elif not (is_last and kind == "missing"):
            last = str(step)
            if union is None:
                union, branch = tuple(found), last
            continue
        found.append(step)
    return tuple(found), union, branch, last
