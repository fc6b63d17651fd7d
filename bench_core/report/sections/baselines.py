"""What needs no network, beside the models: every pixel background, or one class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench_core.analysis.baselines import baselines
from bench_core.analysis.evidence import DatasetFacts, Evidence
from bench_core.analysis.quantities import quantity
from bench_core.analysis.quantity import Quantity
from bench_core.analysis.scores import board, score
from bench_core.report import names
from bench_core.report.blocks import Section
from bench_core.report.names import Footnotes
from bench_core.report.tables import SCORE_FIELDS, Cell, Column, Row, Table, score_cell

GROUP = "without a network"


def section(evidence: Evidence, options: Mapping[str, Any]) -> Section:
    """Return one table per dataset: the models, then constant predictions; empty unless asked for."""
    if evidence.spec.analyses is None:
        return Section("baselines", "Without a network", ())
    chosen = quantity(evidence, str(options["metric"]))
    order = names.ordered(evidence, board(evidence, chosen))
    footnotes = Footnotes(evidence)
    tables = tuple(_table(evidence, data, chosen, order, footnotes) for data in evidence.datasets)
    lead = "A network that learned something is ahead of predicting one class everywhere."
    return Section("baselines", "Without a network", tables, lead)


def _table(
    evidence: Evidence, data: DatasetFacts, chosen: Quantity, order: tuple[str, ...], footnotes: Footnotes
) -> Table:
    rows = []
    for label in order:
        cell, model = evidence.cell(label, data.label), evidence.model(label)
        if cell.excluded is None:
            first = Cell(model.title, (label,), notes=footnotes.model(label))
            rows.append(Row((first, score_cell(score(cell, chosen))), names.group_of(evidence, model.label)))
    for name, found in baselines(evidence, data.label, chosen).items():
        rows.append(Row((Cell(f"all {name}"), score_cell(found)), GROUP))
    return Table(
        name=f"baselines-{data.label}-{chosen.name}",
        title=f"{data.title}: {chosen.title} in {chosen.scale(data.label).words}",
        columns=(Column("model", "Model", numeric=False), Column("score", chosen.title, SCORE_FIELDS)),
        rows=tuple(rows),
        caption="All background, all CLASS: every pixel of every test image gets this class; the truth is "
        "that of the finished folds. Under ignored padding only background is computed.",
        notes=names.notes_of(footnotes, rows),
    )
