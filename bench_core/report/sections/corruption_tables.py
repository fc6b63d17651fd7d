"""Tables of what networks lose under corruptions: in all, by kind, and at every severity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench_core.analysis.corrupted import CorruptionSet
from bench_core.analysis.evidence import Evidence
from bench_core.analysis.inference.compare import Settings
from bench_core.analysis.inference.degraded import Degraded, Loss, Orders
from bench_core.analysis.inference.moved import MovedScore
from bench_core.declarations import Metric
from bench_core.metrics.corrupted import by_kind
from bench_core.metrics.scale import Scale, scale_of
from bench_core.report import inference_words as words
from bench_core.report import names
from bench_core.report.names import Footnotes, group_of, listed, plural
from bench_core.report.tables import Cell, Column, Row, Table

_ABBREVIATED = ("jpeg",)
_FOLDS, _LOST = ("mean", "std", "folds", "planned"), ("value", "low", "high")


def summary_table(
    evidence: Evidence,
    found: CorruptionSet,
    losses: Mapping[str, Degraded],
    labels: Sequence[str],
    kept: Orders | None,
    metric: Metric,
    settings: Settings,
    footnotes: Footnotes,
) -> Table:
    """Return one row per model: clean score, mean loss, the kind that costs most, and both ranks."""
    scale, title = scale_of(metric), evidence.dataset(found.dataset).title
    rows = []
    for label in labels:
        mine = losses[label]
        cells = (
            Cell(evidence.model(label).title, (label,), notes=footnotes.model(label)),
            _score(mine.clean, found.planned[label], scale),
            lost_cell(mine.overall),
            _worst(mine),
            _ranks(kept, label),
        )
        rows.append(Row(cells, group_of(evidence, label)))
    fold = next(iter(found.models[labels[0]].values()))
    severities = sorted({severity for _, severity in found.conditions if severity})
    return Table(
        name=f"corruption-{found.step}-{found.dataset}",
        title=f"Under corruptions, {title}: micro {metric.title} in {scale.words}, and what is lost of it",
        columns=(
            Column("model", "Model", numeric=False),
            Column("clean", "Clean", _FOLDS),
            Column("lost", "Lost (% of clean)", _LOST),
            Column("worst", "Worst kind", ("kind", "value")),
            Column("rank", "Rank", ("clean", "corrupted")),
        ),
        rows=tuple(rows),
        caption=f"{plural(len(by_kind(found.conditions)), 'kind')} of corruption at "
        f"{'severity' if len(severities) == 1 else 'severities'} {listed(map(str, severities))} of 5, drawn "
        f"on every test image ({len(fold.clean.ids)} in the first fold). Lost: 1 − corrupted / clean, of "
        "means over folds, the mean over severities and then over kinds; below zero where the score is "
        f"better. In brackets: {words.confidence(settings)} intervals, bootstrap over groups of images with "
        "all their conditions, for these networks; none where groups are too few. Rank: clean → mean over "
        "kinds.",
        notes=names.notes_of(footnotes, rows),
    )


def kinds_table(
    evidence: Evidence,
    found: CorruptionSet,
    losses: Mapping[str, Degraded],
    labels: Sequence[str],
    metric: Metric,
    settings: Settings,
) -> Table:
    """Return what each model loses under each kind, as the mean over its severities."""
    kinds = list(by_kind(found.conditions))
    rows = _lost_rows(evidence, {label: [losses[label].kinds[kind] for kind in kinds] for label in labels})
    return Table(
        name=f"corruption-kinds-{found.step}-{found.dataset}",
        title=f"Lost by kind of corruption, {evidence.dataset(found.dataset).title}: micro {metric.title}, "
        "percent of the clean score",
        columns=(
            Column("model", "Model", numeric=False),
            *(Column(f"kind-{kind}", words_of(kind), _LOST) for kind in kinds),
        ),
        rows=rows,
        caption=f"Mean over severities, with {words.confidence(settings)} intervals; as above.",
    )


def _lost_rows(evidence: Evidence, lost: Mapping[str, Sequence[Loss]]) -> tuple[Row, ...]:
    """Return one row per model: its name and its losses."""
    return tuple(
        Row((Cell(evidence.model(label).title, (label,)), *map(lost_cell, mine)), group_of(evidence, label))
        for label, mine in lost.items()
    )


def classes_table(
    evidence: Evidence,
    found: CorruptionSet,
    losses: Mapping[str, Degraded],
    labels: Sequence[str],
    metric: Metric,
    settings: Settings,
) -> Table:
    """Return what each model loses of each class, as the mean over kinds of that over severities."""
    names_of = list(losses[labels[0]].classes)
    lost = {label: [losses[label].classes[name] for name in names_of] for label in labels}
    rows = _lost_rows(evidence, lost)
    return Table(
        name=f"corruption-classes-{found.step}-{found.dataset}",
        title=f"Lost by class, {evidence.dataset(found.dataset).title}: {metric.of_class}, percent of the "
        "clean score",
        columns=(
            Column("model", "Model", numeric=False),
            *(Column(f"class{place}", name, _LOST) for place, name in enumerate(names_of)),
        ),
        rows=rows,
        caption=f"Mean over severities, then kinds, with {words.confidence(settings)} intervals; as above.",
    )


def severities_table(
    evidence: Evidence,
    found: CorruptionSet,
    losses: Mapping[str, Degraded],
    labels: Sequence[str],
    metric: Metric,
    settings: Settings,
) -> Table:
    """Return one row per kind and model: score and loss at each severity."""
    scale = scale_of(metric)
    severities = sorted({severity for _, severity in found.conditions if severity})
    rows = []
    for kind, mine in by_kind(found.conditions).items():
        for label in labels:
            cells = [Cell(words_of(kind), (kind,)), Cell(evidence.model(label).title, (label,))]
            for severity in severities:
                if severity not in mine:
                    cells += [Cell("–", (None,) * 4), Cell("–", (None,) * 3)]
                    continue
                cells.append(_score(losses[label].scores[kind, severity], found.planned[label], scale))
                cells.append(lost_cell(losses[label].lost[kind, severity]))
            rows.append(Row(tuple(cells)))
    columns = [Column("kind", "Kind", numeric=False), Column("model", "Model", numeric=False)]
    for severity in severities:
        columns += [
            Column(f"score{severity}", f"Severity {severity}", _FOLDS),
            Column(f"lost{severity}", f"Lost at {severity} (%)", _LOST),
        ]
    return Table(
        name=f"corruption-severities-{found.step}-{found.dataset}",
        title=f"Every severity, {evidence.dataset(found.dataset).title}: micro {metric.title} in "
        f"{scale.words}, and what is lost of the clean score",
        columns=tuple(columns),
        rows=tuple(rows),
        caption=f"Mean ± standard deviation over folds; lost with {words.confidence(settings)} intervals.",
    )


def words_of(kind: str) -> str:
    """Return a kind as headings print it: Motion blur, JPEG."""
    return kind.upper() if kind in _ABBREVIATED else kind.replace("-", " ").capitalize()


def within(kind: str) -> str:
    """Return a kind as sentences have it: motion blur, JPEG."""
    return kind.upper() if kind in _ABBREVIATED else kind.replace("-", " ")


def lost_cell(loss: Loss) -> Cell:
    """Return a share of the clean score in percent, with its interval."""
    if loss.value != loss.value:
        return Cell("undefined", (None, None, None))
    text = _percent(loss.value)
    if loss.interval is None:
        return Cell(text, (loss.value, None, None))
    low, high = loss.interval.low, loss.interval.high
    return Cell(text, (loss.value, low, high), small=f"({_percent(low)} to {_percent(high)})")


def _percent(share: float) -> str:
    text = f"{100 * share:.1f}"
    return ("0.0" if text == "-0.0" else text).replace("-", "−")


def _score(score: MovedScore, planned: int, scale: Scale) -> Cell:
    number = len(score.folds)
    if score.mean != score.mean:
        return Cell("undefined", (None, None, number, planned))
    part = [f"± {scale.text(score.std)}"] if score.std is not None else []
    part += [f"({number}/{planned})"] if number < planned else []
    return Cell(scale.text(score.mean), (score.mean, score.std, number, planned), small=" ".join(part))


def _worst(model: Degraded) -> Cell:
    known = {kind: loss.value for kind, loss in model.kinds.items() if loss.value == loss.value}
    if not known:
        return Cell("–", (None, None))
    kind = max(known, key=lambda name: known[name])
    return Cell(within(kind), (kind, known[kind]), small=_percent(known[kind]))


def _ranks(kept: Orders | None, label: str) -> Cell:
    if kept is None or label not in kept.models:
        return Cell("–", (None, None))
    place = kept.models.index(label)
    clean, corrupted = float(kept.clean[place]), float(kept.overall[place])
    return Cell(f"{clean:g} → {corrupted:g}", (clean, corrupted))
