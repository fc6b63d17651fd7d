"""Scores of each class: what an average over foreground pixels can hide."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench_core.analysis.classes import class_scores
from bench_core.analysis.evidence import DatasetFacts, Evidence
from bench_core.analysis.quantities import quantity
from bench_core.analysis.quantity import Quantity
from bench_core.analysis.scores import Score, board, score, shared_folds
from bench_core.declarations.work import Track
from bench_core.metrics.scale import Scale
from bench_core.report import names
from bench_core.report.blocks import Block, Details, Prose, Section
from bench_core.report.keys import key
from bench_core.report.names import Footnotes, listed
from bench_core.report.sections.confusions import confusion_table
from bench_core.report.tables import SCORE_FIELDS, Cell, Column, Mark, Row, Table, score_cell


def section(evidence: Evidence, options: Mapping[str, Any]) -> Section:
    """Return one table per dataset of several classes; single-class datasets are named, not repeated."""
    chosen = quantity(evidence, str(options["metric"]))
    order = names.ordered(evidence, board(evidence, chosen))
    footnotes = Footnotes(evidence)
    several = [data for data in evidence.datasets if len(data.classes) > 1]
    single = [data.title for data in evidence.datasets if len(data.classes) == 1]
    blocks: list[Block] = []
    for data in several:
        blocks.append(_table(evidence, data, order, chosen, footnotes))
        mixed = confusion_table(evidence, data, order)
        if mixed is not None:
            blocks.append(Details(f"{data.title}: which class is predicted for which", (mixed,)))
    if single:
        text = f"{listed(single)}: one foreground class, so the study's table is the per-class table."
        blocks.append(Prose((text,)))
    lead = (
        "Pixels of frequent and large classes dominate the pooled score; here each class stands for itself."
    )
    return Section("per-class", "Class by class", tuple(blocks), lead)


def _table(
    evidence: Evidence, data: DatasetFacts, order: tuple[str, ...], found: Quantity, footnotes: Footnotes
) -> Table:
    scores = {
        label: class_scores(evidence.cell(label, data.label), found)
        for label in order
        if evidence.cell(label, data.label).excluded is None
    }
    scale = found.scale(data.label)
    leaders = {
        name: frozenset(
            label
            for track in evidence.tracks
            if track != "zero-shot/oracle"
            for label in _leaders(_of_track(evidence, scores, track), name, scale)
        )
        for name in data.classes
    }
    rows = []
    for label, mine in scores.items():
        model = evidence.model(label)
        cells = [Cell(model.title, (label,), notes=footnotes.model(label))]
        absent = "undefined" if any(map(found.has, evidence.cell(label, data.label).folds)) else "–"
        for name in data.classes:
            marks: frozenset[Mark] = frozenset({"best", "family"} if label in leaders[name] else ())
            quoted = key(data.label, label, found.name, "class", name)
            cells.append(score_cell(mine.get(name), marks, absent, quoted))
        cells.append(score_cell(score(evidence.cell(label, data.label), found), absent=absent))
        rows.append(Row(tuple(cells), names.group_of(evidence, label)))
    lower = ", lower is better" if scale.better == "lower" else ""
    return Table(
        name=f"classes-{data.label}-{found.name}",
        title=f"{data.title}: {found.class_title} by class in {scale.words}{lower}",
        columns=(
            Column("model", "Model", numeric=False),
            *(Column(f"class_{name}", name, SCORE_FIELDS) for name in data.classes),
            Column("overall", found.title, SCORE_FIELDS),
        ),
        rows=tuple(rows),
        caption="Mean ± standard deviation (n − 1) over folds, each class over a fold's test images. "
        "★: best of all models with the same finished folds.",
        notes=names.notes_of(footnotes, rows),
    )


def _of_track(
    evidence: Evidence, scores: Mapping[str, Mapping[str, Score]], track: Track
) -> Mapping[str, Mapping[str, Score]]:
    return {label: found for label, found in scores.items() if evidence.model(label).track == track}


def _leaders(scores: Mapping[str, Mapping[str, Score]], name: str, scale: Scale) -> frozenset[str]:
    """Return the models that lead a class, among those with the same finished folds."""
    have = {label: found[name] for label, found in scores.items() if name in found}
    folds = shared_folds(list(have.values()))
    return scale.leaders(
        {label: item.mean for label, item in have.items() if tuple(sorted(item.folds)) == folds}
    )
