"""Validation errors in plain words: what is wrong, why, and the fix."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench_core.spec.nodes import Loc, dotted
from bench_core.spec.sections import homes, key_at, key_of, keys_at, owners_at, sections_at


@dataclass(frozen=True)
class Words:
    """A diagnostic without its place."""

    check: str
    message: str
    cause: str | None
    fix: str | None


WRONG_KIND = {
    "literal_error": "",
    "model_type": "a mapping",
    "dict_type": "a mapping",
    "list_type": "a list",
    "tuple_type": "a list",
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
}
"""Error types that say that a value is of another kind than expected, with what was expected."""

MOVED: Mapping[Loc, tuple[str, str]] = {
    ("protocol", "metrics", "empty"): (
        "it decides how a report reads counts, and trains nothing anew: it is an option of an analysis",
        "move it: `analyses: [{name: summary, options: {empty: one}}]`",
    ),
    ("evaluate", "split"): (
        "a file of training, validation and test ids is of one dataset, and a study may have several",
        "give it to the dataset: `datasets: [{name: ..., folds: split.json}]`",
    ),
    ("warmup", "epochs"): ("a warm-up lasts epochs or steps", "remove `epochs` or `steps`"),
    ("loss", "auto"): ("each key of the sum is a loss", "name the loss; `auto` stands alone"),
}
"""Ends of ways to keys that a reader may expect: why they are not there, and what to write instead."""
_MOST_COMPARED = 1000
"""Words among which a nearest one is looked for: each comparison takes some 10 microseconds."""
_BOUNDS = {
    "greater_than": ("gt", "greater than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}


def describe(error: dict[str, Any], loc: Loc) -> Words:
    """Return one pydantic error in words; `loc` is its place in the spec, without union branches."""
    kind, context, value = error["type"], error.get("ctx") or {}, error.get("input")
    name = dotted(loc)
    if kind == "missing":
        return _missing(loc)
    if kind == "extra_forbidden":
        return _unknown_key(loc, error.get("form") or "")
    if kind in WRONG_KIND:
        return describe_kinds([error], loc)
    if kind in _BOUNDS:
        key, words = _BOUNDS[kind]
        bound = f"{words} {number(context[key])}"
        return Words(
            "range", f"{name} is {shown(value)}, but must be {bound}", meaning(loc), f"write a number {bound}"
        )
    if kind == "finite_number":
        return Words("range", f"{name} is {shown(value)}, but must be finite", meaning(loc), "write a number")
    if kind in ("too_short", "too_long"):
        few = kind == "too_short"
        count = context.get("min_length" if few else "max_length")
        return Words(
            "range",
            f"{name} holds {context.get('actual_length', 'too many')} values, but needs "
            f"{'at least' if few else 'at most'} {count}",
            meaning(loc),
            "add one" if few else "remove some",
        )
    if kind == "string_pattern_mismatch" and loc[:2] == ("runtime", "memory"):
        fix = f"write a number with a unit: {dotted(loc[2:])}: 20GB"
        return Words("type", f"{name} is {shown(value)}, but must be a size", meaning(loc), fix)
    if kind in ("string_pattern_mismatch", "string_too_long", "string_too_short"):
        return _text(kind, context, name, value, loc)
    if kind == "value_error":
        return Words("rate-source", error["msg"], None, None)
    return Words("type", f"{name}: {error['msg']}", meaning(loc), None)


def describe_kinds(errors: Sequence[dict[str, Any]], loc: Loc) -> Words:
    """Return the words for a value of which no branch of a union can make sense."""
    value = errors[0].get("input")
    choices: list[str] = []
    kinds: list[str] = []
    for error in errors:
        if error["type"] == "literal_error":
            choices += re.findall(r"'([^']*)'", error["ctx"]["expected"]) or [error["ctx"]["expected"]]
        else:
            kinds.append(WRONG_KIND[error["type"]])
    expected = join([*choices, *dict.fromkeys(kinds)])
    only_words = bool(choices) and isinstance(value, str)
    fix = nearest(str(value), choices) if only_words else None
    return Words(
        "choice" if only_words else "type",
        f"{dotted(loc) or 'the spec'} is {shown(value)}, but must be {expected}",
        meaning(loc),
        fix or _kind_fix(value, kinds, loc) or f"write {expected}",
    )


def _kind_fix(value: Any, kinds: Sequence[str], loc: Loc) -> str | None:
    key = loc[-1] if loc else ""
    if (
        isinstance(value, str)
        and re.fullmatch(r"[-+\d._]+([eE][-+]?\d+)?", value)
        and any("number" in k for k in kinds)
    ):
        return f"write the number without quotes or underscores: {key}: {value.replace('_', '')}"
    if set(kinds) == {"a list"} and not isinstance(value, dict | list) and value is not None:
        return f"write a list: {key}: [{shown(value)}]"
    if kinds == ["a whole number"] and isinstance(value, float) and value.is_integer():
        return f"write {int(value)}"
    if kinds == ["text"] and isinstance(value, bool | int | float):
        return f'quote it: "{shown(value)}"'
    return None


def _missing(loc: Loc) -> Words:
    key, holder = loc[-1], dotted(loc[:-1])
    where = f" in {holder}" if holder else ""
    if isinstance(key, int):
        return Words(
            "range", f"{holder} holds {key} values, but needs more", meaning(loc[:-1]), "add the missing ones"
        )
    if key == "because":
        return Words(
            "reason",
            f"the reason (`because`) is missing{where}",
            "whatever differs from the protocol is printed with its reason beside the numbers",
            'add `because: "the reason"`',
        )
    return Words("missing-key", f"{key!r} is missing{where}", meaning(loc), f"add `{key}: ...`")


def _unknown_key(loc: Loc, form: str) -> Words:
    key, holder = str(loc[-1]), dotted(loc[:-1])
    message = f"unknown key {key!r}" + (f" in {holder}" if holder else "")
    words = tuple(step for step in loc if isinstance(step, str))
    for known, moved in MOVED.items():
        if words[-len(known) :] == known:
            return Words("unknown-key", message, *moved)
    others = owners_at(loc[:-1], key)
    if others:
        what = str(loc[-2])
        return Words(
            "unknown-key",
            message,
            f"{key} belongs to {what} {join(others)}, and has no effect with {form}",
            f"remove it, or write {join([f'`{key_at(loc[:-1])}: {word}`' for word in others])}",
        )
    valid = keys_at(loc[:-1], form)
    fix = nearest(key, valid)
    if fix is None and key in homes():
        beside = dotted(tuple(step for step in loc[:-2] if isinstance(step, str))) + "."
        near = [home for home in homes()[key] if home.startswith(beside)]
        fix = f"move it: `{key}` belongs to {join(near or homes()[key])}"
    return Words(
        "unknown-key", message, f"valid keys are {', '.join(valid)}" if valid else None, fix or "remove it"
    )


def _text(kind: str, context: dict[str, Any], name: str, value: Any, loc: Loc) -> Words:
    if loc[-1] == "because":
        return Words("reason", f"{name} is {shown(value)}, which is not a reason", meaning(loc), "say why")
    if kind == "string_pattern_mismatch":
        suggestion = re.sub(r"[^A-Za-z0-9._+-]+", "-", str(value)).strip("-._+") or "my-name"
        return Words(
            "name",
            f"{name} is {shown(value)}, which is not a name",
            "names are letters, digits and . _ + -, and start with a letter or digit (they name files)",
            f"write for example {suggestion[:40]}",
        )
    limit = context.get("max_length", context.get("min_length"))
    words = "longer" if kind == "string_too_long" else "shorter"
    return Words("name", f"{name} is {words} than {limit} characters", meaning(loc), "change its length")


def meaning(loc: Loc) -> str | None:
    """Return what the key at `loc` means, from its documentation."""
    if not loc or not isinstance(loc[-1], str):
        return meaning(loc[:-1]) if loc else None
    for section in sections_at(loc[:-1]):
        fields = {key_of(section, name): field for name, field in section.model_fields.items()}
        field = fields.get(loc[-1])
        if field is not None and field.description:
            return f"{loc[-1]}: {' '.join(field.description.split())}"
    return None


def nearest(word: str, valid: Iterable[str]) -> str | None:
    """Return "did you mean ...?" for the nearest valid word, or None if none is near."""
    near = difflib.get_close_matches(word, list(valid)[:_MOST_COMPARED], n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else None


def join(words: Sequence[str]) -> str:
    """Return words as "a, b or c"."""
    return " or ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))


def number(value: Any) -> str:
    """Return a bound as people write it: 1 instead of 1.0."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def shown(value: Any) -> str:
    """Return a value as a short piece of YAML."""
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict | list):
        kind = "a mapping" if isinstance(value, dict) else "a list"
        return kind if value else f"{kind} without entries"
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:36]}...{text[-1]}"
