"""`bench validate`: check specs and name every mistake at once."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench_core.cli.common import JSON, SET, keep_stdout_for_json, print_json, say
from bench_core.errors import BenchError
from bench_core.spec.catalog import CHECKS
from bench_core.spec.diagnostics import Diagnostic, SpecError

if TYPE_CHECKING:
    from bench_core.spec.model import Spec


class _ValidateCommand(click.Command):
    """Lists the checks below its help text."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write what is checked, from the catalog that the checks themselves use."""
        with formatter.section("Checks"):
            formatter.write_dl(list(CHECKS.items()))
        super().format_epilog(ctx, formatter)


@dataclass
class _Outcome:
    path: Path
    spec: Spec | None = None
    diagnostics: list[Diagnostic] = field(default_factory=list)
    failure: BenchError | None = None
    """Why the spec could not be checked at all."""

    @property
    def exit_code(self) -> int:
        if self.failure is not None:
            return 2
        return 0 if self.spec is not None else 1


@click.command(
    cls=_ValidateCommand, epilog="Exit codes: 0 all valid, 1 some are invalid, 2 some could not be checked."
)
@click.argument("specs", metavar="SPEC...", nargs=-1, required=True, type=click.Path(path_type=Path))
@SET
@click.option(
    "--format",
    "style",
    type=click.Choice(["text", "json", "github"]),
    default="text",
    show_default=True,
    help="github prints workflow annotations; json is --json.",
)
@JSON
def command(specs: tuple[Path, ...], overrides: tuple[str, ...], style: str, as_json: bool) -> None:
    """Check specs: every mistake at once, with file:line:column, why, and the fix.

    Needs neither data nor a framework.
    """
    if style == "json" and not as_json:
        keep_stdout_for_json(click.get_current_context())
    outcomes = [_check(path, overrides) for path in specs]
    if as_json or style == "json":
        print_json({"specs": [_as_json(outcome) for outcome in outcomes]})
    else:
        for outcome in outcomes:
            _print(outcome, overrides, github=style == "github")
    raise click.exceptions.Exit(max(outcome.exit_code for outcome in outcomes))


def _check(path: Path, overrides: Sequence[str]) -> _Outcome:
    from bench_core.plan.load import check_spec

    try:
        loaded = check_spec(path, overrides)
    except SpecError as error:
        return _Outcome(path, diagnostics=error.diagnostics)
    except BenchError as error:
        return _Outcome(path, failure=error)
    return _Outcome(path, loaded.spec, list(loaded.warnings))


def _as_json(outcome: _Outcome) -> dict[str, Any]:
    return {
        "path": str(outcome.path),
        "valid": outcome.spec is not None,
        "name": outcome.spec.name if outcome.spec is not None else None,
        "diagnostics": [found.to_json() for found in outcome.diagnostics],
        "failure": str(outcome.failure) if outcome.failure is not None else None,
    }


def _print(outcome: _Outcome, overrides: Sequence[str], *, github: bool) -> None:
    from bench_core.spec.render import as_github, as_text

    color = False if os.environ.get("NO_COLOR") else None
    for found in outcome.diagnostics:
        click.echo(as_github(found) if github else as_text(found, overrides) + "\n", color=color)
    if outcome.failure is not None:
        failure = outcome.failure
        text = as_github(Diagnostic(str(outcome.path), 1, 1, failure.message, failure.cause, failure.fix))
        click.echo(text if github else f"error: {failure}", err=not github)
        return
    if outcome.spec is not None:
        say(f"{outcome.path}: valid: {_summary(outcome.spec)}")
        return
    errors = sum(found.severity == "error" for found in outcome.diagnostics)
    say(f"{outcome.path}: not valid: {errors} {'error' if errors == 1 else 'errors'}")


def _summary(spec: Spec) -> str:
    protocol = spec.protocol
    folds = protocol.evaluate.folds if protocol.evaluate.only is None else len(protocol.evaluate.only)
    parts = [f"{_count(len(spec.models), 'model')} x {_count(len(spec.datasets), 'dataset')}"]
    if protocol.search is not None:
        rates = _count(len(protocol.search.learning_rate), "learning rate")
        parts.append(f"search over {rates}, {_count(protocol.search.epochs, 'epoch')} each")
    parts.append(f"{_count(folds, 'fold')} of {_count(protocol.evaluate.epochs, 'epoch')}")
    if spec.steps:
        parts.append(f"then {_count(len(spec.steps), 'step')}")
    if spec.exclude:
        parts.append(_count(len(spec.exclude), "exclusion"))
    return "; ".join(parts)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
