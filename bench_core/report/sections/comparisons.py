"""Which differences are real: every model against the leader, with interval, test and the word for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bench_core.analysis.evidence import Evidence
from bench_core.analysis.inference.compare import Compared, Judged, Settings, judge
from bench_core.analysis.inference.distributions import scipy_part
from bench_core.analysis.inference.field import Field, field_of
from bench_core.analysis.inference.paired import View
from bench_core.analysis.inference.verdicts import FEWEST_GROUPS
from bench_core.analysis.quantities import Quantity, quantity
from bench_core.analysis.scores import board
from bench_core.errors import MissingDependencyError
from bench_core.install import install_command
from bench_core.metrics.scale import Scale
from bench_core.report import inference_words as words
from bench_core.report import names, svg
from bench_core.report.blocks import Block, Callout, Details, Figure, Key, Panel, Prose, Section
from bench_core.report.forestplot import ForestRow, forest_plot
from bench_core.report.names import Footnotes, listed, plural
from bench_core.report.sections.intervals import intervals_table
from bench_core.report.tables import Cell, Column, Row, Table

TITLE = "Which differences are real"
LEAD = (
    "The unit is the group (patient, session, cluster of duplicates, volume). Every pair of models of a "
    "dataset is tested and all p-values are corrected together; tables show the pairs with the leaders."
)


@dataclass(frozen=True)
class Answer:
    """What is known of a dataset's models."""

    field: Field
    main: Judged
    second: Judged | None
    """The other view of the same images, where there is one."""


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
    blocks: list[Block] = [Prose(tuple(_headline(evidence, answer) for answer in answers), strong=True)]
    keys = tuple(Key(family, svg.marker_key(index)) for index, family in enumerate(evidence.families))
    panels = tuple(_panel(evidence, answer) for answer in answers)
    blocks.append(Figure(panels, keys, _figure_caption(found, answers[0].main.settings, answers[0])))
    footnotes = Footnotes(evidence)
    order = names.ordered(evidence, scores)
    blocks += [_table(evidence, answer, order, footnotes) for answer in answers]
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


def _headline(evidence: Evidence, answer: Answer) -> str:
    field, judged = answer.field, answer.main
    data, leader = evidence.dataset(field.dataset).title, evidence.model(field.leader).title
    others = [judged.pair(label, field.leader) for label in field.models if label != field.leader]
    what = words.view_title(field.quantity, judged.view)
    if len(field.groups) < FEWEST_GROUPS:
        return (
            f"{data}: nothing is concluded, for {plural(len(field.groups), 'group')} cannot carry it "
            f"(at least {FEWEST_GROUPS})."
        )
    scale = field.quantity.scale(field.dataset)
    better = [pair for pair in others if pair.verdict == "different" and _behind(field, pair)]
    worse = [pair for pair in others if pair.verdict == "different" and not _behind(field, pair)]
    parts = [f"is shown to be better than {len(better)} of {plural(len(others), 'model')}"]
    parts += [f"worse than {len(worse)}"] if worse else []
    equal = sum(pair.verdict == "equivalent" for pair in others)
    parts += [f"equivalent to {equal} (±{words.margin_text(scale, judged.settings)})"] if equal else []
    text = f"{data}: in {what}, {leader}, the leader of the study's table, {listed(parts)}"
    open_ = [pair for pair in others if pair.verdict in ("no difference shown", "cannot be judged")]
    text += f"; to {len(open_)} no difference is shown." if open_ else "."
    second = min(others, key=lambda pair: -scale.gain(pair.difference, 0.0))
    if second.p_false is not None and _behind(field, second):
        rival = evidence.model(second.model).title
        gap = words.signed(scale, abs(second.difference)).lstrip("+")
        text += (
            f" Its lead over {rival}, {gap} {scale.points}, is false with a probability of "
            f"{words.chance(second.p_false)}."
        )
    return text


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


def _table(evidence: Evidence, answer: Answer, order: tuple[str, ...], footnotes: Footnotes) -> Table:
    field, judged = answer.field, answer.main
    data, scale = evidence.dataset(field.dataset), field.quantity.scale(field.dataset)
    references = {field.leader: "the leader"}
    for family, label in field.family_leaders.items():
        if label != field.leader:
            references[label] = f"the best {family} model"
    rows = []
    for reference, role in references.items():
        group = f"minus {evidence.model(reference).title}, {role}"
        for label in order:
            same = role == "the leader" or field.families.get(label) == field.families[reference]
            if label in field.models and label != reference and same:
                first = Cell(evidence.model(label).title, (label, reference), notes=footnotes.model(label))
                cells = _cells(answer, label, reference)
                rows.append(Row((first, *cells), group))
    settings = judged.settings
    lower = ", lower is better" if scale.better == "lower" else ""
    columns: tuple[Column, ...] = (
        Column("model", "Model", ("", "reference"), numeric=False),
        Column("difference", "Difference", ("mean", "low", "high", "unit")),
        Column("p", "p", ("holm", "raw", "equivalent_holm", "equivalent_raw")),
        Column("verdict", "Verdict", numeric=False),
        Column("false_claim", "False claim"),
        Column("effect", "Effect", ("d", "improvement")),
        Column("folds", "p over folds", ("p", "mean")),
    )
    if answer.second is not None:
        other = words.view_title(field.quantity, answer.second.view)
        columns += (Column("other_view", other[:1].upper() + other[1:], ("mean", "low", "high", "p_holm")),)
    return Table(
        name=f"comparisons-{field.dataset}-{field.quantity.name}",
        title=f"{data.title}: differences in {words.view_title(field.quantity, judged.view)}, in "
        f"{scale.points}{lower} ({plural(field.images, 'image')}, {plural(len(field.groups), 'group')})",
        columns=columns,
        rows=tuple(rows),
        caption=_caption(field, judged, scale, settings),
        notes=names.notes_of(footnotes, rows),
    )


def _caption(field: Field, judged: Judged, scale: Scale, settings: Settings) -> str:
    pairs = next(iter(judged.pairs.values())).pairs
    what = (
        "Pooled: the counts of all test images of all folds together, one division."
        if judged.view == "pooled"
        else "The mean over the test images of all folds that both models have a score of."
    )
    return (
        f"{what} Difference with its {words.confidence(settings)} interval (bootstrap over groups, "
        f"{settings.samples:,} resamples). p: exchange permutation test over groups, corrected for "
        f"{plural(pairs, 'pair')} of models (Holm). Verdict at {settings.alpha:g}: equivalent means within "
        f"±{words.margin_text(scale, settings)} by two one-sided tests; no difference shown means neither. "
        "False claim: probability that the model that is ahead is not better, for this pair alone. Effect: "
        "Cohen's d of groups, and the share of groups in which the model is better. p over folds: corrected "
        "resampled t-test, uncorrected for the number of pairs. Nothing here tells how a new training would "
        "come out, but p over folds does in part."
    )


def _cells(answer: Answer, label: str, reference: str) -> tuple[Cell, ...]:
    pair = answer.main.pair(label, reference)
    scale = answer.field.quantity.scale(pair.dataset)
    found = pair.estimate
    raw = (pair.p_adjusted, pair.p, pair.p_equivalent_adjusted, pair.p_equivalent)
    d = found.effect if found is not None and found.effect == found.effect else None
    share = pair.improvement if pair.improvement == pair.improvement else None
    folds = pair.folds
    cells = [
        _difference(pair, scale),
        Cell(words.p_text(pair.p_adjusted), raw),
        Cell(words.verdict_text(pair, answer.main.settings), (pair.verdict,)),
        Cell(words.chance(pair.p_false), (pair.p_false,)),
        Cell(
            f"{d:+.2f}".replace("-", "−") if d is not None else "–",
            (d, share),
            small=f"({100 * share:.0f} %)" if share is not None else "",
        ),
        Cell(words.p_text(folds.p), (folds.p, folds.mean)) if folds else Cell("–", (None, None)),
    ]
    if answer.second is not None:
        other = answer.second.pair(label, reference)
        shown = _difference(other, scale)
        cells.append(Cell(shown.text, (*shown.values[:3], other.p_adjusted), small=_other(other)))
    return tuple(cells)


def _other(pair: Compared) -> str:
    said = "not tested" if pair.p_adjusted is None else words.p_said(pair.p_adjusted)
    return f"({said}; {pair.left_out} undefined)" if pair.left_out else f"({said})"


def _difference(pair: Compared, scale: Scale) -> Cell:
    if pair.difference != pair.difference:
        return Cell("undefined", (None, None, None, scale.unit))
    low, high = (pair.interval.low, pair.interval.high) if pair.interval else (None, None)
    values = (pair.difference, low, high, scale.unit)
    if not pair.difference and pair.estimate is not None and not pair.estimate.error:
        return Cell("0", values, small="(equal)")
    small = f"({words.interval_text(scale, pair.interval)})" if pair.interval else ""
    return Cell(words.signed(scale, pair.difference), values, small=small)


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
