"""`${VAR}` and `${VAR:-default}` in string values."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping

from bench_core.spec.diagnostics import Diagnostic, diagnose
from bench_core.spec.nodes import Node, list_node, mapping_node
from bench_core.spec.scalars import resolve

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
    def replace(match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        parsed = _NAME.fullmatch(match[1]) if match[1] is not None else None
        if parsed is None:
            malformed = diagnose(
                node.place,
                "variable",
                f"{text!r} holds a `${{` that is no variable",
                cause="a variable is ${NAME} or ${NAME:-default}, without another one inside",
                fix="correct it, or write $$ for a dollar sign",
            )
            if malformed not in report:
                report.append(malformed)
            return ""
        name, default = parsed[1], parsed[2]
        value = environment.get(name)
        if value or (value is not None and default is None):
            return value
        if default is not None:
            return default
        near = difflib.get_close_matches(name, environment, n=1, cutoff=0.8)
        hint = f" (did you mean {near[0]}?)" if near else ""
        report.append(
            diagnose(
                node.place,
                "variable",
                f"the environment variable {name} is not set{hint}",
                cause=f"the value is {text!r}, without a default",
                fix=f"export {name}=..., or give a default: ${{{name}:-value}}",
            )
        )
        return ""

    return _PATTERN.sub(replace, text)
