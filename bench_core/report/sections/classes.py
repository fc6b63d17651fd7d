"""Scores a class: what an average over foreground pixels can hide."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench_core.analysis.classes import class_scores
from bench_core.analysis.evidence import DatasetFacts, Evidence
from bench_core.analysis.scores import Score, board, leaders, score, shared_folds
from bench_core.report import names
from bench_core.report.blocks import Block, Prose, Section
from bench_core.report.names import Footnotes, listed
from bench_core.report.tables import SCORE_FIELDS, Cell, Column, Mark, Row, Table, score_cell


def section(evidence: Evidence, options: Mapping[str, Any]) -> Section:
    """Return one table a dataset of several classes; single-class datasets are named, not repeated."""
    metric = str(options["metric"])
    order = names.ordered(evidence, board(evidence, metric))
    footnotes = Footnotes(evidence)
    several = [data for data in evidence.datasets if len(data.classes) > 1]
    single = [data.title for data in evidence.datasets if len(data.classes) == 1]
    blocks: list[Block] = [_table(evidence, data, order, metric, footnotes) for data in several]
    if single:
        text = f"{listed(single)}: one foreground class, so the study's table is the per-class table."
        blocks.append(Prose((text,)))
    lead = (
        "Pixels of frequent and large classes dominate the pooled score; here each class stands for itself."
    )
    return Section("per-class", "Class by class", tuple(blocks), lead)


def _table(
    evidence: Evidence, data: DatasetFacts, order: tuple[str, ...], metric: str, footnotes: Footnotes
) -> Table:
    scores = {
        label: class_scores(evidence.cell(label, data.label), metric)
        for label in order
        if evidence.cell(label, data.label).excluded is None
    }
    leaders = {name: _leaders(scores, name) for name in data.classes}
    rows = []
    for label, found in scores.items():
        model = evidence.model(label)
        cells = [Cell(model.title, (label,), notes=footnotes.model(label))]
        for name in data.classes:
            marks: frozenset[Mark] = frozenset({"best", "family"} if label in leaders[name] else ())
            cells.append(score_cell(found.get(name), marks))
        cells.append(score_cell(score(evidence.cell(label, data.label), metric)))
        rows.append(Row(tuple(cells), model.family))
    title = names.CLASS_METRIC_TITLES[metric]
    return Table(
        name=f"classes-{data.label}-{metric}",
        title=f"{data.title}: {title} by class in percent",
        columns=(
            Column("model", "Model", numeric=False),
            *(Column(f"class_{name}", name, SCORE_FIELDS) for name in data.classes),
            Column("overall", f"{names.METRIC_TITLES[metric]} (pooled)", SCORE_FIELDS),
        ),
        rows=tuple(rows),
        caption="Mean ± standard deviation (n − 1) over folds, each class pooled over a fold's test images. "
        "★: best of all models with the same finished folds.",
        notes=names.notes_of(footnotes, rows),
    )


def _leaders(scores: Mapping[str, Mapping[str, Score]], name: str) -> frozenset[str]:
    """Return the models that lead a class, among those with the same finished folds."""
    have = {label: found[name] for label, found in scores.items() if name in found}
    folds = shared_folds(list(have.values()))
    return leaders({label: item.mean for label, item in have.items() if tuple(sorted(item.folds)) == folds})
