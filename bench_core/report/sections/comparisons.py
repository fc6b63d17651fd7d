"""Which differences are real: every model against the leader, with interval, test and the word for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from bench_core.analysis.evidence import Evidence
from bench_core.analysis.inference.compare import Compared, Settings
from bench_core.analysis.inference.detection import detection
from bench_core.analysis.inference.field import Field
from bench_core.analysis.inference.paired import View
from bench_core.analysis.inference.power import Aim
from bench_core.analysis.quantity import Quantity
from bench_core.report import inference_words as words
from bench_core.report import names, svg
from bench_core.report.blocks import Block, Details, Figure, Key, Panel, Prose, Section
from bench_core.report.forestplot import ForestRow, forest_plot
from bench_core.report.names import Footnotes, listed, plural
from bench_core.report.sections.among import Among, among, without_scipy
from bench_core.report.sections.comparison_table import Answer, pairs_table
from bench_core.report.sections.intervals import intervals_table
from bench_core.report.sections.power_table import power_table
from bench_core.report.sections.verdict_table import verdicts_table

TITLE = "Which differences are real"
LEAD = (
    "The unit is the group (patient, session, cluster of duplicates, volume). Every pair of models of a "
    "dataset is tested and all p-values are corrected together; tables show the pairs with the leaders."
)


def section(evidence: Evidence, options: Mapping[str, Any]) -> Section:
    """Return what is known of the pairs of each track of the pool."""
    note = without_scipy("comparisons", TITLE)
    if note is not None:
        return note
    blocks: list[Block] = []
    compared: set[tuple[str, str]] = set()
    groups = [(group, _answers(group, options)) for group in among(evidence, options)]
    for _, (answers, _) in groups:
        compared |= {(label, answer.field.dataset) for answer in answers for label in answer.field.models}
    for group, (answers, without) in groups:
        if answers:
            blocks += _of_group(evidence, group, answers, without, compared, float(options["detect"]))
    if not blocks:
        text = "No two models of one protocol have the same finished folds, so none are compared."
        return Section("comparisons", TITLE, (Prose((text,)),) if evidence.spec.analyses is not None else ())
    return Section("comparisons", TITLE, tuple(blocks), LEAD)


def _answers(group: Among, options: Mapping[str, Any]) -> tuple[list[Answer], list[str]]:
    """Return what is known of each dataset, and the titles of those without a pair."""
    answers, without = [], []
    for data in group.inside.datasets:
        field = group.known.field(data.label, group.track)
        if field is None:
            without.append(data.title)
            continue
        settings = settings_of(group.known.quantity, data.label, options)
        answers.append(_answer(group, field, settings, options["view"]))
    return answers, without


def _of_group(
    evidence: Evidence,
    group: Among,
    answers: list[Answer],
    without: list[str],
    compared: set[tuple[str, str]],
    detect: float,
) -> list[Block]:
    """Return a sentence, a forest plot, the pairs with the leaders and all intervals of each dataset."""
    found = group.known.quantity
    lines = [_headline(evidence, answer) for answer in answers]
    if group.said:
        lines = [f"{group.said[2:3].upper()}{group.said[3:]}: {line}" for line in lines]
    blocks: list[Block] = [Prose(tuple(lines))]
    keys = tuple(Key(family, svg.marker_key(index)) for index, family in enumerate(evidence.families))
    panels = tuple(_panel(evidence, answer) for answer in answers)
    blocks.append(Figure(panels, keys, _figure_caption(found, answers[0].main.settings, answers[0])))
    footnotes = Footnotes(evidence)
    order = names.ordered(group.inside, group.known.board)
    blocks += [pairs_table(evidence, answer, order, footnotes) for answer in answers]
    blocks.append(verdicts_table(evidence, answers))
    blocks += _power(evidence, group, answers, detect)
    tables = tuple(intervals_table(evidence, answer, order) for answer in answers)
    blocks.append(Details("Each model's score with its interval", tables))
    notes = [text for answer in answers for text in _notes(evidence, answer, compared)]
    if without:
        notes.append(f"Not compared, for no two models have the same finished folds: {listed(without)}.")
    if notes:
        blocks.append(Prose(tuple(notes)))
    return blocks


def settings_of(found: Quantity, dataset: str, options: Mapping[str, Any]) -> Settings:
    """Return the settings of a dataset; the margin is given in points or in the metric's unit."""
    margin = float(options["margin"]) / found.scale(dataset).factor
    return Settings(margin, float(options["alpha"]), int(options["samples"]))


def _answer(group: Among, field: Field, settings: Settings, wanted: View) -> Answer:
    views: tuple[View, View] = ("pooled", "images") if wanted == "pooled" else ("images", "pooled")
    asked = [group.known.judged(field.dataset, view, settings, group.track) for view in views]
    found = [judged for judged in asked if judged is not None]
    return Answer(field, found[0], found[1] if len(found) > 1 else None, group.said, group.prefix)


def _power(evidence: Evidence, group: Among, answers: list[Answer], wanted: float) -> list[Block]:
    """Return a sentence and a row on each dataset whose spread is known."""
    known, said = [], []
    found = group.known.quantity
    for answer in answers:
        field, settings = answer.field, answer.main.settings
        scale = found.scale(field.dataset)
        aim = Aim(len(answer.main.pairs), wanted / scale.factor, settings.alpha)
        item = detection(field, answer.main, aim)
        if item is None:
            continue
        known.append(item)
        said.append(f"{evidence.dataset(field.dataset).title}: {words.could_show(item, scale)}")
    if not known:
        return []
    return [
        Prose(tuple(said)),
        power_table(
            evidence, found, known, words.view_title(found, answers[0].main.view) + group.said, group.prefix
        ),
    ]


def _headline(evidence: Evidence, answer: Answer) -> str:
    field, judged = answer.field, answer.main
    data, leader = evidence.dataset(field.dataset).title, evidence.model(field.leader).title
    scale, settings = field.quantity.scale(field.dataset), judged.settings
    others = [judged.pair(label, field.leader) for label in field.models if label != field.leader]
    if all(pair.verdict == "cannot be judged" for pair in others):
        return f"{data}: nothing is concluded, for {words.why_not(others[0], settings)}."
    counted = Counter(pair.verdict for pair in others)
    ahead = sum(pair.verdict == "different" and _behind(field, pair) for pair in others)
    parts = [f"is shown to be better than {ahead} of {plural(len(others), 'model')}"]
    if counted["different"] > ahead:
        parts.append(f"is shown to be worse than {counted['different'] - ahead}")
    if counted["equivalent"]:
        parts.append(f"is equivalent to {counted['equivalent']} (±{words.margin_text(scale, settings)})")
    what = words.view_title(field.quantity, judged.view)
    table = "study's table" if not answer.said else "table of these models"
    text = f"{data}: in {what}, {leader}, the leader of the {table}, {listed(parts)}"
    if counted["no difference shown"]:
        text += f"; for {counted['no difference shown']} no difference is shown"
    if counted["cannot be judged"]:
        text += f"; {counted['cannot be judged']} cannot be judged"
    return f"{text}.{_lead(evidence, field, others)}"


def _lead(evidence: Evidence, field: Field, others: list[Compared]) -> str:
    """Return how sure the lead over the nearest model is; empty where the leader is not ahead of it."""
    scale = field.quantity.scale(field.dataset)
    known = [pair for pair in others if pair.p_false is not None]
    if not known:
        return ""
    second = max(known, key=lambda pair: scale.gain(pair.difference, 0.0))
    if not _behind(field, second):
        return ""
    gap = words.signed(scale, abs(second.difference)).lstrip("+")
    return (
        f" Its lead over {evidence.model(second.model).title}, {gap} {scale.points}, is false with a "
        f"probability of {words.chance(second.p_false)}."
    )


def _behind(field: Field, pair: Compared) -> bool:
    return field.quantity.scale(field.dataset).gain(pair.difference, 0.0) < 0


def _panel(evidence: Evidence, answer: Answer) -> Panel:
    field, judged = answer.field, answer.main
    scale = field.quantity.scale(field.dataset)
    order = sorted(
        (judged.pair(label, field.leader) for label in field.models if label != field.leader),
        key=lambda pair: scale.order(pair.difference) if pair.difference == pair.difference else 0.0,
    )
    rows = []
    for pair in order:
        if pair.difference != pair.difference:
            continue
        ends = (pair.interval.low, pair.interval.high) if pair.interval else (None, None)
        low, high = (None if end is None else scale.factor * end for end in ends)
        series = names.family_series(evidence, pair.model)
        title = evidence.model(pair.model).title
        rows.append(ForestRow(title, series, scale.factor * pair.difference, low, high, pair.verdict))
    data, leader = evidence.dataset(field.dataset).title, evidence.model(field.leader).title
    plot = forest_plot(
        f"Difference to {leader} on {data}",
        f"{scale.points} from {leader}",
        rows,
        scale.factor * judged.settings.margin,
        words.digits(scale),
    )
    return Panel(data, plot)


def _figure_caption(found: Quantity, settings: Settings, answer: Answer) -> str:
    scale = found.scale(answer.field.dataset)
    side = "left" if scale.better == "higher" else "right"
    return (
        f"Each model minus the dataset's leader, {words.view_title(found, answer.main.view)}, with the "
        f"{words.confidence(settings)} interval of the bootstrap over groups; {side} of the line the leader "
        f"is ahead. The band is the margin of ±{words.margin_text(scale, settings)}. Intervals are of one "
        "pair at a time; the verdicts in the tables are corrected for all pairs."
    )


def _notes(evidence: Evidence, answer: Answer, compared: set[tuple[str, str]]) -> list[str]:
    field = answer.field
    title = evidence.dataset(field.dataset).title
    notes = [
        f"{title}: {evidence.model(label).title} is not compared, for {reason}."
        for label, reason in field.apart.items()
        if (label, field.dataset) not in compared
    ]
    if len(field.groups) == field.images:
        notes.append(
            f"{title}: every image is a group of its own. If several are of one patient, intervals are too "
            "narrow."
        )
    if answer.second is not None:
        against = [
            evidence.model(label).title
            for label in field.models
            if label != field.leader
            and _contradict(answer.main.pair(label, field.leader), answer.second.pair(label, field.leader))
        ]
        if against:
            notes.append(
                f"{title}: pooled counts and means of images show opposite differences for {listed(against)}."
            )
    return notes


def _contradict(one: Compared, other: Compared) -> bool:
    shown = one.verdict == other.verdict == "different"
    return shown and one.difference * other.difference < 0
