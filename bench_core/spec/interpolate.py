"""`${VAR}` and `${VAR:-default}` in string values."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from bench_core.spec.diagnostics import Diagnostic, SpecError, diagnose
from bench_core.spec.nodes import Node, list_node, mapping_node
from bench_core.spec.scalars import resolve
from bench_core.spec.words import shown

MOST_FILLED = 1024 * 1024
"""Characters that all variables of a spec put in: a spec is not larger either."""
MOST_MISTAKES = 100
"""Variables that are reported: nobody reads more."""

_PATTERN = re.compile(r"\$(?:\$|\{([^{}]*)\}|(\{))")
_NAME = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.DOTALL)


def interpolate(node: Node, environment: Mapping[str, str], report: list[Diagnostic]) -> Node:
    """Return the node with variables filled in, as `Filling` does it."""
    return Filling(environment, report).fill(node)


@dataclass
class Filling:
    """Fills in variables, and reports those that cannot be filled in.

    `${VAR}` must be set; `${VAR:-default}` takes the default where VAR is unset or empty; `$$` is a dollar
    sign. An unquoted value is read again afterwards, so `epochs: ${EPOCHS:-10}` is a number.
    """

    environment: Mapping[str, str]
    report: list[Diagnostic]
    filled: int = 0
    mistakes: int = 0
    _done: dict[int, tuple[Node, Node]] = field(default_factory=dict)
    """Nodes that were filled, by their identity, so that a value behind many aliases is filled once."""

    def fill(self, node: Node) -> Node:
        """Return the node with variables filled in; SpecError where they put in more than MOST_FILLED."""
        if id(node) in self._done:
            return self._done[id(node)][1]
        if node.mapping is not None:
            entries = {key: self.fill(child) for key, child in node.mapping.items()}
            result = mapping_node(entries, node.keys, node.place)
        elif node.items is not None:
            result = list_node([self.fill(child) for child in node.items], node.place)
        elif not isinstance(node.value, str) or "$" not in node.value:
            return node
        else:
            result = self._scalar(node, node.value)
        # The node is kept, too: an identity is only its own while it lives.
        self._done[id(node)] = node, result
        return result

    def _scalar(self, node: Node, template: str) -> Node:
        text = self._text(template, node)
        if not node.plain:
            return Node(text, node.place)
        try:
            return Node(resolve(text), node.place, plain=True)
        except ValueError as error:
            message = f"{error}, which is too long"
            self.report.append(diagnose(node.place, "number", message, fix="shorten the variable's value"))
            return Node(0, node.place)

    def _text(self, text: str, node: Node) -> str:
        """Return the text with its variables filled in; report the first that cannot be, if any."""
        parts: list[str] = []
        end = 0
        for match in _PATTERN.finditer(text):
            value = "$" if match[0] == "$$" else _value(match[1], self.environment)
            if value is None:
                self.mistakes += 1
                if self.mistakes <= MOST_MISTAKES:
                    self.report.append(_mistake(match[1], text, node, self.environment))
                return ""
            self.filled += len(value)
            if self.filled > MOST_FILLED:
                message = f"variables put in more than {MOST_FILLED:,} characters"
                cause = "no value of a spec is that long"
                found = diagnose(node.place, "variable", message, cause=cause, fix="shorten the variable")
                raise SpecError([*self.report, found])
            parts += [text[end : match.start()], value]
            end = match.end()
        return "".join([*parts, text[end:]])


def _value(variable: str | None, environment: Mapping[str, str]) -> str | None:
    """Return the value of what stands between the braces, or None if it is not a variable or has no value."""
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
            f"{shown(text)} holds a `${{` that is not a variable",
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
