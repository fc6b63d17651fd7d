"""The table of pairs: each model against the leaders, with all that is known of their difference."""

from __future__ import annotations

from dataclasses import dataclass

from bench_core.analysis.evidence import Evidence
from bench_core.analysis.inference.compare import Compared, Judged, Settings
from bench_core.analysis.inference.field import Field
from bench_core.metrics.scale import Scale
from bench_core.report import inference_words as words
from bench_core.report import names
from bench_core.report.keys import key, within
from bench_core.report.names import Footnotes, plural
from bench_core.report.tables import Cell, Column, Row, Table, quotes


@dataclass(frozen=True)
class Answer:
    """What is known of a dataset's models."""

    field: Field
    main: Judged
    second: Judged | None
    """The other view of the same images, where there is one."""
    said: str = ""
    """How titles go on: which pool and track it is of."""
    prefix: str = ""
    """What file names of tables begin with."""


def pairs_table(evidence: Evidence, answer: Answer, order: tuple[str, ...], footnotes: Footnotes) -> Table:
    """Return one row per model and leader: that of the dataset, then the best of each other family."""
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
        name=f"comparisons-{answer.prefix}{field.dataset}-{field.quantity.name}",
        title=f"{data.title}: differences in {words.view_title(field.quantity, judged.view)}, in "
        f"{scale.points}{lower}{answer.said} ({plural(field.images, 'image')}, "
        f"{plural(len(field.groups), 'group')})",
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
    name = f"{key(pair.dataset, label)}:{key(reference, answer.field.quantity.name)}"
    name = within(answer.prefix, name)
    verdict = words.verdict_text(pair, answer.main.settings)
    p, chance = words.p_text(pair.p_adjusted), words.chance(pair.p_false)
    cells = [
        _difference(pair, scale, name),
        Cell(p, raw, quotes=quotes(name, {"p": p})),
        Cell(verdict, (pair.verdict,), quotes=quotes(name, {"verdict": pair.verdict})),
        Cell(chance, (pair.p_false,), quotes=quotes(name, {"false-claim": chance})),
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


def _difference(pair: Compared, scale: Scale, name: str = "") -> Cell:
    if pair.difference != pair.difference:
        return Cell("undefined", (None, None, None, scale.unit))
    low, high = (pair.interval.low, pair.interval.high) if pair.interval else (None, None)
    values = (pair.difference, low, high, scale.unit)
    if not pair.difference and pair.estimate is not None and not pair.estimate.error:
        return Cell("0", values, small="(equal)", quotes=quotes(name, {"": "0"}))
    small = f"({words.interval_text(scale, pair.interval)})" if pair.interval else ""
    text = words.signed(scale, pair.difference)
    said: dict[str, str | None] = {"": text}
    if pair.interval is not None:
        said["interval"] = words.interval_text(scale, pair.interval)
        said |= {
            "low": words.signed(scale, pair.interval.low),
            "high": words.signed(scale, pair.interval.high),
        }
    return Cell(text, values, small=small, quotes=quotes(name, said))
