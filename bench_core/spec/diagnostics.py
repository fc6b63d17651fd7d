"""What is wrong with a spec, where, why, and the fix; every mistake of a spec at once."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

from bench_core.errors import BenchError
from bench_core.text import visible

_ENDLESS = re.compile(r"\S{300,}")
Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Place:
    """A point in a file. `path` is the file as the user named it, or "--set"; line and column start at 1.

    Under "--set" the line is the number of the option on the command line.
    """

    path: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One mistake in a spec."""

    path: str
    line: int
    column: int
    message: str
    cause: str | None = None
    fix: str | None = None
    severity: Severity = "error"
    check: str = ""
    """Which of `bench_core.spec.catalog.CHECKS` found it."""

    @property
    def place(self) -> Place:
        """Where it is."""
        return Place(self.path, self.line, self.column)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON data."""
        return asdict(self)

    def __str__(self) -> str:
        lines = [f"{self.place}: {self.severity}: {self.message}"]
        if self.cause:
            lines.append(f"  why: {self.cause}")
        if self.fix:
            lines.append(f"  fix: {self.fix}")
        return visible("\n".join(lines))


def diagnose(
    place: Place,
    check: str,
    message: str,
    *,
    cause: str | None = None,
    fix: str | None = None,
    severity: Severity = "error",
) -> Diagnostic:
    """Return a diagnostic at a place; what it quotes of the file is shortened."""
    texts = (_shortened(message), cause and _shortened(cause), fix and _shortened(fix))
    return Diagnostic(place.path, place.line, place.column, *texts, severity, check)


def _shortened(text: str) -> str:
    return _ENDLESS.sub(lambda match: f"{match[0][:40]}...{match[0][-10:]}", text)


class SpecError(BenchError):
    """A spec that is not valid; `diagnostics` holds all its errors and warnings, in the files' order."""

    exit_code = 1

    def __init__(self, diagnostics: Iterable[Diagnostic]) -> None:
        self.diagnostics = list(diagnostics)
        errors = [item for item in self.diagnostics if item.severity == "error"]
        first = errors[0] if errors else self.diagnostics[0]
        super().__init__(first.message, place=str(first.place), cause=first.cause, fix=first.fix)

    def __str__(self) -> str:
        if len(self.diagnostics) == 1:
            return BenchError.__str__(self)
        count = sum(item.severity == "error" for item in self.diagnostics)
        heading = f"the spec is not valid: {count} {'error' if count == 1 else 'errors'}"
        return "\n".join([heading, *map(str, self.diagnostics)])

    def __reduce__(self) -> tuple[object, ...]:
        return SpecError, (self.diagnostics,)


class UnreadableSpecError(BenchError):
    """A spec file that is missing or that this user may not read."""

    exit_code = 2
