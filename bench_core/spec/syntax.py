"""The parser's complaints in plain words."""

from __future__ import annotations

from collections.abc import Callable

import yaml

from bench_core.spec.diagnostics import Diagnostic, Place, diagnose
from bench_core.text import lines_of

_WORDS = (
    ("found a tab character", "tabs have no agreed width", "indent with spaces"),
    ("mapping values are not allowed", "a second `: ` on this line, or wrong indentation above",
     "quote text that holds `: `, and align keys of one mapping"),
    ("could not find expected ':'", "a key without `:`", "write `key: value`, with a space after the colon"),
    ("did not find expected key", "this line is indented unlike its neighbors", "align keys of one mapping"),
    ("did not find expected '-'", "this line is indented unlike its neighbors", "align the list's items"),
    ("expected <block end>", "this line is indented unlike its neighbors", "align keys of one mapping"),
    ("did not find expected ',' or", "an open bracket or brace", "close it, or add the missing comma"),
    ("expected ',' or", "an open bracket or brace", "close it, or add the missing comma"),
    ("unexpected end of stream", "a quote is not closed", "close the quote"),
    ("unknown escape character", "a backslash in double quotes starts an escape", "use single quotes"),
    ("invalid Unicode character escape", "the escape names no character", "use single quotes"),
)  # fmt: skip
_RESERVED = {"\t": "a tab", "@": "@", "`": "a backtick", "%": "%", "&": "&", "*": "*"}


def syntax_error(error: yaml.YAMLError, text: str, locate: Callable[[int, int], Place]) -> Diagnostic:
    """Return a diagnostic for a PyYAML error, at a place that lies inside of the text."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    problem = getattr(error, "problem", None) or str(error)
    lines = lines_of(text)
    if len(lines) > 1 and not lines[-1]:
        lines.pop()
    # libyaml points behind the last line when something is left open at the end.
    line = min(mark.line, len(lines) - 1) if mark is not None else 0
    column = min(mark.column, len(lines[line])) if mark is not None and line == mark.line else 0
    cause, fix = _explain(problem, lines[line][column : column + 1])
    return diagnose(
        locate(line + 1, column + 1), "syntax", f"not valid YAML: {problem}", cause=cause, fix=fix
    )


def _explain(problem: str, character: str) -> tuple[str | None, str]:
    if "cannot start any token" in problem and character in _RESERVED:
        fix = "indent with spaces" if character == "\t" else "quote the value"
        return f"{_RESERVED[character]} cannot stand here", fix
    for words, cause, fix in _WORDS:
        if words in problem:
            return cause, fix
    return None, "correct the line; quote text that holds special characters"
