"""Each model's score on a dataset with its interval, by class and over images, and what it varies with."""

from __future__ import annotations

from statistics import stdev

from bench_core.analysis.evidence import Evidence
from bench_core.analysis.inference.cells import CellIntervals, Measure, intervals
from bench_core.metrics.scale import Scale
from bench_core.report import inference_words as words
from bench_core.report.keys import key, within
from bench_core.report.names import plural
from bench_core.report.sections.comparison_table import Answer
from bench_core.report.tables import Cell, Column, Row, Table, quotes

_FIELDS = ("value", "low", "high")


def intervals_table(evidence: Evidence, answer: Answer, order: tuple[str, ...]) -> Table:
    """Return one row per model."""
    field, settings = answer.field, answer.main.settings
    data, scale = evidence.dataset(field.dataset), field.quantity.scale(field.dataset)
    found = {row.model: row for row in intervals(field, settings)}
    first = next(iter(found.values()))
    classes = tuple(first.classes) if len(first.classes) > 1 else ()
    repeats = any(row.components is not None for row in found.values())
    rows = []
    for label in order:
        if label in found:
            row, scores = found[label], list(field.models[label].folds.values())
            name = within(answer.prefix, key(data.label, label, field.quantity.name))
            cells = [
                Cell(evidence.model(label).title, (label,)),
                _folds(row, stdev(scores) if len(scores) > 1 else None, scale),
                *([_measure(row.pooled, scale, f"{name}/pooled")] if row.pooled is not None else []),
                *(
                    _measure(row.classes[part], scale, f"{name}/pooled/{key('class', part)}")
                    for part in classes
                ),
                _measure(row.images, scale, f"{name}/images", row.undefined),
            ]
            rows.append(Row((*cells, *([_components(row, scale)] if repeats else [])), field.families[label]))
    columns = [
        Column("model", "Model", numeric=False),
        Column("folds", "Mean of folds", ("mean", "std")),
        *([Column("pooled", "Pooled", _FIELDS)] if first.pooled is not None else []),
        *(Column(f"class{place}", name, _FIELDS) for place, name in enumerate(classes)),
        Column("images", "Mean of images", (*_FIELDS, "undefined")),
        *([Column("std", "Std of folds, of repeats", ("folds", "repeats"))] if repeats else []),
    ]
    return Table(
        name=f"intervals-{answer.prefix}{field.dataset}-{field.quantity.name}",
        title=f"{data.title}: {field.quantity.metric.title}{field.quantity.suffix} in {scale.words}, with "
        f"{words.confidence(settings)} intervals{answer.said} ({plural(field.images, 'image')}, "
        f"{plural(len(field.groups), 'group')})",
        columns=tuple(columns),
        rows=tuple(rows),
        caption="Mean of folds ± standard deviation over folds, as in the study's table; the other columns "
        "take the test images of all folds together. Intervals: bootstrap over groups; – where groups "
        "are too few. They hold for these trained networks on other images of this kind."
        + (
            " Std of folds, of repeats: variance components; repeats change initial weights and the order of "
            "samples only."
            if repeats
            else ""
        ),
    )


def _folds(row: CellIntervals, std: float | None, scale: Scale) -> Cell:
    small = f"± {words.level(scale, std)}" if std is not None else ""
    return Cell(words.level(scale, row.folds), (row.folds, std), small=small)


def _measure(found: Measure, scale: Scale, name: str, undefined: int | None = None) -> Cell:
    more = () if undefined is None else (undefined,)
    if found.value != found.value:
        return Cell("undefined", (None, None, None, *more))
    low, high, ends = None, None, "–"
    text = words.level(scale, found.value)
    said: dict[str, str | None] = {"": text}
    if found.interval is not None:
        low, high = found.interval.low, found.interval.high
        said |= {"low": words.level(scale, low), "high": words.level(scale, high)}
        ends = said["interval"] = f"{said['low']} to {said['high']}"
    small = f"({ends}), {undefined} undefined" if undefined else f"({ends})"
    return Cell(text, (found.value, low, high, *more), small=small, quotes=quotes(name, said))


def _components(row: CellIntervals, scale: Scale) -> Cell:
    found = row.components
    if found is None:
        return Cell("–", (None, None))
    text = f"{words.level(scale, found.folds)}, {words.level(scale, found.repeats)}"
    return Cell(text, (found.folds, found.repeats))
