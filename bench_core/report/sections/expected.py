"""Ours beside what others have published: difference, interval, and where the two do not agree."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from typing import Any

from bench_core.analysis.evidence import Evidence
from bench_core.analysis.expected import Beside, Published, published
from bench_core.report import inference_words as words
from bench_core.report import names, svg
from bench_core.report.blocks import Block, Figure, Key, Panel, Prose, Section
from bench_core.report.forestplot import ForestRow, forest_plot
from bench_core.report.names import plural
from bench_core.report.sections.among import without_scipy
from bench_core.report.tables import Cell, Column, Row, Table

TITLE = "Against what is published"
LEAD = (
    "Theirs lies within where it would lie in 95 % of cases if their folds were more folds of ours. Outside "
    "it, something differs: the data, the training or the way of counting."
)


def section(evidence: Evidence, options: Mapping[str, Any]) -> Section:
    """Return a sentence, a plot and a table for each published table."""
    tables = evidence.spec.expected
    if not tables:
        text = "The spec does not say what is expected (`expected:`)."
        return Section("expected", TITLE, (Prose((text,)),) if evidence.spec.analyses is not None else ())
    note = without_scipy("expected", TITLE)
    if note is not None:
        return note
    alpha = float(options["alpha"])
    blocks: list[Block] = []
    used: set[str] = set()
    for table in tables:
        found = published(evidence, table, alpha)
        stem = f"expected-{found.quantity.name}" + ("" if table.of_class is None else "-class")
        names_of = (stem + (f"-{place + 1}" if place else "") for place in count())
        name = next(name for name in names_of if name not in used)
        used.add(name)
        blocks.append(Prose((_sentence(found, alpha),)))
        panels = tuple(panel for data in evidence.datasets for panel in _panel(evidence, found, data.label))
        if panels:
            keys = tuple(Key(family, svg.marker_key(index)) for index, family in enumerate(evidence.families))
            side = "right" if found.quantity.metric.better == "higher" else "left"
            caption = (
                f"Ours minus theirs, {_what(found)}; {side} of the line ours is better. The bar is where the "
                f"difference would lie with {100 * (1 - alpha):g} % if their folds were more folds of ours: "
                "it holds the line where the two agree."
            )
            blocks.append(Figure(panels, keys, caption))
        blocks.append(_table(evidence, found, name, alpha))
    return Section("expected", TITLE, tuple(blocks), LEAD.replace("95 %", f"{100 * (1 - alpha):g} %"))


def _what(found: Published) -> str:
    kind = found.quantity.class_title if found.table.of_class else found.quantity.title
    return f"{kind} of {found.table.of_class}" if found.table.of_class else kind


def _sentence(found: Published, alpha: float) -> str:
    told = [cell for cell in found.cells if cell.within is not None]
    inside = sum(cell.within is True for cell in told)
    text = f"{_what(found)}, {found.table.source}: "
    if not told:
        return f"{text}none of {plural(len(found.cells), 'published score')} has two folds of ours beside it."
    verb = "lies" if len(told) == 1 else "lie"
    text += f"{inside} of {plural(len(told), 'published score')} {verb} within our intervals"
    outside = len(told) - inside
    if outside:
        chance = alpha * len(told)
        text += f"; outside are {outside}, by chance alone about {chance:.2g} would be"
    missing = len(found.cells) - len(told)
    return f"{text}{f'; {missing} cannot be compared yet' if missing else ''}."


def _panel(evidence: Evidence, found: Published, dataset: str) -> list[Panel]:
    scale = found.quantity.scale(dataset)
    rows = []
    for cell in found.cells:
        if cell.dataset != dataset or cell.difference is None:
            continue
        low, high = _ends(cell)
        word = "no interval" if cell.within is None else "agrees" if cell.within else "does not agree"
        model = evidence.model(cell.model)
        series = names.family_series(evidence, cell.model)
        factor = scale.factor
        ends = (None, None) if low is None or high is None else (factor * low, factor * high)
        rows.append(ForestRow(model.title, series, factor * cell.difference, ends[0], ends[1], word))
    if not rows:
        return []
    title = evidence.dataset(dataset).title
    plot = forest_plot(f"Ours minus theirs on {title}", scale.points, rows, 0.0, words.digits(scale))
    return [Panel(title, plot)]


def _ends(cell: Beside) -> tuple[float | None, float | None]:
    """Return the interval of ours minus theirs."""
    if cell.interval is None:
        return None, None
    return cell.interval.low - cell.theirs, cell.interval.high - cell.theirs


def _table(evidence: Evidence, found: Published, name: str, alpha: float) -> Table:
    rows = []
    datasets = [data for data in evidence.datasets if any(cell.dataset == data.label for cell in found.cells)]
    for model in evidence.models:
        mine = {cell.dataset: cell for cell in found.cells if cell.model == model.label}
        if mine:
            cells = [_cell(found, mine.get(data.label)) for data in datasets]
            rows.append(
                Row((Cell(model.title, (model.label,)), *cells), names.group_of(evidence, model.label))
            )
    return Table(
        name=name,
        title=f"{_what(found)}: ours and what is published",
        columns=(
            Column("model", "Model", numeric=False),
            *(Column(d.label, d.title, _FIELDS) for d in datasets),
        ),
        rows=tuple(rows),
        caption=f"Theirs: {found.table.source}, mean ± standard deviation over "
        f"{plural(found.table.folds, 'fold')}. Ours, then theirs, and in brackets the difference. Within: "
        f"theirs lies within the {100 * (1 - alpha):g} % prediction interval of ours for the mean of as many "
        "folds, rounding allowed for. The interval takes folds for independent draws; those of one "
        "cross-validation share images, so that it is rather too wide.",
    )


_FIELDS = ("ours", "ours_std", "theirs", "theirs_std", "difference", "low", "high", "within", "unit")


def _cell(found: Published, cell: Beside | None) -> Cell:
    if cell is None:
        return Cell("–", (None,) * len(_FIELDS))
    scale = found.quantity.scale(cell.dataset)
    theirs = scale.text(cell.theirs)
    if cell.their_std is not None:
        theirs += f" ± {scale.text(cell.their_std)}"
    unit = scale.unit
    if cell.ours is None or cell.difference is None:
        return Cell(
            "–", (None, None, cell.theirs, cell.their_std, None, None, None, None, unit), small=theirs
        )
    low, high = (cell.interval.low, cell.interval.high) if cell.interval else (None, None)
    word = None if cell.within is None else "yes" if cell.within else "no"
    mark = {"yes": ", within", "no": ", outside"}.get(word or "", "")
    mine = (
        cell.ours.mean,
        cell.ours.std,
        cell.theirs,
        cell.their_std,
        cell.difference,
        low,
        high,
        word,
        unit,
    )
    part = "" if cell.ours.complete else f", {len(cell.ours.folds)} of {cell.ours.planned} folds"
    small = f"vs {theirs} ({words.signed(scale, cell.difference)}{mark}{part})"
    return Cell(scale.text(cell.ours.mean), mine, small=small)
