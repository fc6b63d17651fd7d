"""Tries plugins by their properties and prints what was found: `bench test NAME...`."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from bench_core.cli.common import console, print_json, say
from bench_core.cli.conformance import progress
from bench_core.cli.views import duration

if TYPE_CHECKING:
    from rich.console import Console

    from bench_core.conformance.properties import Finding

_STYLES = {"ok": "green", "wrong": "red", "skipped": "yellow"}
Judge = Callable[[], "Finding"]


@dataclass(frozen=True)
class Candidate:
    """Something to try."""

    kind: str
    name: str
    options: Mapping[str, Any]
    properties: Callable[[], Sequence[Judge]]
    """Imports the suite, and returns what tries each of its properties."""


@dataclass(frozen=True)
class Trial:
    """What was tried, the options that it was tried under, and what was found."""

    kind: str
    name: str
    options: Mapping[str, Any]
    findings: Sequence[Finding]

    @property
    def passed(self) -> bool:
        """True where nothing was wrong."""
        return all(finding.state != "wrong" for finding in self.findings)

    @property
    def title(self) -> str:
        """Kind, name and options."""
        options = f" {json.dumps(dict(self.options))}" if self.options else ""
        return f"{self.kind} {self.name}{options}"

    @property
    def summary(self) -> str:
        """One line on all properties."""
        states = [str(finding.state) for finding in self.findings]
        line = f"{states.count('ok')} of {len(states)} properties hold"
        for state, word in (("wrong", "wrong"), ("skipped", "not applicable")):
            line += f", {states.count(state)} {word}" * (state in states)
        return f"{line}, in {duration(sum(finding.seconds for finding in self.findings))}"

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON data."""
        return {
            "kind": self.kind,
            "name": self.name,
            "options": dict(self.options),
            "passed": self.passed,
            "properties": [
                {
                    "property": finding.name,
                    "state": finding.state,
                    "note": finding.note,
                    "place": finding.place,
                    "fix": finding.fix,
                    "seconds": round(finding.seconds, 2),
                }
                for finding in self.findings
            ],
        }


def try_all(candidates: Sequence[Candidate], *, as_json: bool) -> bool:
    """Try each, print a table after each and at the end one line per candidate, or JSON.

    Returns whether all pass. JSON is one object for one candidate and a list for several.
    """
    trials = []
    screen = console()
    if not screen.is_terminal:
        # A file or a log has no width of its own, and tables of 80 columns would be broken.
        screen.width = 160
    for candidate in candidates:
        trials.append(_try(candidate, quiet=as_json))
        if not as_json:
            _print(screen, trials[-1])
    if as_json:
        data = [trial.to_json() for trial in trials]
        print_json(data if len(data) > 1 else data[0])
    elif len(trials) > 1:
        _print_summary(screen, trials)
    return all(trial.passed for trial in trials)


def _try(candidate: Candidate, *, quiet: bool) -> Trial:
    judges, found = candidate.properties(), []
    with warnings.catch_warnings(), progress(len(judges), candidate.name, quiet=quiet) as advance:
        warnings.simplefilter("ignore")  # of libraries, among themselves
        for number, judge in enumerate(judges, start=1):
            try:
                found.append(judge())
            except KeyboardInterrupt:
                # What does not come to an end is not found otherwise: the table comes when all are tried.
                which = _name(judge) or f"property {number} of {len(judges)}"
                say(f"note: stopped while {which!r} of {candidate.kind} {candidate.name} was tried", err=True)
                raise
            advance()
    return Trial(candidate.kind, candidate.name, candidate.options, found)


def _name(judge: Judge) -> str:
    item = judge.args[0] if isinstance(judge, partial) and judge.args else None
    return str(getattr(item, "name", ""))


def _print(screen: Console, trial: Trial) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for title in ("property", "verdict", "s"):
        table.add_column(
            title,
            overflow="fold",
            no_wrap=title != "verdict",
            justify="right" if title == "s" else "left",
        )
    for finding in trial.findings:
        text = f"{finding.state}: {finding.note}" if finding.note else finding.state
        table.add_row(finding.name, Text(text, style=_STYLES[finding.state]), f"{finding.seconds:.1f}")
    screen.print(Text(trial.title, style="bold"))
    screen.print(table)
    for alike in _told_once(trial.findings):
        first = alike[0]
        place = f"{first.place}: " if first.place else ""
        more = f", and {len(alike) - 1} more properties" if len(alike) > 2 else ""
        more = f", and {alike[1].name}" if len(alike) == 2 else more
        screen.print(Text(f"{place}{first.name}{more}\n  why: {first.note}"), soft_wrap=True)
        fix = first.fix if len({finding.fix for finding in alike}) == 1 else "correct what stops them here"
        if fix:
            screen.print(Text(f"  fix: {fix}"), soft_wrap=True)
    screen.print(trial.summary, soft_wrap=True)


def _told_once(findings: Sequence[Finding]) -> list[list[Finding]]:
    """Return what is wrong; properties that an error stopped at one place belong together."""
    found: dict[Any, list[Finding]] = {}
    for number, finding in enumerate(findings):
        if finding.state == "wrong":
            kind = finding.note.partition(":")[0]
            key = (finding.place, kind) if finding.stopped and finding.place else number
            found.setdefault(key, []).append(finding)
    return list(found.values())


def _print_summary(screen: Console, trials: Sequence[Trial]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for trial in trials:
        state = "ok" if trial.passed else "wrong"
        table.add_row(Text(trial.title), Text(state, style=_STYLES[state]), Text(trial.summary))
    screen.print()
    screen.print(table)
