"""Tries architectures by their properties and prints what was found: `bench test NAME...`."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench_core.cli.common import console, print_json
from bench_core.cli.conformance import progress
from bench_core.cli.views import duration
from bench_core.declarations import Architecture, without_network
from bench_core.errors import MissingDependencyError, PluginError, UnknownNameError
from bench_core.install import install_command
from bench_core.options import complete_options

if TYPE_CHECKING:
    from rich.console import Console

    from bench_core.conformance.models import Finding
    from bench_core.plugins.registry import Registry

ALL = "all"
"""Stands for every architecture that is declared one by one and built."""
_STYLES = {"ok": "green", "wrong": "red", "skipped": "yellow"}


@dataclass(frozen=True)
class Trial:
    """An architecture, the options that it is tried under, and what was found."""

    name: str
    options: Mapping[str, Any]
    findings: Sequence[Finding]

    @property
    def passed(self) -> bool:
        """True where nothing was wrong."""
        return all(finding.state != "wrong" for finding in self.findings)

    @property
    def title(self) -> str:
        """Name and options."""
        return f"{self.name} {json.dumps(dict(self.options))}" if self.options else self.name

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
            "model": self.name,
            "options": dict(self.options),
            "passed": self.passed,
            "properties": [
                {
                    "property": finding.name,
                    "state": finding.state,
                    "note": finding.note,
                    "seconds": round(finding.seconds, 2),
                }
                for finding in self.findings
            ],
        }


def chosen(
    names: Sequence[str], given: Mapping[str, Any], small: bool, registry: Registry
) -> list[tuple[Architecture, dict[str, Any]]]:
    """Return the named architectures, each once, with the options to try each under.

    Those are the declared small ones, if asked for, and on top of them the given ones. Raises
    UnknownNameError for a name or options that do not exist, PluginError for what cannot be built.
    """
    known = [name for name, declared in registry.models.items() if declared.build is not None]
    every = [each for name in names for each in (known if name == ALL else [name])]
    found = []
    for name in dict.fromkeys(every):
        declared = registry.model(name)
        if without_network(declared, registry.runners.get(declared.runner)):
            raise PluginError(
                f"{name} is not a network",
                cause=f"runner {declared.runner} has a procedure of its own, and builds none",
                fix="try it in a small study: bench run",
            )
        if declared.build is None:
            raise PluginError(f"{name} cannot be built yet", cause=declared.unavailable)
        options = {**(declared.small if small else {}), **given}
        try:
            complete_options(declared.options, options)
        except ValueError as error:
            raise UnknownNameError(f"{name} cannot take these options", cause=str(error)) from error
        found.append((declared, options))
    return found


def try_all(
    candidates: Sequence[tuple[Architecture, dict[str, Any]]], threads: int, *, as_json: bool
) -> bool:
    """Try each, print a table after each and at the end a line a model, or JSON; return whether all pass.

    JSON is one object for one architecture and a list for several.
    """
    trials = []
    screen = console()
    if not screen.is_terminal:
        # A file or a log has no width of its own, and tables of 80 columns would be broken.
        screen.width = 160
    for declared, options in candidates:
        trials.append(_try(declared, options, threads, quiet=as_json))
        if not as_json:
            _print(screen, trials[-1])
    if as_json:
        data = [trial.to_json() for trial in trials]
        print_json(data if len(data) > 1 else data[0])
    elif len(trials) > 1:
        _print_summary(screen, trials)
    return all(trial.passed for trial in trials)


def _try(declared: Architecture, options: dict[str, Any], threads: int, *, quiet: bool) -> Trial:
    try:
        import bench_core.conformance.models as suite
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            f"architectures are tried with {error.name}, which is not installed",
            fix=install_command("torch"),
        ) from error
    suite.use_threads(threads)
    candidate = suite.Candidate(declared, options)
    found = []
    with warnings.catch_warnings(), progress(len(suite.PROPERTIES), declared.name, quiet=quiet) as advance:
        warnings.simplefilter("ignore")  # of libraries, among themselves
        for item in suite.PROPERTIES:
            found.append(suite.judge(item, candidate))
            advance()
    return Trial(declared.name, options, found)


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
    screen.print(trial.summary, soft_wrap=True)


def _print_summary(screen: Console, trials: Sequence[Trial]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for trial in trials:
        state = "ok" if trial.passed else "wrong"
        table.add_row(Text(trial.title), Text(state, style=_STYLES[state]), Text(trial.summary))
    screen.print()
    screen.print(table)
