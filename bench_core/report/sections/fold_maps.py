"""Whether the networks of all folds look at the same places: tables, a sentence and plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench_core.analysis.evidence import Evidence
from bench_core.analysis.inference.cells import Measure
from bench_core.analysis.inference.compare import Settings
from bench_core.analysis.over_folds import FoldNumbers, FoldSet, fold_numbers
from bench_core.metrics.map_tables import FOLD_NUMBERS, TRAINED, MapKind
from bench_core.report import inference_words as words
from bench_core.report.blocks import Block, Choice, Details, Prose
from bench_core.report.keys import key
from bench_core.report.names import listed, plural
from bench_core.report.tables import Cell, Column, Row, Table, quotes

WHO = {
    "none": "neither trained on it",
    "one": "one of two trained on it",
    "both": "both trained on it",
}
"""What every number of maps of several networks says of the image."""
TARGETS = {
    "predicted": "predicted pixels",
    "truth": "pixels of the mask",
    "voted": "pixels that the folds vote for",
}
_FIELDS = ("mean", "low", "high")


def blocks_of(
    evidence: Evidence, sets: Sequence[FoldSet], settings: Settings
) -> tuple[list[Block], list[dict[str, Any]]]:
    """Return a block for each set, and all numbers as plain data."""
    blocks: list[Block] = []
    data: list[dict[str, Any]] = []
    for number, found in enumerate(sets):
        rows = list(fold_numbers(evidence, found, settings))
        data += [_plain(found, row) for row in rows]
        blocks.append(_block(evidence, found, number, rows, settings))
    return blocks, data


def _block(
    evidence: Evidence, found: FoldSet, number: int, rows: Sequence[FoldNumbers], settings: Settings
) -> Details:
    kinds = dict.fromkeys((row.kind.method, row.kind.target) for row in rows)
    options: list[tuple[str, tuple[Block, ...]]] = []
    title = _title(evidence, found)
    for place, (method, target) in enumerate(kinds):
        mine = [row for row in rows if (row.kind.method, row.kind.target) == (method, target)]
        label = f"{TARGETS.get(target, target)}, {method}"
        name = f"fold-maps-{found.step}-{found.dataset}-{place}"
        table = fold_table(evidence, found, name, f"{title}, {label}: maps of several folds", mine, settings)
        options.append((label, (table,)))
    blocks: list[Block] = [Prose(said(evidence, found, rows))]
    if len(options) > 1:
        blocks.append(Choice(f"fold-maps-{number}", "Target and method", tuple(options)))
    else:
        blocks += [block for _, inner in options for block in inner]
    return Details(title, tuple(blocks), open=True)


def _title(evidence: Evidence, found: FoldSet) -> str:
    where = evidence.dataset(found.dataset).title
    if found.elsewhere is not None:
        there = {data.label: data.title for data in evidence.elsewhere}
        where = f"{where} to {there.get(found.elsewhere, found.elsewhere)}"
    return f"{where}: {found.step}, maps of the same images by all folds"


def said(evidence: Evidence, found: FoldSet, rows: Sequence[FoldNumbers]) -> tuple[str, ...]:
    """Return what is compared, by which networks, and where they agree most and least."""
    pairs = found.pairs()
    total = sum(pairs.values())
    if found.elsewhere is not None:
        who = "No network trained on any of them, and all explain the pixels that they vote for."
    else:
        shares = [f"in {count / total:.0%} {WHO[name]}" for name, count in pairs.items()]
        who = (
            "An image is tested by one fold, and the others' networks may have trained on it: of all pairs "
            f"of networks, {listed(shares)}. Maps of networks that trained on an image are not maps of an "
            "unseen one; their numbers stand apart."
        )
    texts = [f"Maps of {plural(found.images, 'image')} by the networks of all folds of each model. {who}"]
    waiting = [
        f"{evidence.model(label).title} ({len(mapped.jobs)}/{mapped.planned})"
        for label, mapped in found.models.items()
        if len(mapped.jobs) < mapped.planned
    ]
    if waiting:
        texts.append(f"Jobs are missing of {listed(waiting)}.")
    for trained in pairs:
        known = [
            row
            for row in rows
            if row.trained == trained and row.numbers["rank"].value == row.numbers["rank"].value
        ]
        if len(known) > 1:
            ordered = sorted(known, key=lambda row: row.numbers["rank"].value)
            low, high = ordered[0], ordered[-1]
            texts.append(
                f"Where {WHO[trained]}, maps are ordered most alike in {_named(evidence, high)} and least in "
                f"{_named(evidence, low)}."
            )
    return tuple(texts)


def _named(evidence: Evidence, row: FoldNumbers) -> str:
    return f"{evidence.model(row.model).title} {row.kind.layer} ({_text(row.numbers['rank'].value)})"


def fold_table(
    evidence: Evidence,
    found: FoldSet,
    name: str,
    title: str,
    rows: Sequence[FoldNumbers],
    settings: Settings,
) -> Table:
    """Return one row per model and layer, with columns for each kind of pairs of networks."""
    lines: dict[tuple[str, MapKind], dict[str, FoldNumbers]] = {}
    for row in rows:
        lines.setdefault((row.model, row.kind), {})[row.trained] = row
    known = [name for name in TRAINED if any(name in line for line in lines.values())]
    table_rows = []
    for (model, kind), line in lines.items():
        where = (found.step, found.dataset, model, kind.layer, kind.method, kind.target)
        cells = [Cell(evidence.model(model).title, (model,)), _layer(found, model, kind)]
        for trained in known:
            numbers = line[trained].numbers if trained in line else {}
            for column in ("rank", "overlap"):
                quoted = key("fold-maps", *where, trained, column)
                cells.append(_cell(numbers.get(column), quoted))
            cells.append(_cell(numbers.get("rank_least"), key("fold-maps", *where, trained, "least")))
        first = next(iter(line.values())).numbers
        cells.append(_cell(first["chance"], ""))
        silent = max((row.numbers["silent"].value for row in line.values()), default=0.0)
        cells.append(Cell(f"{100 * silent:.0f}", (silent,)))
        images = max(row.images for row in line.values())
        cells.append(Cell(str(images), (images,)))
        table_rows.append(Row(tuple(cells)))
    columns = [
        Column("model", "Model", numeric=False),
        Column("layer", "Layer", ("", "stride"), numeric=False),
    ]
    for trained in known:
        columns += [
            Column(f"rank_{trained}", f"Order, {WHO[trained]}", _FIELDS),
            Column(f"overlap_{trained}", f"Overlap, {WHO[trained]}", _FIELDS),
            Column(f"least_{trained}", f"Least order, {WHO[trained]}", _FIELDS),
        ]
    columns += [
        Column("chance", "Overlap by chance", _FIELDS),
        Column("silent", "Without a map (%)"),
        Column("images", "Images"),
    ]
    trained_there = (
        "No network trained on the images."
        if found.elsewhere is not None
        else "Headings say how many of two networks trained on the image: maps of networks that trained on "
        "it are not of an unseen image."
    )
    return Table(
        name=name,
        title=title,
        columns=tuple(columns),
        rows=tuple(table_rows),
        caption="Maps of the same image by two networks of one model, mean over pairs, images and classes "
        f"with {words.confidence(settings)} intervals over groups. {trained_there} Order: Spearman's "
        "correlation over all pixels. Overlap: intersection over union of as many of the largest pixels as "
        "are explained; by chance, of two maps that know nothing of each other. Least order: of an image's "
        "pairs, mean over images. Without a map: share of pairs of which a map is constant, at most.",
    )


def _layer(found: FoldSet, model: str, kind: MapKind) -> Cell:
    known = found.models[model].layers.get(kind.layer)
    note = "" if known is None or not known.note else f", {known.note}"
    return Cell(kind.layer, (kind.layer, kind.stride), small=f"stride {kind.stride:g}{note}")


def _cell(found: Measure | None, quoted: str) -> Cell:
    if found is None or found.value != found.value:
        return Cell("–", (None,) * len(_FIELDS))
    ends = (None, None) if found.interval is None else (found.interval.low, found.interval.high)
    texts = [_text(value) for value in ends if value is not None]
    small = " to ".join(texts)
    said_ends = dict(zip(("low", "high"), texts, strict=True)) if texts else {}
    text = _text(found.value)
    return Cell(text, (found.value, *ends), small=small, quotes=quotes(quoted, {"": text, **said_ends}))


def _text(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")


def _plain(found: FoldSet, row: FoldNumbers) -> dict[str, Any]:
    def of(measure: Measure) -> Mapping[str, float | None]:
        ends = (None, None) if measure.interval is None else (measure.interval.low, measure.interval.high)
        value = None if measure.value != measure.value else measure.value
        return {"mean": value, "low": ends[0], "high": ends[1]}

    return {
        "step": found.step,
        "dataset": found.dataset,
        "images_of": found.elsewhere or found.dataset,
        "model": row.model,
        "layer": row.kind.layer,
        "stride": row.kind.stride,
        "method": row.kind.method,
        "target": row.kind.target,
        "trained_on_image": row.trained,
        "images": row.images,
        **{name: of(row.numbers[name]) for name in FOLD_NUMBERS},
    }
