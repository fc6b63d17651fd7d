"""The finding in words, and the study's table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench_core.analysis.evidence import Evidence
from bench_core.analysis.pairs import Contest, contest
from bench_core.analysis.quantities import quantities, quantity
from bench_core.analysis.rates import chosen_rates
from bench_core.analysis.scores import AVERAGE, Board, Score, board
from bench_core.report import names
from bench_core.report.blocks import Choice, Prose, Section
from bench_core.report.keys import ALL, key
from bench_core.report.names import Footnotes, listed, plural
from bench_core.report.sections.runners import framework_finding
from bench_core.report.sections.views import views_table
from bench_core.report.tables import SCORE_FIELDS, Cell, Column, Mark, Row, Table, score_cell

TRACKS = (
    "Models of different tracks came to their numbers in different ways: bold and ★ are of a track, and "
    "prompts that come from the truth (zero-shot/oracle) earn neither."
)


def section(evidence: Evidence, options: Mapping[str, Any]) -> Section:
    """Return the finding and the tables of each metric, the chosen metric first."""
    chosen = quantity(evidence, str(options["metric"]))
    others = [item for item in quantities(evidence).values() if item.name != chosen.name]
    boards = [board(evidence, item) for item in (chosen, *others)]
    order = names.ordered(evidence, boards[0])
    footnotes = Footnotes(evidence)
    tables = []
    for scores in boards:
        views = views_table(evidence, scores.quantity, order, options["empty"])
        shown = [study_table(evidence, scores, order, footnotes), *([views] if views else [])]
        tables.append((scores.quantity.title, tuple(shown)))
    findings = (finding(evidence, boards[0]), framework_finding(evidence, boards[0]))
    blocks = (
        Prose(tuple(text for text in findings if text), strong=True),
        Prose(tuple(caveats(evidence, boards[0]))),
        Choice("metric", "Metric", tuple(tables)),
    )
    return Section("summary", "Result", blocks)


def finding(evidence: Evidence, scores: Board) -> str:
    """Return the finding that the numbers support, in one or two sentences."""
    metric = scores.quantity.title
    duel = contest(evidence, scores)
    if duel is None:
        return _no_contest(evidence, scores)
    scale = scores.scale(AVERAGE)
    leader, rival = evidence.model(duel.leader), evidence.model(duel.rival)
    top, second = (scores.row(label).ranked[AVERAGE] for label in (duel.leader, duel.rival))
    other = f"the best {rival.family} model, {rival.title}," if duel.between_families else rival.title
    where = f"over {listed(evidence.dataset(label).title for label in scores.averaged)}"
    if scale.worst is not None and scale.text(top) == scale.text(scale.worst):
        return f"No model is ahead: no average {metric} {where} is better than {scale.full(scale.worst)}."
    if duel.equal:
        return (
            f"{leader.title} ({leader.family}) and {other} have the same average {metric} {where}, "
            f"{scale.full(top)}: not one of {duel.folds} paired folds differs."
        )
    if scale.text(top) == scale.text(second):
        opening = (
            f"{leader.title} ({leader.family}) and {other} print the same average {metric} {where}: "
            f"{scale.full(top)}."
        )
        return opening + " " + _steadiness(duel, leader.title, tied=True)
    most, beyond = ("highest", "above") if scale.better == "higher" else ("lowest", "below")
    opening = (
        f"{leader.title} ({leader.family}) has the {most} average {metric} {where}: {scale.full(top)}, "
        f"{scale.text(duel.gap)} {scale.points} {beyond} {other.rstrip(',')} ({scale.full(second)})."
    )
    return f"{opening} {_steadiness(duel, leader.title)}"


def _no_contest(evidence: Evidence, scores: Board) -> str:
    """Return why nobody is ahead."""
    metric = scores.quantity.title
    ranked = [row for row in scores.rows if row.scores]
    if not ranked and any(row.undefined for row in scores.rows):
        return f"{metric} is undefined in every finished fold, so there is nothing to compare."
    if not ranked:
        reason = scores.quantity.awaited
        return f"{reason[0].upper()}{reason[1:]} yet, so there is nothing to compare."
    if len(ranked) == 1:
        row = ranked[0]
        parts = [
            f"{value.scale.full(value.mean)} on {evidence.dataset(label).title}"
            for label, value in row.scores.items()
        ]
        title = evidence.model(row.model).title
        return f"{title}: {metric} is {listed(parts)}; there is nothing to compare it with."
    if scores.shared and not scores.averaged:
        return f"{metric} has different units on the datasets, so it has no average, and none is ahead."
    return "No two models have the same finished folds of all ranked datasets, so none is ahead yet."


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
        "This describes the study; it is not a significance test: the folds share training images, and the "
        "leader was picked by these same numbers."
    )
    if few < 3:
        text += f" With {plural(few, 'shared fold')} in a dataset even the order is uncertain."
    if not evidence.complete:
        text += " The study is partial, so ranks may still change."
    return [text]


def study_table(evidence: Evidence, scores: Board, order: tuple[str, ...], footnotes: Footnotes) -> Table:
    """Return models x datasets for one metric: mean ± std over folds, average, parameters, learning rate."""
    datasets = [data.label for data in evidence.datasets]
    several = len({model.runner for model in evidence.models}) > 1
    columns = [
        Column("model", "Model", numeric=False),
        *([Column("runner", "Runner", numeric=False)] if several else []),
        Column("parameters", "Params", ("min", "max")),
        *(Column(label, names.column_title(evidence, scores, label), SCORE_FIELDS) for label in datasets),
        Column("average", "Average"),
        Column("learning_rate", "Learning rate", tuple(datasets)),
    ]
    rows = []
    for label in order:
        cells = [_model_cell(evidence, label, footnotes)]
        cells += [Cell(evidence.model(label).runner)] if several else []
        cells.append(_parameters(evidence, label))
        cells += [_score(evidence, scores, label, dataset, footnotes) for dataset in datasets]
        average = scores.row(label).ranked.get(AVERAGE)
        shown = scores.scale(AVERAGE).text(average) if average is not None else "–"
        quoted = ((key(ALL, label, scores.quantity.name), shown),) if average is not None else ()
        cells.append(Cell(shown, (average,), _marks(evidence, scores, label, AVERAGE), quotes=quoted))
        cells.append(_rates(evidence, label, datasets))
        rows.append(Row(tuple(cells), names.group_of(evidence, label)))
    unit = names.unit_heading(evidence, scores)
    return Table(
        name=f"study-{scores.quantity.name}",
        title=f"{scores.quantity.title} {unit}, mean ± standard deviation over folds",
        columns=tuple(columns),
        rows=tuple(rows),
        caption=" ".join(_caption(evidence, scores)),
        notes=names.notes_of(footnotes, rows),
    )


def _score(evidence: Evidence, scores: Board, label: str, dataset: str, footnotes: Footnotes) -> Cell:
    if evidence.cell(label, dataset).excluded is not None:
        return Cell("excluded", (None, None, 0, 0, None), notes=footnotes.cell(label, dataset))
    row = scores.row(label)
    marks = _marks(evidence, scores, label, dataset)
    name = key(dataset, label, scores.quantity.name)
    return score_cell(row.scores.get(dataset), marks, "undefined" if dataset in row.undefined else "–", name)


def _caption(evidence: Evidence, scores: Board) -> list[str]:
    text = [
        scores.quantity.caption,
        "± is the sample standard deviation (n − 1) over folds.",
        "Bold: best of its family; ★: best of all; values that print alike share it.",
    ]
    if len(evidence.tracks) > 1:
        text.append(TRACKS)
    if len(evidence.datasets) > 1 and scores.averaged:
        missing = len(evidence.datasets) - len(scores.averaged)
        over = f"over {listed(evidence.dataset(label).title for label in scores.averaged)} only"
        text.append(f"Average: unweighted, {over if missing else 'over the datasets'}.")
    elif scores.shared and not scores.averaged:
        text.append("No average: the datasets' numbers have different units.")
    elif not scores.averaged:
        text.append("No ranking and no average: no two models have the same finished folds of a dataset.")
    text += _incomplete(evidence, scores)
    text += _unranked(evidence, scores)
    if any(len(chosen_rates(cell)) > 0 for cell in evidence.cells.values()):
        text.append("Learning rate: as trained; where datasets differ, in the order of their columns.")
    return text


def _unranked(evidence: Evidence, scores: Board) -> list[str]:
    """Return who has no score at all, each with the true reason."""
    text = []
    if scores.waiting:
        waiting = listed((evidence.model(label).title for label in scores.waiting), 6)
        text.append(f"Not ranked, for {scores.quantity.awaited}: {waiting}.")
    for data in evidence.datasets:
        rows = [row for row in scores.rows if data.label in row.undefined]
        if rows:
            titles = listed((evidence.model(row.model).title for row in rows), 6)
            text.append(
                f"{data.title}: not ranked, for the score is undefined in each finished fold: {titles}."
            )
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
            f"{evidence.model(model).title} ({_folds(item)})"
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


def _folds(score: Score) -> str:
    undefined = f", undefined in {score.undefined}" if score.undefined else ""
    return f"{len(score.folds)} of {score.planned} folds{undefined}"


def _marks(evidence: Evidence, scores: Board, label: str, column: str) -> frozenset[Mark]:
    marks: set[Mark] = set()
    model = evidence.model(label)
    if label in scores.best(column, model.family, track=model.track):
        marks.add("family")
    if label in scores.best(column, track=model.track):
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
