"""`${VAR}` and `${VAR:-default}` in string values."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping

from bench_core.spec.diagnostics import Diagnostic, diagnose
from bench_core.spec.nodes import Node, list_node, mapping_node
from bench_core.spec.scalars import resolve
from bench_core.spec.words import shown

_PATTERN = re.compile(r"\$(?:\$|\{([^{}]*)\}|(\{))")
_NAME = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.DOTALL)


def interpolate(node: Node, environment: Mapping[str, str], report: list[Diagnostic]) -> Node:
    """Return the node with variables filled in.

    `${VAR}` must be set; `${VAR:-default}` takes the default where VAR is unset or empty; `$$` is a dollar
    sign. An unquoted value is read again afterwards, so `epochs: ${EPOCHS:-10}` is a number.
    """
    if node.mapping is not None:
        entries = {key: interpolate(child, environment, report) for key, child in node.mapping.items()}
        return mapping_node(entries, node.keys, node.place)
    if node.items is not None:
        return list_node([interpolate(child, environment, report) for child in node.items], node.place)
    if not isinstance(node.value, str) or "$" not in node.value:
        return node
    text = _fill(node.value, node, environment, report)
    if not node.plain:
        return Node(text, node.place)
    try:
        return Node(resolve(text), node.place, plain=True)
    except ValueError as error:
        report.append(
            diagnose(node.place, "number", f"{error}, which is too long", fix="shorten the variable's value")
        )
        return Node(0, node.place)


def _fill(text: str, node: Node, environment: Mapping[str, str], report: list[Diagnostic]) -> str:
    """Return the text with its variables filled in; report the first that cannot be, if any."""
    parts: list[str] = []
    end = 0
    for match in _PATTERN.finditer(text):
        value = "$" if match[0] == "$$" else _value(match[1], environment)
        if value is None:
            report.append(_mistake(match[1], text, node, environment))
            return ""
        parts += [text[end : match.start()], value]
        end = match.end()
    return "".join([*parts, text[end:]])


def _value(variable: str | None, environment: Mapping[str, str]) -> str | None:
    """Return the value of what stands between the braces, or None if it is no variable or has no value."""
    parsed = _NAME.fullmatch(variable) if variable is not None else None
    if parsed is None:
        return None
    value, default = environment.get(parsed[1]), parsed[2]
    return value if value or default is None else default


def _mistake(variable: str | None, text: str, node: Node, environment: Mapping[str, str]) -> Diagnostic:
    if variable is None or not _NAME.fullmatch(variable):
        return diagnose(
            node.place,
            "variable",
            f"{shown(text)} holds a `${{` that is no variable",
            cause="a variable is ${NAME} or ${NAME:-default}, without another one inside",
            fix="correct it, or write $$ for a dollar sign",
        )
    near = difflib.get_close_matches(variable, environment, n=1, cutoff=0.8)
    hint = f" (did you mean {near[0]}?)" if near else ""
    return diagnose(
        node.place,
        "variable",
        f"the environment variable {variable} is not set{hint}",
        cause=f"the value is {shown(text)}, without a default",
        fix=f"export {variable}=..., or give a default: ${{{variable}:-value}}",
    )
