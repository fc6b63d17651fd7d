"""Keys and values that hold what cannot be seen: they name files, labels and rows of tables."""

from __future__ import annotations

from collections.abc import Iterator

from bench_core.spec.diagnostics import Diagnostic, Place, diagnose
from bench_core.spec.nodes import Node
from bench_core.text import hidden_in


def check_characters(root: Node, report: list[Diagnostic]) -> None:
    """Report every key and value with a control character, a mark that reverses text or a byte out of UTF-8.

    Files hold none of these; escapes in quotes, environment variables and --set can.
    """
    for place, what, hidden in _found(root, set()):
        report.append(
            diagnose(
                place,
                "text",
                f"{what} holds {hidden}",
                cause="keys and values are shown on terminals and pages, and name files",
                fix="remove it",
            )
        )


def _found(node: Node, seen: set[int]) -> Iterator[tuple[Place, str, str]]:
    if isinstance(node.value, str):
        hidden = hidden_in(node.value)
        if hidden is not None:
            yield node.place, "the value", hidden
        return
    # Aliases lead to the same node again and again.
    if id(node) in seen:
        return
    seen.add(id(node))
    for key, place in node.keys.items():
        hidden = hidden_in(key, name=True)
        if hidden is not None:
            yield place, "the key", hidden
    for child in (node.mapping or {}).values() if node.items is None else node.items:
        yield from _found(child, seen)
