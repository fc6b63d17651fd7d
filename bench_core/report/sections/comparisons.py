"""Which differences are real: every model against the leader, with interval, test and the word for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from bench_core.analysis.evidence import Evidence
from bench_core.analysis.inference.compare import Compared, Settings, judge
from bench_core.analysis.inference.detection import detection
from bench_core.analysis.inference.distributions import scipy_part
from bench_core.analysis.inference.field import Field, field_of
from bench_core.analysis.inference.paired import View
from bench_core.analysis.inference.power import Aim
from bench_core.analysis.quantities import Quantity, quantity
from bench_core.analysis.scores import board
from bench_core.errors import MissingDependencyError
from bench_core.install import install_command
from bench_core.report import inference_words as words
from bench_core.report import names, svg
from bench_core.report.blocks import Block, Callout, Details, Figure, Key, Panel, Prose, Section
from bench_core.report.forestplot import ForestRow, forest_plot
from bench_core.report.names import Footnotes, listed, plural
from bench_core.report.sections.comparison_table import Answer, pairs_table
from bench_core.report.sections.intervals import intervals_table
from bench_core.report.sections.power_table import power_table

TITLE = "Which differences are real"
LEAD = (
    "The unit is the group (patient, session, cluster of duplicates, volume). Every pair of models of a "
    "dataset is tested and all p-values are corrected together; tables show the pairs with the leaders."
)


def section(evidence: Evidence, options: Mapping[str, Any]) -> Section:
    """Return a sentence, a forest plot, the pairs with the leaders and all intervals of each dataset."""
    try:
        scipy_part("special")
    except MissingDependencyError as error:
        note = Callout("note", f"{TITLE}: {error.message}.", code=install_command("report"))
        return Section("comparisons", TITLE, (note,))
    found = quantity(evidence, str(options["metric"]))
    scores = board(evidence, found)
    answers, without = [], []
    for data in evidence.datasets:
        field = field_of(evidence, scores, data.label, options["empty"])
        if field is None:
            without.append(data.title)
            continue
        answers.append(_answer(field, settings_of(found, data.label, options), options["view"]))
    if not answers:
        text = "No two models of one protocol have the same finished folds, so none are compared."
        return Section("comparisons", TITLE, (Prose((text,)),) if evidence.spec.analyses is not None else ())
    blocks: list[Block] = [Prose(tuple(_headline(evidence, answer) for answer in answers))]
    keys = tuple(Key(family, svg.marker_key(index)) for index, family in enumerate(evidence.families))
    panels = tuple(_panel(evidence, answer) for answer in answers)
    blocks.append(Figure(panels, keys, _figure_caption(found, answers[0].main.settings, answers[0])))
    footnotes = Footnotes(evidence)
    order = names.ordered(evidence, scores)
    blocks += [pairs_table(evidence, answer, order, footnotes) for answer in answers]
    blocks += _power(evidence, found, answers, float(options["detect"]))
    tables = tuple(intervals_table(evidence, answer.field, answer.main.settings, order) for answer in answers)
    blocks.append(Details("Each model's score with its interval", tables))
    notes = [text for answer in answers for text in _notes(evidence, answer)]
    if without:
        notes.append(f"Not compared, for no two models have the same finished folds: {listed(without)}.")
    if notes:
        blocks.append(Prose(tuple(notes)))
    return Section("comparisons", TITLE, tuple(blocks), LEAD)


def settings_of(found: Quantity, dataset: str, options: Mapping[str, Any]) -> Settings:
    """Return the settings of a dataset; the margin is given in points or in the metric's unit."""
    margin = float(options["margin"]) / found.scale(dataset).factor
    return Settings(margin, float(options["alpha"]), int(options["samples"]))


def _answer(field: Field, settings: Settings, wanted: View) -> Answer:
    views: tuple[View, View] = ("pooled", "images") if wanted == "pooled" else ("images", "pooled")
    found = [judged for view in views if (judged := judge(field, view, settings)) is not None]
    return Answer(field, found[0], found[1] if len(found) > 1 else None)


def _power(evidence: Evidence, found: Quantity, answers: list[Answer], wanted: float) -> list[Block]:
    """Return a sentence and a row on each dataset whose spread is known."""
    known, said = [], []
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
        power_table(evidence, found, known, words.view_title(found, answers[0].main.view)),
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
    text = f"{data}: in {what}, {leader}, the leader of the study's table, {listed(parts)}"
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


def _notes(evidence: Evidence, answer: Answer) -> list[str]:
    field = answer.field
    title = evidence.dataset(field.dataset).title
    notes = [
        f"{title}: {evidence.model(label).title} is not compared, for {reason}."
        for label, reason in field.apart.items()
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
