"""Keys, types and ranges: pydantic's errors as diagnostics at their places in the file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True)
class _Error:
    """One of pydantic's errors, with its way in the data and the unions on it, outermost first."""

    loc: Loc
    raw: dict[str, Any]
    unions: tuple[tuple[Loc, str], ...]
    """Way of each union, and the name of the branch that was tried."""


def mistakes(error: ValidationError, data: Any) -> Iterable[Mistake]:
    """Yield each wrong value once, with its way in the data.

    Pydantic reports every branch of a union, and puts the branch's name into the error's way. Only
    branches of the value's own kind are about what the user meant.
    """
    found = []
    for item in error.errors(include_url=False):
        loc, unions = _locate(item["loc"], item["type"], data)
        loc, raw = _unnamed(loc, {**item})
        found.append(_Error(loc, raw | {"form": unions[-1][1] if unions else ""}, unions))
    yield from _told(found, 0)


def _told(found: Sequence[_Error], depth: int) -> Iterator[Mistake]:
    """Yield the mistakes of errors that share their unions up to `depth`."""
    unions: dict[Loc, dict[str, list[_Error]]] = {}
    for item in found:
        if len(item.unions) <= depth:
            yield item.loc, describe(item.raw, item.loc)
        else:
            union, branch = item.unions[depth]
            unions.setdefault(union, {}).setdefault(branch, []).append(item)
    for union, branches in unions.items():
        kinds = [
            [item.raw for item in branch if item.loc == union and item.raw["type"] in WRONG_KIND]
            for branch in branches.values()
        ]
        meant = [branch for branch, wrong in zip(branches.values(), kinds, strict=True) if not wrong]
        if meant:
            yield from _told(min(meant, key=len), depth + 1)
        else:
            yield union, describe_kinds([raw for wrong in kinds for raw in wrong], union)


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


def _locate(loc: Loc, kind: str, data: Any) -> tuple[Loc, tuple[tuple[Loc, str], ...]]:
    """Split pydantic's way into the way in the data and the unions on it, each with its branch."""
    found: list[str | int] = []
    unions: list[tuple[Loc, str]] = []
    for number, step in enumerate(loc):
        is_last = number == len(loc) - 1
        if isinstance(data, Mapping) and step in data:
            data = data[str(step)]
        elif isinstance(data, list) and isinstance(step, int) and step < len(data):
            data = data[step]
        elif not (is_last and kind == "missing"):
            if not unions or unions[-1][0] != tuple(found):
                unions.append((tuple(found), str(step)))
            continue
        found.append(step)
    return tuple(found), tuple(unions)
