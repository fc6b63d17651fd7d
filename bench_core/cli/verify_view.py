"""What `bench verify` prints of a study: each check, what it found, and what was not asked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from bench_core.cli.common import console
from bench_core.cli.studies import described

if TYPE_CHECKING:
    from rich.table import Table

    from bench_core.analysis.verify.checks import Outcome, Verification
    from bench_core.cli.reading import Source

MOST_LISTED = 5
"""Findings of one check that are printed; --json has all."""


def plain(source: Source, found: Verification, more: dict[str, Any]) -> dict[str, Any]:
    """Return what `bench verify --json` prints of one study."""
    from bench_core.store.studies import plain as plain_study

    return {
        "name": more["name"],
        "study": None if source.study is None else plain_study(source.study),
        "store": str(source.place),
        "study_digest": more["digest"],
        "predicted": more["predicted"],
        "not_compared": more["not_compared"],
        "believed": more["believed"],
        "ok": found.ok,
        "complete": found.complete,
        "jobs": {"done": found.done, "planned": found.planned},
        "checks": [
            {
                "name": outcome.check.name,
                "proves": outcome.check.proves,
                "jobs": outcome.jobs,
                "left_out": outcome.left_out,
                "findings": [
                    {key: source.shown(str(value)) for key, value in asdict(finding).items()}
                    for finding in outcome.findings
                ],
            }
            for outcome in found.outcomes
        ],
    }


def show(source: Source, found: Verification, more: dict[str, Any]) -> None:
    """Print what `bench verify` found of one study."""
    from rich.text import Text

    out = console()
    state = f"{found.done} jobs" if found.complete else f"partial: {found.done} of {found.planned} jobs"
    out.print(Text(f"{more['name']}: {state} looked at", style="bold"))
    if source.study is not None:
        out.print(Text(f"as the store keeps it: {described(source.study)}"), soft_wrap=True)
    out.print()
    out.print(_table(found))
    for outcome in found.outcomes:
        for finding in outcome.findings[:MOST_LISTED]:
            style = "red" if finding.level == "error" else "yellow"
            out.print()
            out.print(
                Text(source.shown(f"{outcome.check.name}: {finding.job}: {finding.message}"), style=style),
                soft_wrap=True,
            )
            out.print(Text(f"  {source.shown(finding.place)}"), soft_wrap=True)
        if len(outcome.findings) > MOST_LISTED:
            out.print(f"  and {len(outcome.findings) - MOST_LISTED} more (--json has all)", markup=False)
    out.print()
    for line in _left_out(found):
        out.print(Text(line), soft_wrap=True)
    if more["predicted"] is not None:
        drawn = more["predicted"]
        text = f"at most {drawn['images']} images of each job were predicted again (--draw {drawn['draw']})"
        out.print(Text(text), soft_wrap=True)
    out.print(Text(f"study digest: {more['digest']}"), soft_wrap=True)
    out.print(Text(_verdict(found)), soft_wrap=True)


def _table(found: Verification) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("check", no_wrap=True)
    table.add_column("jobs", justify="right", no_wrap=True)
    table.add_column("found", no_wrap=True)
    table.add_column("what holds when nothing is found")
    for outcome in found.outcomes:
        table.add_row(outcome.check.name, str(outcome.jobs), _state(outcome), outcome.check.proves)
    return table


def _left_out(found: Verification) -> Iterator[str]:
    """Yield which checks were not put to how many jobs, since their kind of work has nothing of the sort."""
    groups: dict[int, list[str]] = {}
    for outcome in found.outcomes:
        if outcome.left_out:
            groups.setdefault(outcome.left_out, []).append(outcome.check.name)
    for number, checks in groups.items():
        jobs = "1 job that does" if number == 1 else f"{number} jobs that do"
        what = "not train under the shared protocol" if "order" in checks else "not test a model itself"
        yield f"not asked of {jobs} {what}: {', '.join(checks)}"


def _state(outcome: Outcome) -> str:
    if not outcome.jobs:
        return "nothing to see"
    errors = sum(finding.level == "error" for finding in outcome.findings)
    warnings = len(outcome.findings) - errors
    parts = [
        f"{number} {noun}{'s' if number > 1 else ''}"
        for number, noun in ((errors, "finding"), (warnings, "warning"))
        if number
    ]
    return ", ".join(parts) or "ok"


def _verdict(found: Verification) -> str:
    jobs = {finding.digest for finding in found.findings if finding.level == "error"}
    if jobs:
        return f"not verified: {len(jobs)} of {found.done} jobs are not as they have to be"
    left = (
        "" if found.complete else f"; {found.planned - found.done} jobs are not finished and were not checked"
    )
    return f"verified: everything that was looked at holds{left}"
