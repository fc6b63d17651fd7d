"""The finding in words, and the study's table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench_core.analysis.evidence import Evidence
from bench_core.analysis.pairs import Contest, contest
from bench_core.analysis.rates import chosen_rates
from bench_core.analysis.scores import AVERAGE, Board, board, percent
from bench_core.metrics.counts import METRICS
from bench_core.report import names
from bench_core.report.blocks import Block, Choice, Prose, Section
from bench_core.report.names import Footnotes, listed, plural
from bench_core.report.sections.runners import framework_finding
from bench_core.report.tables import SCORE_FIELDS, Cell, Column, Mark, Row, Table, score_cell


def section(evidence: Evidence, options: Mapping[str, Any]) -> Section:
    """Return the finding and one table a metric, the chosen metric first."""
    chosen = str(options["metric"])
    metrics = [chosen, *(metric for metric in METRICS if metric != chosen)]
    boards = {metric: board(evidence, metric) for metric in metrics}
    order = names.ordered(evidence, boards[chosen])
    footnotes = Footnotes(evidence)
    tables = tuple(
        (names.METRIC_TITLES[metric], (study_table(evidence, boards[metric], order, footnotes),))
        for metric in metrics
    )
    findings = (finding(evidence, boards[chosen]), framework_finding(evidence, boards[chosen]))
    blocks: tuple[Block, ...] = (
        Prose(tuple(text for text in findings if text), strong=True),
        Prose(tuple(caveats(evidence, boards[chosen]))),
        Choice("metric", "Metric", tables),
    )
    return Section("summary", "Result", blocks)


def finding(evidence: Evidence, scores: Board) -> str:
    """Return the finding that the numbers support, in one or two sentences."""
    metric = names.METRIC_TITLES[scores.metric]
    duel = contest(evidence, scores)
    if duel is None:
        ranked = [row for row in scores.rows if row.scores]
        if not ranked:
            return "No fold is finished yet, so there is nothing to compare."
        if len(ranked) == 1:
            row = ranked[0]
            parts = [
                f"{percent(value.mean)} on {evidence.dataset(label).title}"
                for label, value in row.scores.items()
            ]
            title = evidence.model(row.model).title
            return f"{title} reaches a {metric} of {listed(parts)}; there is nothing to compare it with."
        return "No two models have the same finished folds of all ranked datasets, so none is ahead yet."
    leader, rival = evidence.model(duel.leader), evidence.model(duel.rival)
    top, second = (scores.row(label).ranked[AVERAGE] for label in (duel.leader, duel.rival))
    other = f"the best {rival.family} model, {rival.title}," if duel.between_families else rival.title
    where = f"over {listed(evidence.dataset(label).title for label in scores.averaged)}"
    if duel.equal:
        return (
            f"{leader.title} ({leader.family}) and {other} have the same average {metric} {where}, "
            f"{percent(top)} %: not one of {duel.folds} paired folds differs."
        )
    if percent(top) == percent(second):
        opening = (
            f"{leader.title} ({leader.family}) and {other} print the same average {metric} {where}: "
            f"{percent(top)} %."
        )
        return opening + " " + _steadiness(duel, leader.title, tied=True)
    points = percent(duel.gap)
    opening = (
        f"{leader.title} ({leader.family}) has the highest average {metric} {where}: {percent(top)} %, "
        f"{points} points above {other.rstrip(',')} ({percent(second)} %)."
    )
    return f"{opening} {_steadiness(duel, leader.title)}"


def _steadiness(duel: Contest, leader: str, tied: bool = False) -> str:
    if duel.folds < 2:
        return "One fold cannot say how steady that is."
    if duel.steady and not tied:
        return f"It is ahead in all {duel.folds} paired folds."
    verdict = "the folds do not agree on an order" if duel.lost else "the folds do not settle an order"
    subject = leader if tied else "It"
    return f"{subject} is ahead in {duel.won} of {duel.folds} paired folds: {verdict}."


def caveats(evidence: Evidence, scores: Board) -> list[str]:
    """Return what the finding does not say."""
    folds = {label: len(found) for label, found in scores.shared.items()}
    if not folds:
        return []
    few = min(folds.values())
    text = (
        "This describes the study; it is no significance test: the folds share training images, and the "
        "leader was picked by these same numbers."
    )
    if few < 3:
        text += f" With {plural(few, 'shared fold')} in a dataset even the order is uncertain."
    if not evidence.complete:
        text += " The study is partial, so ranks may still change."
    return [text]


def study_table(evidence: Evidence, scores: Board, order: tuple[str, ...], footnotes: Footnotes) -> Table:
    """Return models x datasets for one metric: mean ± std over folds, average, parameters, learning rate."""
    title = names.METRIC_TITLES[scores.metric]
    datasets = [data.label for data in evidence.datasets]
    several = len({model.runner for model in evidence.models}) > 1
    columns = [
        Column("model", "Model", numeric=False),
        *([Column("runner", "Runner", numeric=False)] if several else []),
        Column("parameters", "Params", ("min", "max")),
        *(Column(data.label, data.title, SCORE_FIELDS) for data in evidence.datasets),
        Column("average", "Average"),
        Column("learning_rate", "Learning rate", tuple(datasets)),
    ]
    rows = []
    for label in order:
        cells = [_model_cell(evidence, label, footnotes)]
        cells += [Cell(evidence.model(label).runner)] if several else []
        cells.append(_parameters(evidence, label))
        for dataset in datasets:
            cell = evidence.cell(label, dataset)
            found = score_cell(
                scores.row(label).scores.get(dataset), _marks(evidence, scores, label, dataset)
            )
            if cell.excluded is not None:
                found = Cell("excluded", (None, None, 0, 0), notes=footnotes.cell(label, dataset))
            cells.append(found)
        average = scores.row(label).ranked.get(AVERAGE)
        shown = percent(average) if average is not None else "–"
        cells.append(Cell(shown, (average,), _marks(evidence, scores, label, AVERAGE)))
        cells.append(_rates(evidence, label, datasets))
        rows.append(Row(tuple(cells), evidence.model(label).family))
    return Table(
        name=f"study-{scores.metric}",
        title=f"{title} in percent, mean ± standard deviation over folds",
        columns=tuple(columns),
        rows=tuple(rows),
        caption=" ".join(_caption(evidence, scores)),
        notes=names.notes_of(footnotes, rows),
    )


def _caption(evidence: Evidence, scores: Board) -> list[str]:
    text = [
        "Pooled over the test images and foreground classes of a fold; ± is the sample standard deviation "
        "(n − 1) over folds.",
        "Bold: best of its family; ★: best of all; values that print alike share it.",
    ]
    if len(evidence.datasets) > 1 and scores.averaged:
        missing = len(evidence.datasets) - len(scores.averaged)
        over = f"over {listed(evidence.dataset(label).title for label in scores.averaged)} only"
        text.append(f"Average: unweighted, {over if missing else 'over the datasets'}.")
    elif not scores.averaged:
        text.append("No ranking and no average: no two models have the same finished folds of a dataset.")
    text += _incomplete(evidence, scores)
    if scores.waiting:
        waiting = listed((evidence.model(label).title for label in scores.waiting), 6)
        text.append(f"Not ranked, for no fold is finished: {waiting}.")
    if any(len(chosen_rates(cell)) > 0 for cell in evidence.cells.values()):
        text.append("Learning rate: as trained; where datasets differ, in the order of their columns.")
    return text


def _incomplete(evidence: Evidence, scores: Board) -> list[str]:
    text = []
    for label, shared in scores.shared.items():
        title = evidence.dataset(label).title
        have = {row.model: row.scores[label] for row in scores.rows if label in row.scores}
        planned = max(item.planned for item in have.values())
        if len(shared) < planned:
            text.append(f"{title}: ranked over {len(shared)} of {planned} folds.")
        others = [
            f"{evidence.model(model).title} ({len(item.folds)} of {item.planned} folds)"
            for model, item in have.items()
            if tuple(sorted(item.folds)) != shared
        ]
        if others:
            text.append(f"{title}: not ranked with the others: {listed(others, 6)}.")
    left = [
        evidence.model(row.model).title for row in scores.rows if row.scores and AVERAGE not in row.ranked
    ]
    if left and scores.averaged:
        text.append(f"No average, for a dataset is missing or incomplete: {listed(left, 6)}.")
    return text


def _marks(evidence: Evidence, scores: Board, label: str, column: str) -> frozenset[Mark]:
    marks: set[Mark] = set()
    if label in scores.best(column, evidence.model(label).family):
        marks.add("family")
    if label in scores.best(column):
        marks.add("best")
    return frozenset(marks)


def _model_cell(evidence: Evidence, label: str, footnotes: Footnotes) -> Cell:
    model = evidence.model(label)
    return Cell(model.title, (label,), notes=footnotes.model(label))


def _parameters(evidence: Evidence, label: str) -> Cell:
    counts = evidence.model(label).parameters
    if not counts:
        return Cell("–", (None, None))
    low, high = names.count(counts[0]), names.count(counts[-1])
    return Cell(low if low == high else f"{low}–{high}", (counts[0], counts[-1]))


def _rates(evidence: Evidence, label: str, datasets: list[str]) -> Cell:
    texts = []
    for dataset in datasets:
        cell = evidence.cell(label, dataset)
        if cell.excluded is None:
            rates = sorted(chosen_rates(cell), reverse=True)
            texts.append(" or ".join(names.rate(value) for value in rates) or "–")
        else:
            texts.append("–")
    shown = texts[0] if len(set(texts)) == 1 else " · ".join(texts)
    return Cell(shown, tuple(None if text == "–" else text for text in texts))
