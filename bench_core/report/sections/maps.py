"""Where networks look: heat maps in numbers, by model, class, layer, method and target, and as pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bench_core.analysis.evidence import Evidence
from bench_core.analysis.explained import (
    KindNumbers,
    MapSet,
    MoreNumbers,
    kind_numbers,
    map_sets,
    more_numbers,
)
from bench_core.analysis.inference.cells import Measure
from bench_core.analysis.inference.compare import Settings
from bench_core.analysis.over_folds import fold_sets
from bench_core.errors import MissingDependencyError
from bench_core.metrics.map_tables import (
    INTERVENTIONS,
    RANDOMIZATION,
    RESTATES,
    STABILITY,
    MapKind,
)
from bench_core.report.blocks import Block, Callout, Choice, Details, Figure, Panel, Prose, Section
from bench_core.report.depthplot import DepthSeries, LayerPoint, depth_plot
from bench_core.report.names import listed, plural
from bench_core.report.panels import heading, line_keys, panel_groups, series_index
from bench_core.report.sections import map_tables as tables
from bench_core.report.sections.fold_maps import blocks_of
from bench_core.report.sections.map_pictures import comparison

TITLE = "Where networks look"
LEAD = (
    "Heat maps of finished networks in numbers. A map of a layer near the output restates the prediction: it "
    "says what a network found, and not by what. Each number names its layer."
)
MEGABYTE = 1_000_000
_MOST_NAMED, _MOST_NOTES = 6, 4
_MORE = {
    INTERVENTIONS: "marked pixels are replaced",
    STABILITY: "the image is moved",
    RANDOMIZATION: "weights are shuffled",
}


def section(evidence: Evidence, options: Mapping[str, Any]) -> Section:
    """Return tables and figures of each step `grad-cam` and dataset; nothing where there is none."""
    settings = Settings(alpha=float(options["alpha"]), samples=int(options["samples"]))
    blocks: list[Block] = []
    sets = map_sets(evidence)
    for number, found in enumerate(sets):
        blocks.append(_of_set(evidence, found, number, settings))
    over_folds, numbers = blocks_of(evidence, fold_sets(evidence), settings)
    blocks += over_folds
    blocks += _pictures(evidence, sets, options)
    data = {"over_folds": numbers} if numbers else {}
    return Section("grad-cam", TITLE, tuple(blocks), LEAD if blocks else "", data)


def _of_set(evidence: Evidence, found: MapSet, number: int, settings: Settings) -> Details:
    rows, data = kind_numbers(evidence, found, settings), evidence.dataset(found.dataset)
    more = {record: more_numbers(evidence, found, record, settings) for record in _MORE}
    blocks: list[Block] = [Prose(_said(evidence, found, rows))]
    chosen = list(_choices(found, data.classes))
    options = []
    for place, (label, of_class, target, method) in enumerate(chosen):
        mine = [row for row in rows if _is(row.kind, of_class, target, method)]
        name = f"grad-cam-{found.step}-{found.dataset}-{place}"
        title = f"{data.title}, {found.step}, {label}"
        inner: list[Block] = [
            tables.numbers_table(evidence, found, name, f"{title}: numbers of maps", mine, settings)
        ]
        sweep = _sweep(evidence, title, mine)
        if sweep is not None:
            inner.append(sweep)
        options.append((label, tuple(inner)))
    if len(options) > 1:
        blocks.append(Choice(f"grad-cam-{number}", "Class, target and method", tuple(options)))
    else:
        blocks += [block for _, inner in options for block in inner]
    blocks += _further(evidence, found, number, more, settings)
    name = f"grad-cam-{found.step}-{found.dataset}-jobs"
    blocks.append(
        tables.jobs_table(evidence, found, name, f"{data.title}, {found.step}: jobs and their time")
    )
    forgotten = tables.unchanged(more[RANDOMIZATION])
    if forgotten:
        items = [
            f"{evidence.model(row.model).title}, {row.kind.layer} ({row.kind.method}, "
            f"{tables.TARGETS.get(row.kind.target, row.kind.target)})"
            for row in forgotten
        ]
        text = (
            "These maps stay what they are when all weights are shuffled: they do not show what was learned."
        )
        blocks.insert(1, Callout("warning", text, tuple(items)))
    return Details(f"{data.title}: {found.step}", tuple(blocks), open=True)


def _further(
    evidence: Evidence,
    found: MapSet,
    number: int,
    more: Mapping[str, Sequence[MoreNumbers]],
    settings: Settings,
) -> list[Block]:
    """Return the tables of what was asked of a few images, by target and method."""
    data = evidence.dataset(found.dataset)
    kinds = dict.fromkeys((row.kind.method, row.kind.target) for rows in more.values() for row in rows)
    options = []
    for place, (method, target) in enumerate(kinds):
        label = f"{tables.TARGETS.get(target, target)}, {method}"
        inner: list[Block] = []
        for record, words in _MORE.items():
            mine = [row for row in more[record] if (row.kind.method, row.kind.target) == (method, target)]
            if mine:
                name = f"grad-cam-{found.step}-{found.dataset}-{record}-{place}"
                title = f"{data.title}, {found.step}, {label}: {words}"
                inner.append(tables.more_table(evidence, record, name, title, mine, settings))
        options.append((label, tuple(inner)))
    if len(options) > 1:
        choice = Choice(f"grad-cam-more-{number}", "Target and method", tuple(options))
        return [Details("Pixels replaced, images moved, weights shuffled", (choice,))]
    return [Details("Pixels replaced, images moved, weights shuffled", inner) for _, inner in options]


def _pictures(evidence: Evidence, sets: Sequence[MapSet], options: Mapping[str, Any]) -> list[Block]:
    count, budget = int(options["pictures"]), int(options["megabytes"]) * MEGABYTE
    try:
        found = comparison(evidence, sets, count, budget) if count and budget else None
    except MissingDependencyError as error:
        # Tables do not need pictures, so they must not fail for want of them; the page says what it lacks.
        return [Callout("warning", error.message, code=error.fix or "")]
    if found is None:
        return []
    text = (
        "The same images for all models: those first of which most models have maps, then the worst. A map's "
        "colors go from 0 to its own largest value: they say where, and not how much."
    )
    return [Details("Maps side by side", (Prose((text,)), found), open=True)]


def _choices(found: MapSet, classes: Sequence[str]) -> Iterator[tuple[str, str, str, str]]:
    """Yield label, class, target and method of what is looked at one at a time."""
    kinds = dict.fromkeys(kind for mapped in found.models.values() for kind in mapped.kinds)
    seen = dict.fromkeys((kind.of_class, kind.target, kind.method) for kind in kinds)
    methods = list(dict.fromkeys(method for _, _, method in seen))
    targets = list(dict.fromkeys(target for _, target, _ in seen))
    for method in methods:
        for target in targets:
            for of_class in classes:
                if (of_class, target, method) in seen:
                    words = tables.TARGETS.get(target, target)
                    yield f"{of_class}, {words}, {method}", of_class, target, method


def _is(kind: MapKind, of_class: str, target: str, method: str) -> bool:
    return (kind.of_class, kind.target, kind.method) == (of_class, target, method)


def _said(evidence: Evidence, found: MapSet, rows: Sequence[KindNumbers]) -> tuple[str, ...]:
    images = {image for mapped in found.models.values() for table in mapped.tables for image in table.images}
    total = sum(row.maps for row in rows)
    usable = sum(row.statuses["ok"] for row in rows)
    texts = [
        f"{plural(total, 'map')} of {plural(len(images), 'image')}; {total - usable or 'none'} "
        f"{'is' if total - usable == 1 else 'are'} constant, not finite or without pixels of the class, "
        "and in "
        "no mean."
    ]
    waiting = [
        f"{evidence.model(label).title} ({len(mapped.jobs)}/{mapped.planned})"
        for label, mapped in found.models.items()
        if len(mapped.jobs) < mapped.planned
    ]
    if waiting:
        texts.append(f"Jobs are missing of {listed(waiting)}.")
    restating = dict.fromkeys(
        f"{evidence.model(row.model).title} {row.kind.layer}" for row in rows if row.restates
    )
    if restating:
        texts.append(
            f"Restate the prediction (correlation with the logits above {RESTATES:g}): "
            f"{listed(restating, _MOST_NAMED)}."
        )
    notes: dict[str, list[str]] = {}
    for label, mapped in found.models.items():
        for layer, known in mapped.layers.items():
            if known.note:
                notes.setdefault(known.note, []).append(f"{evidence.model(label).title} {layer}")
    texts += [
        f"{listed(layers, _MOST_NAMED)}: {note.rstrip('.')}."
        for note, layers in list(notes.items())[:_MOST_NOTES]
    ]
    return tuple(texts)


def _sweep(evidence: Evidence, title: str, rows: Sequence[KindNumbers]) -> Figure | None:
    """Return lift and correlation with the logits against depth; None where no model has two layers."""
    panels: list[Panel] = []
    shown: set[str] = set()
    for group, labels in panel_groups(evidence):
        mine = {label: [row for row in rows if row.model == label] for label in labels}
        mine = {label: found for label, found in mine.items() if _known(found) > 1}
        if not mine:
            continue
        shown.update(mine)
        for key, axis, line, ends in (
            ("lift", "energy lift", (1.0, "chance"), (0.0, None)),
            ("logits", "correlation with the logits", (RESTATES, "restates the prediction"), (-1.0, 1.0)),
        ):
            series = [
                DepthSeries(
                    evidence.model(label).title,
                    series_index(evidence, label),
                    tuple(_points(found, key)),
                )
                for label, found in mine.items()
            ]
            panel_title = heading(axis[0].upper() + axis[1:], group)
            panels.append(Panel(panel_title, depth_plot(f"{panel_title}, {title}", axis, series, line, ends)))
    if not panels:
        return None
    caption = (
        f"{title}. Each mark is a layer, from the input to the logits; its name is in the tooltip and in the "
        "table. Where the correlation is near 1, lift is that of the prediction."
    )
    return Figure(tuple(panels), line_keys(evidence, shown), caption)


def _known(rows: Sequence[KindNumbers]) -> int:
    """Return of how many layers there is anything to draw."""
    return sum(row.numbers["lift"].value == row.numbers["lift"].value for row in rows)


def _points(rows: Sequence[KindNumbers], key: str) -> Iterator[LayerPoint]:
    ordered = sorted(rows, key=lambda row: row.kind.depth)
    for place, row in enumerate(ordered):
        found: Measure = row.numbers[key]
        low, high = (found.interval.low, found.interval.high) if found.interval else (None, None)
        yield LayerPoint(row.kind.layer, place / (len(ordered) - 1), found.value, low, high)
