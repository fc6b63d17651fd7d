"""The learning-rate search: what was tried, what was chosen, and whether the grid was wide enough."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import Any

from bench_core.analysis.evidence import Evidence
from bench_core.analysis.rates import RateSearch, searches
from bench_core.metrics.scale import PERCENT
from bench_core.report import names
from bench_core.report.blocks import Block, Callout, Figure, Panel, Prose, Section
from bench_core.report.lineplot import RateSeries, rate_plot
from bench_core.report.panels import heading, line_keys, panel_groups, series_index
from bench_core.report.tables import Cell, Column, Mark, Row, Table

TITLE = "Learning-rate search"


def section(evidence: Evidence, options: Mapping[str, Any]) -> Section:
    """Return rate against validation metric as picture and table, with a warning at the grid's edge."""
    found = searches(evidence)
    if not found:
        fixed = evidence.spec.protocol.learning_rate
        text = (
            f"The spec fixes the learning rate at {names.rate(fixed)}; nothing was searched." if fixed else ""
        )
        return Section("search", TITLE, (Prose((text or "Nothing was searched.",)),))
    monitor = names.METRIC_TITLES[found[0].monitor]
    blocks: list[Block] = []
    edges = _edges(evidence, found)
    if edges:
        text = "The chosen rate is the largest or smallest of its grid: a better one may lie beyond."
        blocks.append(Callout("warning", text, edges))
    if any(len(item.grid) < 3 for item in found):
        text = "A grid of fewer than three rates cannot show whether a better rate lies beyond it."
        blocks.append(Callout("note", text))
    if any(item.values for item in found):
        blocks.append(_figure(evidence, found, monitor))
    blocks.append(_table(evidence, found, monitor))
    search = evidence.spec.protocol.search
    nested = search is not None and search.nested
    lead = (
        "One search for each evaluate fold, inside its training and validation images; no test image is seen."
        if nested
        else "The search validates on images that the cross-validation also tests; a nested one would not."
    )
    return Section("search", TITLE, tuple(blocks), lead)


def _edges(evidence: Evidence, found: tuple[RateSearch, ...]) -> tuple[str, ...]:
    """Return one line per dataset, rate and grid."""
    lines: dict[str, list[str]] = {}
    for item in found:
        grid = ", ".join(names.rate(value) for value in item.grid)
        for rate in item.at_edge:
            line = f"{evidence.dataset(item.dataset).title}, {names.rate(rate)} of {grid}"
            lines.setdefault(line, []).append(evidence.model(item.model).title)
    return tuple(f"{line}: {names.listed(models)}" for line, models in lines.items())


def _figure(evidence: Evidence, found: tuple[RateSearch, ...], monitor: str) -> Figure:
    drawn = [item for item in found if item.values]
    panels = []
    for (group, labels), data in product(panel_groups(evidence), evidence.datasets):
        series = [
            _series(evidence, item) for item in drawn if item.dataset == data.label and item.model in labels
        ]
        if series:
            title = heading(data.title, group)
            described = f"Validation {monitor} by learning rate, {title}"
            panels.append(Panel(title, rate_plot(described, f"validation {monitor} (%)", series)))
    keys = line_keys(evidence, {item.model for item in drawn})
    caption = "Best epoch of each search job; the rate that the evaluation took is ringed."
    return Figure(tuple(panels), keys, caption)


def _series(evidence: Evidence, item: RateSearch) -> RateSeries:
    means = ((rate, item.mean(rate)) for rate in sorted(item.grid))
    return RateSeries(
        evidence.model(item.model).title,
        series_index(evidence, item.model),
        tuple((rate, PERCENT.factor * value) for rate, value in means if value is not None),
        frozenset(item.chosen),
    )


def _table(evidence: Evidence, found: tuple[RateSearch, ...], monitor: str) -> Table:
    rates = sorted({rate for item in found for rate in item.grid}, reverse=True)
    rows = []
    for item in found:
        cells = [
            Cell(evidence.model(item.model).title, (item.model,)),
            Cell(evidence.dataset(item.dataset).title, (item.dataset,)),
            *(_rate_cell(item, rate) for rate in rates),
            _chosen(item),
        ]
        rows.append(Row(tuple(cells), names.group_of(evidence, item.model)))
    return Table(
        name="search",
        title=f"Validation {monitor} in percent by learning rate",
        columns=(
            Column("model", "Model", numeric=False),
            Column("dataset", "Dataset", numeric=False),
            *(Column(f"lr_{names.rate(rate)}", names.rate(rate), ("mean", "jobs")) for rate in rates),
            Column("chosen", "Chosen"),
        ),
        rows=tuple(rows),
        caption=f"Validation {monitor} of the best epoch, averaged over a rate's search jobs. Bold: chosen.",
    )


def _rate_cell(item: RateSearch, rate: float) -> Cell:
    value = item.mean(rate)
    if rate in item.diverged:
        return Cell("diverged", (None, 0))
    if value is None:
        return Cell("–", (None, 0))
    marks: frozenset[Mark] = frozenset({"chosen"} if rate in item.chosen else ())
    return Cell(PERCENT.text(value), (value, len(item.values[rate])), marks)


def _chosen(item: RateSearch) -> Cell:
    if not item.chosen:
        waiting = (
            f"{item.finished} of {item.planned} searched"
            if item.finished < item.planned
            else "not evaluated yet"
        )
        return Cell("–", (None,), small=waiting)
    if len(item.chosen) == 1:
        text = names.rate(next(iter(item.chosen)))
    else:
        text = ", ".join(f"{names.rate(rate)} ({number} folds)" for rate, number in item.chosen.items())
    return Cell(text, (text,))
