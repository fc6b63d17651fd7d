"""The learning-rate search: what was tried, what was chosen, and whether the grid was wide enough."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench_core.analysis.evidence import Evidence
from bench_core.analysis.rates import RateSearch, searches
from bench_core.analysis.scores import percent
from bench_core.report import names, svg
from bench_core.report.blocks import Block, Callout, Figure, Key, Panel, Prose, Section
from bench_core.report.lineplot import RateSeries, rate_plot
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
    edges = [_edge(evidence, item) for item in found if item.at_edge]
    if edges:
        text = "The chosen rate is the largest or smallest of its grid: a better one may lie beyond."
        blocks.append(Callout("warning", text, tuple(edges)))
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


def _edge(evidence: Evidence, item: RateSearch) -> str:
    rates = " and ".join(names.rate(value) for value in item.at_edge)
    grid = ", ".join(names.rate(value) for value in item.grid)
    return f"{evidence.model(item.model).title} on {evidence.dataset(item.dataset).title}: {rates} of {grid}"


def _figure(evidence: Evidence, found: tuple[RateSearch, ...], monitor: str) -> Figure:
    index = {model.label: position for position, model in enumerate(evidence.models)}
    panels = []
    for data in evidence.datasets:
        series = [
            RateSeries(
                evidence.model(item.model).title,
                index[item.model],
                tuple(
                    (rate, 100 * value)
                    for rate in sorted(item.grid)
                    if (value := item.mean(rate)) is not None
                ),
                frozenset(item.chosen),
            )
            for item in found
            if item.dataset == data.label and item.values
        ]
        if series:
            title = f"Validation {monitor} by learning rate on {data.title}"
            panels.append(Panel(data.title, rate_plot(title, f"validation {monitor} (%)", series)))
    shown = {item.model for item in found if item.values}
    keys = tuple(
        Key(model.title, svg.line_key(index[model.label]))
        for model in evidence.models
        if model.label in shown
    )
    return Figure(
        tuple(panels), keys, "Best epoch of each search job; the rate that the evaluation took is ringed."
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
        rows.append(Row(tuple(cells), evidence.model(item.model).family))
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
    if value is None:
        return Cell("–", (None, 0))
    marks: frozenset[Mark] = frozenset({"chosen"} if rate in item.chosen else ())
    return Cell(percent(value), (value, len(item.values[rate])), marks)


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
