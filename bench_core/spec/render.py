"""Diagnostics as text like compilers print, and as GitHub workflow annotations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import click

from bench_core.spec.diagnostics import Diagnostic
from bench_core.spec.overrides import SOURCE
from bench_core.spec.reader import LARGEST_FILE
from bench_core.text import lines_of, visible, visible_name

_COLORS = {"error": "red", "warning": "yellow"}
_WIDEST = 100
"""Characters of a source line that are shown."""


def as_text(found: Diagnostic, overrides: Sequence[str] = ()) -> str:
    """Return `file:line:column: error: message`, the line with a caret, why and the fix; with colors."""
    severity = click.style(f"{found.severity}:", fg=_COLORS[found.severity], bold=True)
    lines = [f"{click.style(visible_name(str(found.place)), bold=True)}: {severity} {visible(found.message)}"]
    excerpt = _excerpt(found, overrides)
    if excerpt is not None:
        source, column = excerpt
        gutter = f"{found.line:>5} | "
        caret = click.style("^", fg=_COLORS[found.severity], bold=True)
        lines += [f"{gutter}{source}", f"{'':>{len(gutter) - 2}}| {'':>{column}}{caret}"]
    if found.cause:
        lines.append(f"  why: {visible(found.cause)}")
    if found.fix:
        lines.append(f"  fix: {visible(found.fix)}")
    return "\n".join(lines)


def as_github(found: Diagnostic) -> str:
    """Return a workflow command that GitHub shows beside the line."""
    place: Mapping[str, str | int] = {"file": found.path, "line": found.line, "col": found.column}
    properties = {} if found.path == SOURCE else place
    listed = ",".join(f"{key}={_property(str(value))}" for key, value in properties.items())
    parts = [
        found.message,
        f"why: {found.cause}" if found.cause else "",
        f"fix: {found.fix}" if found.fix else "",
    ]
    message = _data("\n".join(part for part in parts if part))
    return visible_name(f"::{found.severity}{' ' if listed else ''}{listed}::{message}")


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _excerpt(found: Diagnostic, overrides: Sequence[str]) -> tuple[str, int] | None:
    """Return the source line around the place, and the column (from 0) of the place in it."""
    if found.path == SOURCE:
        line = overrides[found.line - 1] if found.line <= len(overrides) else ""
    else:
        lines = _lines(found.path)
        line = lines[found.line - 1] if found.line <= len(lines) else ""
    if not line.strip():
        return None
    column = min(found.column - 1, len(line))
    start = max(0, min(column - _WIDEST // 2, len(line) - _WIDEST))
    shown = "".join(letter if letter.isprintable() else " " for letter in line[start : start + _WIDEST])
    return shown, column - start


@cache
def _lines(path: str) -> list[str]:
    try:
        with Path(path).open("rb") as file:
            return lines_of(file.read(LARGEST_FILE).decode("utf-8", "replace").removeprefix("\ufeff"))
    except (OSError, ValueError):
        return []
