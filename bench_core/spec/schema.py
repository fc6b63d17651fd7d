"""The JSON Schema of a spec file, for editors: shorthands, `extends` and variables included."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from bench_core.spec.model import Spec
from bench_core.spec.shorthand import LISTS

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_PARTIAL = ("Protocol", "Search", "Evaluate")
"""Sections that a spec with `extends` may give in part; lists are replaced as a whole."""


def spec_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a spec file."""
    schema = Spec.model_json_schema()
    definitions: dict[str, Any] = schema.pop("$defs")
    root = {key: schema.pop(key) for key in ("properties", "required")}
    for key in LISTS:
        _allow_bare_names(root["properties"][key])
    root["properties"]["extends"] = {
        "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}],
        "description": "Specs that this one is laid over, relative to this file; later ones win.",
    }
    definitions["Variable"] = {
        "type": "string",
        "pattern": r"\$\{[A-Za-z_][A-Za-z0-9_]*(:-[^{}]*)?\}",
        "description": "${NAME} or ${NAME:-default}, filled in from the environment.",
    }
    partial = {f"Partial{name}": _without_required(deepcopy(definitions[name])) for name in _PARTIAL}
    over = deepcopy(root["properties"])
    definitions["Spec"] = {"type": "object", "additionalProperties": False, **root}
    definitions["PartialSpec"] = {"type": "object", "additionalProperties": False, "properties": over}
    for name in _PARTIAL:
        _redirect([definitions["PartialSpec"], partial], f"#/$defs/{name}", f"#/$defs/Partial{name}")
    definitions |= partial
    for definition in definitions.values():
        for part in (definition, *definition.get("anyOf", ())):
            _allow_variables(part.get("properties", {}))
        if {"type": "number", "exclusiveMinimum": 0} in definition.get("anyOf", ()):
            definition["anyOf"].append({"$ref": "#/$defs/Variable"})
    return {
        "$schema": _DIALECT,
        "title": "segtrial spec",
        "description": schema["description"],
        "if": {"required": ["extends"]},
        "then": {"$ref": "#/$defs/PartialSpec"},
        "else": {"$ref": "#/$defs/Spec"},
        "$defs": definitions,
    }


def _allow_bare_names(field: dict[str, Any]) -> None:
    for part in field.get("anyOf", [field]):
        if "items" in part:
            part["items"] = {
                "anyOf": [{"type": "string", "description": "Short for {name: ...}."}, part["items"]]
            }


def _without_required(definition: dict[str, Any]) -> dict[str, Any]:
    definition.pop("required", None)
    return definition


def _redirect(schema: Any, old: str, new: str) -> None:
    if isinstance(schema, dict):
        if schema.get("$ref") == old:
            schema["$ref"] = new
        schema = list(schema.values())
    if isinstance(schema, list):
        for part in schema:
            _redirect(part, old, new)


def _allow_variables(properties: dict[str, Any]) -> None:
    """Let numbers and true/false also be `${VAR}`, which is one once it has been filled in."""
    for name, field in properties.items():
        if field.get("type") in ("integer", "number", "boolean") or "enum" in field:
            about = {key: field.pop(key) for key in ("description", "default", "title") if key in field}
            properties[name] = {**about, "anyOf": [field, {"$ref": "#/$defs/Variable"}]}
