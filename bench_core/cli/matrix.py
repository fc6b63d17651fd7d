"""The matrix of models and datasets with one mark per job, for people to watch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench_core.plan.job import Job

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table
    from rich.text import Text

Style = str
_MARKS: Mapping[str, tuple[str, str, Style, str]] = {
    "done": ("●", "#", "green", "done"),
    "running": ("◐", ">", "bold cyan", "running"),
    "elsewhere": ("◑", "e", "cyan", "running elsewhere"),
    "failed": ("✗", "x", "bold red", "failed"),
    "blocked": ("⊘", "b", "yellow", "blocked"),
    "waiting": ("◌", "w", "yellow", "waiting for others"),
    "stale": ("◇", "~", "yellow", "stale: something that it stands on has changed"),
    "damaged": ("▲", "!", "bold red", "damaged"),
    "todo": ("○", ".", "dim", "to do"),
}
"""Status: mark, mark where the terminal has only ASCII, style, meaning. Shapes differ, not only colors."""
MOST_MARKS = 12
"""Jobs of one stage in a cell that are drawn one by one; more are counted."""
_LABEL = 12
"""Columns below which the label of a model is not squeezed."""


@dataclass(frozen=True)
class MatrixRow:
    """One model; `cells` maps a dataset label to the (stage, status) of its jobs in the plan's order."""

    model: str
    family: str
    cells: Mapping[str, Sequence[tuple[str, str]]]


def rows_of(jobs: Iterable[Job], status_of: Mapping[str, str]) -> list[MatrixRow]:
    """Group jobs into rows; `status_of` maps digests to statuses."""
    table: dict[str, dict[str, list[tuple[str, str]]]] = {}
    families = {}
    for job in jobs:
        families[job.model.label] = job.model.family
        cell = table.setdefault(job.model.label, {}).setdefault(job.dataset.label, [])
        cell.append((job.stage, status_of[job.digest]))
    return [MatrixRow(model, families[model], cells) for model, cells in table.items()]


def matrix(rows: Sequence[MatrixRow], console: Console, limit: int | None = None) -> RenderableType:
    """Return the matrix, or, where the screen is too narrow for it, the jobs of each model by status.

    Of more than `limit` rows those with something going on are shown.
    """
    from rich.text import Text

    from bench_core.cli.flow import fits, flow

    table = _table(rows, console, limit)
    if fits(table, console):
        return table
    shown = _shown(rows, limit)
    lines = [
        flow([Text(row.model, "bold"), *_counts(row, console)], console.width, indent="  ") for row in shown
    ]
    if len(shown) < len(rows):
        lines.append(Text(f"and {len(rows) - len(shown)} more", "dim"))
    text = Text("\n", overflow="fold").join(lines)
    text.overflow = "fold"
    return text


def _counts(row: MatrixRow, console: Console) -> Iterable[Text]:
    from rich.text import Text

    statuses = [status for cell in row.cells.values() for _, status in cell]
    for status, (_, _, style, _) in _MARKS.items():
        if status in statuses:
            yield Text(f"{_mark(status, console)} {statuses.count(status)}", style)


def _table(rows: Sequence[MatrixRow], console: Console, limit: int | None) -> Table:
    from rich import box
    from rich.table import Table

    datasets = list(dict.fromkeys(name for row in rows for name in row.cells))
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold")
    longest = max((len(row.model) for row in rows), default=0)
    table.add_column("model", overflow="fold", min_width=min(longest, _LABEL))
    for name in datasets:
        table.add_column(name, no_wrap=True, overflow="crop")
    shown = _shown(rows, limit)
    families = {row.family for row in rows}
    previous = None
    for row in shown:
        if len(families) > 1 and row.family != previous and limit is None:
            table.add_row(f"[dim]{row.family}[/dim]")
        previous = row.family
        table.add_row(row.model, *(_cell(row.cells.get(name), console) for name in datasets))
    if len(shown) < len(rows):
        table.add_row(f"[dim]and {len(rows) - len(shown)} more[/dim]")
    return table


def legend(rows: Sequence[MatrixRow], console: Console) -> Text:
    """Return what the marks in these rows mean."""
    from rich.text import Text

    from bench_core.cli.flow import flow

    jobs = [job for row in rows for cell in row.cells.values() for job in cell]
    stages, present = list(dict.fromkeys(stage for stage, _ in jobs)), {status for _, status in jobs}
    items = [
        Text.assemble((_mark(status, console), style), (f" {meaning}", "dim"))
        for status, (_, _, style, meaning) in _MARKS.items()
        if status in present
    ]
    if len(stages) > 1:
        items.append(Text(f"({', then '.join(stages)})", "dim"))
    return flow(items, console.width, gap="   ")


def _shown(rows: Sequence[MatrixRow], limit: int | None) -> list[MatrixRow]:
    if limit is None or len(rows) <= limit:
        return list(rows)

    def rank(row: MatrixRow) -> int:
        statuses = {status for cell in row.cells.values() for _, status in cell}
        if "running" in statuses:
            return 0
        return 1 if "failed" in statuses else 2 if "todo" in statuses else 3

    chosen = {id(row) for row in sorted(rows, key=rank)[: max(1, limit)]}
    return [row for row in rows if id(row) in chosen]


def _cell(jobs: Sequence[tuple[str, str]] | None, console: Console) -> Text:
    from rich.text import Text

    if not jobs:
        return Text("excluded", style="dim italic")
    text = Text()
    for stage in dict.fromkeys(stage for stage, _ in jobs):
        statuses = [status for own, status in jobs if own == stage]
        if text:
            text.append("  ")
        if len(statuses) <= MOST_MARKS:
            for status in statuses:
                text.append(_mark(status, console), style=_MARKS[status][2])
            continue
        text.append(f"{statuses.count('done')}/{len(statuses)}")
        for status in ("running", "failed"):
            if status in statuses:
                text.append(f" {_mark(status, console)}{statuses.count(status)}", style=_MARKS[status][2])
    return text


def _mark(status: str, console: Console) -> str:
    fancy, plain, _, _ = _MARKS[status]
    return fancy if console.encoding.lower().startswith("utf") else plain
