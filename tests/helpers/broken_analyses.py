"""Parts of a report that are right, and many that break one property each; a plugin file."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bench_core import Analysis, Option, hookimpl
from bench_core.analysis.evidence import Evidence
from bench_core.metrics.counts import micro, per_image
from bench_core.report.blocks import Figure, Panel, Prose, Section
from bench_core.report.tables import Cell, Column, Row, Table

Options = Mapping[str, Any]
Make = Callable[[Evidence, Options], Any]
COLUMNS = (
    Column("job", "Job", numeric=False),
    Column("image", "Image", numeric=False),
    Column("dice", "Dice"),
)


def table(evidence: Evidence, name: str) -> Table:
    rows = []
    for fold in evidence.folds:
        for sample, dice in zip(fold.counts.ids, per_image(fold.counts.values)["mdsc"], strict=True):
            defined = dice == dice
            score = Cell(f"{100 * dice:.1f}", (float(dice),)) if defined else Cell("–", (None,))
            rows.append(Row((Cell(fold.job.name), Cell(sample), score)))
    return Table(name, "Images", COLUMNS, tuple(rows))


def right(evidence: Evidence, options: Options) -> Section:
    return Section(options["as"], "Images", (table(evidence, options["as"]),))


def fails(evidence: Evidence, options: Options) -> Section:
    raise KeyError("dice")


def no_section(evidence: Evidence, options: Options) -> Any:
    return table(evidence, "t")


def other_name(evidence: Evidence, options: Options) -> Section:
    return replace(right(evidence, options), name="images")


def short_row(evidence: Evidence, options: Options) -> Section:
    found = table(evidence, options["as"])
    last = found.rows[-1]
    rows = (*found.rows[:-1], replace(last, cells=last.cells[:2]))
    return Section(options["as"], "Images", (replace(found, rows=rows),))


def same_columns(evidence: Evidence, options: Options) -> Section:
    found = replace(table(evidence, options["as"]), columns=(COLUMNS[0], COLUMNS[0], COLUMNS[2]))
    return Section(options["as"], "Images", (found,))


def two_values(evidence: Evidence, options: Options) -> Section:
    found = table(evidence, options["as"])
    cells = (*found.rows[0].cells[:2], Cell("1", (1.0, 2.0)))
    rows = (replace(found.rows[0], cells=cells), *found.rows[1:])
    return Section(options["as"], "Images", (replace(found, rows=rows),))


def path_as_table(evidence: Evidence, options: Options) -> Section:
    return Section(options["as"], "Images", (table(evidence, "../images"),))


def not_a_block(evidence: Evidence, options: Options) -> Section:
    return Section(options["as"], "Images", ("a text",))  # type: ignore[arg-type]


def undefined(evidence: Evidence, options: Options) -> Section:
    row = Row((Cell("job"), Cell("image"), Cell("–", (float("nan"),))))
    return Section(options["as"], "Images", (Table(options["as"], "Images", COLUMNS, (row,)),))


def prints_time(evidence: Evidence, options: Options) -> Section:
    return Section(options["as"], "Images", (Prose((f"made at {time.time_ns()}",)),))


def writes_file(evidence: Evidence, options: Options) -> Section:
    Path("images.csv").write_text("job,image,dice")
    return right(evidence, options)


def writes_store(evidence: Evidence, options: Options) -> Section:
    if evidence.store is not None:
        (evidence.store.path / "images.json").write_text(str(time.time_ns()))
    return right(evidence, options)


def compares(evidence: Evidence, options: Options) -> Section:
    first, second = evidence.models
    return Section(options["as"], "Images", (Prose((f"{first.label} and {second.label}",)),))


def first_fold(evidence: Evidence, options: Options) -> Section:
    names = [cell.folds[0].job.name for cell in evidence.cells.values()]
    return Section(options["as"], "Images", (Prose(tuple(names)),))


def as_planned(evidence: Evidence, options: Options) -> Section:
    pairs = [
        f"{job.name}: {done.counts.ids[0]}"
        for cell in evidence.cells.values()
        for job, done in zip(cell.planned, cell.folds, strict=True)
    ]
    return Section(options["as"], "Images", (Prose(tuple(pairs)),))


def whole_only(evidence: Evidence, options: Options) -> Section:
    best = max(float(per_image(fold.counts.values)["mdsc"][0]) for fold in evidence.folds)
    return Section(options["as"], "Images", (Prose((f"{best:.2f}",)),))


def prints_nan(evidence: Evidence, options: Options) -> Section:
    scores = [micro(fold.counts.values)["mdsc"] for fold in evidence.folds]
    mean = sum(scores) / len(scores) if scores else float("nan")
    return Section(options["as"], "Images", (Prose((f"mean {mean:.3f}",)),))


def bare_chart(evidence: Evidence, options: Options) -> Section:
    names = [name for dataset in evidence.datasets for name in dataset.classes]
    svg = f'<svg xmlns="http://www.w3.org/2000/svg"><text>{names[0]}</text></svg>'
    return Section(options["as"], "Images", (Figure((Panel("Classes", svg),)),))


def loads(evidence: Evidence, options: Options) -> Section:
    svg = '<svg xmlns="http://www.w3.org/2000/svg"><image href="https://example.org/a.png"/></svg>'
    return Section(options["as"], "Images", (Figure((Panel("Classes", svg),)),))


def active(evidence: Evidence, options: Options) -> Section:
    svg = '<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"></svg>'
    return Section(options["as"], "Images", (Figure((Panel("Classes", svg),)),))


def half_option(evidence: Evidence, options: Options) -> Section:
    order = {"up": 1}[options["order"]]
    return Section(options["as"], "Images", (Prose((str(order),)),))


def hashes(evidence: Evidence, options: Options) -> Section:
    names = {"mdsc", "miou", "mrecall", "mprecision", "hd95", "nsd", "assd"}
    return Section(options["as"], "Images", (Prose((", ".join(names),)),))


@dataclass(frozen=True)
class Broken:
    """A broken part and the property that must name its fault."""

    name: str
    section: Make
    property: str
    changes: dict[str, Any] = field(default_factory=dict)


_ORDER = {"order": Option(type=str, default="up", choices=("up", "down"), help="of the rows")}
_TEXT = "names of others stay text"
BROKEN = (
    Broken("no-help", right, "the declaration is filled in", {"help": " "}),
    Broken("fails", fails, "it makes a section"),
    Broken("no-section", no_section, "it makes a section"),
    Broken("other-name", other_name, "it makes a section"),
    Broken("short-row", short_row, "rows fit their columns"),
    Broken("same-columns", same_columns, "rows fit their columns"),
    Broken("two-values", two_values, "rows fit their columns"),
    Broken("path-as-table", path_as_table, "every format is written"),
    Broken("not-a-block", not_a_block, "it makes a section"),
    Broken("undefined", undefined, "values are finite or none"),
    Broken("prints-time", prints_time, "the same results give the same bytes"),
    Broken("writes-file", writes_file, "nothing else is written"),
    Broken("writes-store", writes_store, "nothing else is written"),
    Broken("compares", compares, "one model is enough"),
    Broken("first-fold", first_fold, "a cell may be missing"),
    Broken("as-planned", as_planned, "a fold may be missing"),
    Broken("whole-only", whole_only, "nothing may be finished"),
    Broken("prints-nan", prints_nan, "nothing may be finished"),
    Broken("bare-chart", bare_chart, _TEXT),
    Broken("loads", loads, _TEXT),
    Broken("active", active, _TEXT),
    Broken("half-option", half_option, "each choice of its options works", {"options": _ORDER}),
    Broken("hashes", hashes, "another process makes the same"),
)


def _declared(name: str, section: Make, **changes: Any) -> Analysis:
    def named(evidence: Evidence, options: Options) -> Any:
        return section(evidence, {"as": name, **options})

    named.__wrapped__ = section  # type: ignore[attr-defined]
    return Analysis(**{"name": name, "help": "all images", "section": named, **changes})


@hookimpl
def bench_analyses() -> list[Analysis]:
    return [
        _declared("right", right),
        *(_declared(one.name, one.section, **one.changes) for one in BROKEN),
    ]
