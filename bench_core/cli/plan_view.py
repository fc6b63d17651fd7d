"""How `bench plan` looks to people; large plans are shortened, --json has everything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from bench_core.cli.common import console
from bench_core.cli.flow import fits, flow, hanging, is_screen
from bench_core.plan.summary import StageSummary, cell_counts, deviations_of, max_epochs, stages_of

Counts = Mapping[tuple[str, str], int]

if TYPE_CHECKING:
    from rich.console import Console

    from bench_core.plan.diff import CellDiff, PlanDiff
    from bench_core.plan.expand import Plan

MOST_MODELS = 60
MOST_DATASETS = 8
MOST_LINES = 20
NOT_THERE = "†"
STATES = (("done", "done", "green"), ("running", "running", "cyan"), ("failed", "failed", "red"))


@dataclass(frozen=True)
class StoreView:
    """What a store knows of a plan's jobs."""

    path: Path
    states: Mapping[str, str]
    """Digest to done, running, failed or todo."""
    stale: tuple[str, ...]
    """Digests of results in the place of a planned job that were made under other settings."""

    @property
    def counts(self) -> Counter[str]:
        """Return the number of planned jobs by state."""
        return Counter(self.states.values())


def print_plan(plan: Plan, view: StoreView | None) -> None:
    """Print stages, the grid of models and datasets, exclusions, deviations and the store's state."""
    out = console()
    out.print(
        Text(f"{plan.name}: {len(plan.jobs):,} jobs, at most {max_epochs(plan):,} epochs", style="bold")
    )
    _print_stages(out, stages_of(plan))
    _print_shares(out, plan)
    _print_grid(out, plan, view)
    excluded = [f"{cell.model} on {cell.dataset}: {cell.because}" for cell in plan.excluded]
    _print_lines(out, "excluded", excluded)
    passed_over = [f"{item.step} on jobs of {item.whose}: {item.because}" for item in plan.passed_over]
    _print_lines(out, "not worked on", passed_over)
    _print_lines(out, "deviations from the protocol", _deviations(plan))
    _print_lines(out, "departures of networks from their publications", _departures(plan))
    _print_lines(out, f"{NOT_THERE} planned, but cannot be run yet", _unavailable(plan))
    if view is not None:
        _print_store(out, view)


def print_diff(diff: PlanDiff) -> None:
    """Print what two plans share, and why they differ elsewhere."""
    out = console()
    out.print(
        Text(f"{diff.left} and {diff.right}: {diff.shared:,} jobs shared", style="bold"), soft_wrap=True
    )
    for name, count in ((diff.left, diff.only_left), (diff.right, diff.only_right)):
        _print_line(out, f"only in {name}: {count:,}", indent="")
    same = [cell for cell in diff.cells if not (cell.changed or cell.only_left or cell.only_right)]
    groups: dict[str, list[CellDiff]] = {}
    for cell in diff.cells:
        for reason in (*(_change(item) for item in cell.changes), *cell.reasons):
            groups.setdefault(reason, []).append(cell)
    lines = [f"{reason} ({_cells(cells, len(diff.cells))})" for reason, cells in groups.items()]
    _print_lines(out, "why", lines)
    notes: dict[str, None] = {note: None for cell in diff.cells for note in cell.notes}
    _print_lines(out, "called otherwise", notes)
    if same and groups:
        _print_lines(out, "unchanged", [_cells(same, len(diff.cells))])


def _table() -> Table:
    return Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")


def _print_stages(out: Console, stages: Sequence[StageSummary]) -> None:
    table = _table()
    table.add_column("stage", no_wrap=True)
    for name in ("jobs", "epochs each", "at most"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("folds")
    table.add_column("learning rate")
    for stage in stages:
        rates = ", ".join(map(_value, stage.learning_rates))
        table.add_row(
            stage.stage,
            f"{stage.jobs:,}",
            ", ".join(map(str, stage.epochs_each)) or "–",
            f"{stage.epochs:,}" if stage.epochs_each else "–",
            _ranges(stage.folds),
            rates or ("the best of the search" if stage.epochs_each else "–"),
        )
    out.print()
    _print_table(out, table, (_stage_line(stage) for stage in stages))


def _stage_line(stage: StageSummary) -> str:
    folds = f"folds {_ranges(stage.folds)}"
    if not stage.epochs_each:
        return f"{stage.stage}: {stage.jobs:,} jobs; {folds}"
    rates = ", ".join(map(_value, stage.learning_rates)) or "the best of the search"
    epochs = f"{', '.join(map(str, stage.epochs_each))} epochs, at most {stage.epochs:,}"
    return f"{stage.stage}: {stage.jobs:,} jobs of {epochs}; {folds}; learning rate {rates}"


def _print_table(out: Console, table: Table, lines: Iterable[str | Text]) -> None:
    """Print the table, or, where the screen is too narrow for it, one paragraph per row."""
    if fits(table, out):
        out.print(table)
        return
    for line in lines:
        out.print(line if isinstance(line, Text) else hanging(line, out, first="", rest="  "))


def _print_shares(out: Console, plan: Plan) -> None:
    """Print on what share of the folds a job of each stage trains, and on what it validates and tests."""
    shares: dict[str, set[tuple[int, int, int]]] = {}
    total = 0
    # Jobs of many models share a fold: look at each once.
    for stage, fold in {(job.stage, job.fold): None for job in plan.jobs}:
        shares.setdefault(stage, set()).add((len(fold.train), len(fold.validation), len(fold.test)))
        total = max(total, fold.count)
    for name, found in shares.items():
        if len(found) == 1:
            ((train, validation, test),) = found
            tested = f", tests on {test}" if test else ""
            _print_line(
                out,
                f"{name}: trains on {train} of {total} folds, validates on {validation}{tested}",
                indent="",
            )


def _ranges(numbers: Sequence[int]) -> str:
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][1] + 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ", ".join(f"{low}" if low == high else f"{low}-{high}" for low, high in parts)


def _print_grid(out: Console, plan: Plan, view: StoreView | None) -> None:
    jobs, done = cell_counts(plan), cell_counts(plan, view.states if view else {}, "done")
    datasets = plan.datasets if len(plan.datasets) <= MOST_DATASETS else ()
    table = _table()
    table.add_column("jobs done" if view else "jobs", no_wrap=True)
    for dataset in datasets:
        table.add_column(Text(_marked(plan, "dataset", dataset)), justify="right")
    table.add_column("all" if datasets else f"all {len(plan.datasets)} datasets", justify="right")

    def text(count: int, finished: int) -> Text:
        if not count:
            return Text("excluded", style="dim")
        shown = f"{finished:,}/{count:,}" if view else f"{count:,}"
        return Text(shown, style="green" if finished == count else "")

    family = None
    for model in plan.models[:MOST_MODELS]:
        if plan.families[model] != family:
            family = plan.families[model]
            table.add_row(Text(family, style="bold"))
        total = [sum(counts[model, dataset] for dataset in plan.datasets) for counts in (jobs, done)]
        table.add_row(
            Text("  " + _marked(plan, "model", model)),
            *(text(jobs[model, dataset], done[model, dataset]) for dataset in datasets),
            text(*total),
        )
    out.print()
    _print_table(out, table, _grid_lines(plan, jobs, done if view else None, out.width))
    if len(plan.models) > MOST_MODELS:
        out.print(f"  ... and {len(plan.models) - MOST_MODELS:,} more models (--json has all)")


def _grid_lines(plan: Plan, jobs: Counts, done: Counts | None, width: int) -> Iterable[Text]:
    yield Text("jobs done" if done is not None else "jobs")
    for model in plan.models[:MOST_MODELS]:
        cells = []
        for dataset in plan.datasets[:MOST_DATASETS]:
            count = jobs[model, dataset]
            shown = "excluded" if not count else f"{count:,}"
            if count and done is not None:
                shown = f"{done[model, dataset]:,}/{count:,}"
            cells.append(f"{_marked(plan, 'dataset', dataset)} {shown}")
        more = ["..."] if len(plan.datasets) > MOST_DATASETS else []
        items: list[Text | str] = [Text(f"{_marked(plan, 'model', model)}:", "bold"), *cells, *more]
        yield flow(items, width, indent="  ")


def _marked(plan: Plan, kind: str, label: str) -> str:
    return f"{label} {NOT_THERE}" if f"{kind} {label}" in plan.unavailable else label


def _deviations(plan: Plan) -> Iterable[str]:
    cells = cell_counts(plan)
    for item in deviations_of(plan):
        deviation = item.deviation
        everywhere = len(item.datasets) == sum(model == item.model for model, _ in cells)
        where = "" if everywhere else f" on {', '.join(item.datasets)}"
        here, usual = _value(deviation.value), _value(deviation.protocol)
        yield f"{item.model}: {deviation.setting} {here} instead of {usual}{where} ({deviation.because})"


def _departures(plan: Plan) -> Iterable[str]:
    models = {job.model.label: job.model for job in plan.jobs}
    for label, model in models.items():
        for item in model.departures:
            yield f"{label}: {item.what} published: {item.published}; here: {item.here} ({item.because})"


def _unavailable(plan: Plan) -> Iterable[str]:
    groups: dict[tuple[str, str], list[str]] = {}
    for text, reason in plan.unavailable.items():
        kind, _, name = text.partition(" ")
        groups.setdefault((kind, reason), []).append(name)
    for (kind, reason), names in groups.items():
        yield f"{kind}{'s' if len(names) > 1 else ''} {', '.join(names)}: {reason}"


def _print_store(out: Console, view: StoreView) -> None:
    counts = view.counts
    line = Text(f"\nstore {view.path}: ", style="bold")
    parts = [Text(f"{counts[state]:,} {word}", style=style) for state, word, style in STATES]
    out.print(line.append_text(Text(", ").join([*parts, Text(f"{counts['todo']:,} to do")])), soft_wrap=True)
    if view.stale:
        out.print(
            f"  {len(view.stale):,} stale: results in the place of planned jobs, made under other settings, "
            "which this plan does not use",
            soft_wrap=True,
        )


def _print_lines(out: Console, title: str, lines: Iterable[str]) -> None:
    listed = list(lines)
    if not listed:
        return
    out.print()
    out.print(Text(title, style="bold"))
    for line in listed[:MOST_LINES]:
        _print_line(out, line)
    if len(listed) > MOST_LINES:
        out.print(f"  ... and {len(listed) - MOST_LINES:,} more (--json has all)")


def _print_line(out: Console, text: str, indent: str = "  ") -> None:
    """Print a text with its further lines indented, or in one piece where lines are not broken."""
    if is_screen(out):
        out.print(hanging(text, out, first=indent, rest=f"{indent}  "))
    else:
        out.print(Text(f"{indent}{text}"), soft_wrap=True)


def _value(value: Any) -> str:
    if not isinstance(value, float):
        return str(value)
    # Two rates that differ must not read the same.
    short = f"{value:g}"
    return short if float(short) == value else repr(value)


def _change(change: Any) -> str:
    if change.field == "needs":
        return "other search jobs choose the learning rate"
    return f"{change.field}: {_value(change.left)} here, {_value(change.right)} there"


def _cells(cells: Sequence[CellDiff], count: int) -> str:
    if len(cells) == count:
        return "all cells" if count > 1 else "the only cell"
    names = [f"{cell.model} on {cell.dataset}" for cell in cells]
    if len(names) > 3:
        return f"{len(names):,} cells: {', '.join(names[:3])}, ..."
    return ", ".join(names)
