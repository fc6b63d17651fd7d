"""Each fold as a dot: how far the folds scatter, and how steadily one model is ahead of another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench_core.analysis.evidence import Evidence, Finished
from bench_core.analysis.pairs import Pair, contest, pair
from bench_core.analysis.quantities import quantities, quantity
from bench_core.analysis.quantity import Quantity
from bench_core.analysis.scores import Board, board
from bench_core.records import TrainingRecord
from bench_core.report import names, svg
from bench_core.report.blocks import Block, Details, Figure, Key, Panel, Prose, Section
from bench_core.report.dotplot import JOINED, DotRow, dot_plot
from bench_core.report.names import Footnotes, plural
from bench_core.report.sections.runners import runner_table
from bench_core.report.tables import DIFFERENCE_FIELDS, ZERO, Cell, Column, Row, Table, difference_cell


def section(evidence: Evidence, options: Mapping[str, Any]) -> Section:
    """Return dots per dataset, paired differences to the reference, and every fold's numbers."""
    scores = board(evidence, quantity(evidence, str(options["metric"])))
    metric = scores.quantity.title
    order = names.ordered(evidence, scores)
    if not evidence.folds:
        return Section("folds", "Fold by fold", (Prose(("No fold is finished yet.",)),))
    keys = tuple(Key(family, svg.marker_key(index)) for index, family in enumerate(evidence.families))
    panels = tuple(
        Panel(
            data.title,
            dot_plot(
                f"{metric} on {data.title}",
                names.axis(metric, scores.scale(data.label)),
                _rows(evidence, scores, order, data.label),
                digits=scores.scale(data.label).digits,
            ),
        )
        for data in evidence.datasets
        if any(data.label in row.scores for row in scores.rows)
    )
    caption = "One dot per fold, a bar at the mean (printed at the right)." + (
        " A faint line follows one fold from model to model." if len(order) <= JOINED else ""
    )
    blocks: list[Block] = [Figure(panels, keys, caption)]
    reference = _reference(evidence, scores, str(options["reference"]))
    if reference is not None:
        blocks += _against(evidence, scores, order, reference, keys)
    under_runners = runner_table(evidence, scores)
    if under_runners is not None:
        blocks.append(under_runners)
    blocks.append(Details("Every fold in numbers", (fold_table(evidence, order),)))
    lead = "All models share folds, so differences within a fold say more than the scatter between folds."
    return Section("folds", "Fold by fold", tuple(blocks), lead)


def _rows(evidence: Evidence, scores: Board, order: tuple[str, ...], dataset: str) -> list[DotRow]:
    rows, factor = [], scores.scale(dataset).factor
    for label in order:
        found = scores.row(label).scores.get(dataset)
        points = tuple((index, factor * value) for index, value in found.folds.items()) if found else ()
        if evidence.cell(label, dataset).excluded is None:
            rows.append(DotRow(evidence.model(label).title, names.family_series(evidence, label), points))
    return rows


def _reference(evidence: Evidence, scores: Board, wanted: str) -> str | None:
    labels = [model.label for model in evidence.models]
    if wanted in labels:
        return wanted
    duel = contest(evidence, scores)
    return duel.leader if duel else None


def _against(
    evidence: Evidence, scores: Board, order: tuple[str, ...], reference: str, keys: tuple[Key, ...]
) -> list[Block]:
    others = [label for label in order if label != reference]
    title = evidence.model(reference).title
    panels, table_rows = [], []
    pairs: dict[tuple[str, str], Pair] = {}
    for label in others:
        for data in evidence.datasets:
            found = pair(scores, label, reference, data.label)
            if found is not None:
                pairs[label, data.label] = found
    for data in evidence.datasets:
        scale = scores.scale(data.label)
        rows = [
            DotRow(
                evidence.model(label).title,
                names.family_series(evidence, label),
                tuple(
                    (fold, scale.factor * value)
                    for fold, value in pairs[label, data.label].differences.items()
                ),
            )
            for label in others
            if (label, data.label) in pairs
        ]
        if rows:
            described = f"Difference to {title} on {data.title}"
            axis = f"{scale.points} from {title}"
            plot = dot_plot(described, axis, rows, zero=True, digits=scale.digits)
            panels.append(Panel(data.title, plot))
    for label in others:
        cells = [Cell(evidence.model(label).title, (label,))]
        cells += [difference_cell(pairs.get((label, data.label))) for data in evidence.datasets]
        table_rows.append(Row(tuple(cells), names.group_of(evidence, label)))
    if not panels:
        return []
    shown = scores.quantity
    table = Table(
        name=f"differences-{shown.name}",
        title=f"{shown.title}: difference to {title} on the same folds, "
        f"{names.points_heading(evidence, scores)}",
        columns=(
            Column("model", "Model", numeric=False),
            *(
                Column(data.label, names.column_title(evidence, scores, data.label), DIFFERENCE_FIELDS)
                for data in evidence.datasets
            ),
        ),
        rows=tuple(table_rows),
        caption="Mean ± standard deviation of the differences; in parentheses the folds that the model wins."
        + (" Lower is better, so a negative difference is a gain." if shown.metric.better == "lower" else "")
        + (f" {ZERO}" if any(item.equal for item in pairs.values()) else ""),
    )
    side = "left" if shown.metric.better == "higher" else "right"
    figure = Figure(
        tuple(panels), keys, f"Each model minus {title}, fold by fold; {side} of the line {title} is ahead."
    )
    return [figure, table]


def fold_table(evidence: Evidence, order: tuple[str, ...]) -> Table:
    """Return all metrics of every finished fold."""
    footnotes = Footnotes(evidence)
    found = list(quantities(evidence).values())
    several = len(evidence.tracks) > 1
    rows = []
    for label in order:
        for data in evidence.datasets:
            for fold in evidence.cell(label, data.label).folds:
                cells = [
                    Cell(evidence.model(label).title, (label,), notes=footnotes.model(label)),
                    *([Cell(evidence.model(label).track)] if several else []),
                    Cell(data.title, (data.label,)),
                    Cell(str(fold.index), (fold.index,)),
                    Cell(str(len(fold.counts.ids)), (len(fold.counts.ids),)),
                    *(_value(item, fold) for item in found),
                    *_trained(fold.training),
                ]
                rows.append(Row(tuple(cells)))
    return Table(
        name="folds",
        title=f"Every finished fold ({plural(len(rows), 'row')}), fractions in percent",
        columns=(
            Column("model", "Model", numeric=False),
            *([Column("track", "Track", numeric=False)] if several else []),
            Column("dataset", "Dataset", numeric=False),
            Column("fold", "Fold"),
            Column("images", "Images"),
            *(Column(item.name, item.title, _fields(item)) for item in found),
            Column("learning_rate", "Rate"),
            Column("epoch", "Tested epoch", ("tested", "run")),
        ),
        rows=tuple(rows),
        notes=names.notes_of(footnotes, rows),
    )


def _fields(found: Quantity) -> tuple[str, ...]:
    """Return a column's fields: a length's unit depends on the dataset, and stands beside each value."""
    return ("",) if found.metric.unit == "fraction" else ("", "unit")


def _trained(record: TrainingRecord | None) -> tuple[Cell, Cell]:
    """Return the cells of rate and tested epoch; empty for a procedure of its own."""
    if record is None:
        return Cell("–", (None,)), Cell("–", (None, None))
    return (
        Cell(names.rate(record.learning_rate), (record.learning_rate,)),
        Cell(
            f"{record.chosen_epoch + 1} of {record.epochs_run}",
            (record.chosen_epoch + 1, record.epochs_run),
            small="stopped early" if record.stopped_early else "",
        ),
    )


def _value(found: Quantity, fold: Finished) -> Cell:
    # A metric without denominator (recall where no image has foreground) is undefined, not zero.
    value, scale = found.of_fold(fold), found.scale(fold.job.dataset.label)
    unit = () if scale.unit == "fraction" else (scale.unit,)
    if value != value:
        return Cell("–", (None, *unit))
    more = 1 if scale.unit == "fraction" else 0
    return Cell(scale.text(value, more), (value, *unit), small=scale.sign if unit else "")
