"""Networks that a study trains under two runners: the framework as a factor, in words and as a table."""

from __future__ import annotations

from bench_core.analysis.evidence import Evidence
from bench_core.analysis.pairs import pair
from bench_core.analysis.scores import Board
from bench_core.analysis.twins import Twins, twins
from bench_core.metrics.scale import common_scale
from bench_core.report import names
from bench_core.report.names import listed, plural
from bench_core.report.tables import DIFFERENCE_FIELDS, ZERO, Cell, Column, Row, Table, difference_cell


def framework_finding(evidence: Evidence, scores: Board) -> str:
    """Return what the framework changes, in one or two sentences; empty where no network has two runners."""
    found = [item for item in twins(evidence) if item.folds]
    if not found:
        return ""
    differing = [item for item in found if item.same < item.folds]
    if not differing:
        pairs = "; ".join(
            f"{_title(evidence, item.reference)} and {_title(evidence, item.model)}" for item in found
        )
        folds = sum(item.folds for item in found)
        where = "the one paired fold" if folds == 1 else f"each of {folds} paired folds"
        return (
            f"The framework changes nothing: in {where}, both runners give the same losses, validation "
            f"metrics and pixel counts to the last digit ({pairs})."
        )
    parts = [
        f"{_title(evidence, item.model)} differs from {_title(evidence, item.reference)} in "
        f"{item.folds - item.same} of {plural(item.folds, 'fold')}{_at_most(scores, item)}"
        for item in differing
    ]
    return f"The framework changes numbers: {listed(parts)}."


def _at_most(scores: Board, item: Twins) -> str:
    found = [
        difference
        for dataset in scores.row(item.model).scores
        if (difference := pair(scores, item.model, item.reference, dataset)) is not None
    ]
    scale = common_scale(difference.scale for difference in found)
    if scale is None:
        return ""
    largest = scale.factor * max(abs(value) for item in found for value in item.differences.values())
    return f" (by at most {largest:.2g} {scale.points} of {scores.quantity.title})"


def runner_table(evidence: Evidence, scores: Board) -> Table | None:
    """Return each network's difference between its runners, fold by fold; None where there is none."""
    found = [item for item in twins(evidence) if item.folds]
    if not found:
        return None
    rows = []
    for item in found:
        differences = [pair(scores, item.model, item.reference, data.label) for data in evidence.datasets]
        rows.append(
            Row(
                (
                    Cell(_title(evidence, item.model), (item.model,)),
                    Cell(item.runner),
                    Cell(_title(evidence, item.reference), (item.reference,)),
                    Cell(item.reference_runner),
                    *(difference_cell(difference) for difference in differences),
                    Cell(f"{item.same} of {item.folds}", (item.same, item.folds)),
                )
            )
        )
    return Table(
        name=f"runners-{scores.quantity.name}",
        title=f"{scores.quantity.title}: the same network under another runner, "
        f"difference on the same folds, {names.points_heading(evidence, scores)}",
        columns=(
            Column("model", "Model", numeric=False),
            Column("runner", "Runner", numeric=False),
            Column("reference", "minus", numeric=False),
            Column("reference_runner", "its runner", numeric=False),
            *(
                Column(data.label, names.column_title(evidence, scores, data.label), DIFFERENCE_FIELDS)
                for data in evidence.datasets
            ),
            Column("same", "Identical folds", ("folds", "of")),
        ),
        rows=tuple(rows),
        caption=f"{ZERO} Identical: equal rates, losses, validation metrics, tested epoch and pixel counts.",
    )


def _title(evidence: Evidence, label: str) -> str:
    return evidence.model(label).title
