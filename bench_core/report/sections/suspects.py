"""Label suspects: images on which the models agree with each other and not with the label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench_core.analysis.evidence import DatasetFacts, Evidence
from bench_core.analysis.suspects import FEWEST_IMAGES, FEWEST_MODELS, Suspect, Suspects, suspects
from bench_core.analysis.wanted import wanted_images
from bench_core.errors import MissingDependencyError
from bench_core.report import comparing
from bench_core.report.blocks import Block, Callout, Comparison, Details, Prose, Section
from bench_core.report.colors import standing_out
from bench_core.report.names import listed, plural
from bench_core.report.tables import Cell, Column, Row, Table

TITLE = "Labels to look at again"
LEAD = (
    "Images on which the models, none of which was trained on them, agree with each other and not with the "
    "label. Such a label may be wrong, or the models may share an error: it is a list of images to look at."
)
WIDTHS = (256, 208, 176, 144, 120)
BUDGET = 900_000
"""Bytes of these pictures on the page."""


def section(evidence: Evidence, options: Mapping[str, Any]) -> Section:
    """Return, for each dataset, the images whose label stands apart most, with pictures if there are any."""
    count, most = int(options["count"]), int(options["pictures"])
    blocks: list[Block] = []
    without: list[str] = []
    told: dict[str, Any] = {}
    shown: list[tuple[DatasetFacts, Suspects]] = []
    for data in evidence.datasets:
        found = suspects(evidence, data.label, max(count, most), int(options["voters"]))
        if found is None or not (found.ranked or found.missed):
            without.append(data.title)
            continue
        titles = [evidence.model(label).title for label in found.voters]
        blocks.append(Prose((f"{_said(data, found)} Votes: {listed(titles)}.",)))
        tables = [_table(data, found.ranked[:count])] if found.ranked else []
        tables += [_missed(data, found, count)] if found.missed else []
        blocks += tables
        told[data.label] = _told(found, count)
        shown.append((data, found))
        if found.unread:
            blocks.append(Callout("note", f"{data.title}: without label maps of", found.unread))
    try:
        blocks += _pictures(evidence, shown, most)
    except MissingDependencyError as error:
        blocks.append(Callout("warning", error.message, code=error.fix or ""))
    if without:
        needs = f"No fold has label maps of {FEWEST_MODELS} models: {listed(without)}."
        blocks.append(Prose((needs,)))
    if not told and evidence.spec.analyses is None:
        blocks = []
    return Section("suspects", TITLE, tuple(blocks), LEAD, told)


def _said(data: DatasetFacts, found: Suspects) -> str:
    number = len(found.ranked)
    if number < FEWEST_IMAGES:
        text = f"{data.title}: of {plural(number, 'image')} none can be called unusual; they are ordered only"
    else:
        out = len(found.standing_out)
        verb = "stands" if out == 1 else "stand"
        text = f"{data.title}: {out or 'none'} of {number} labels {verb} apart from what the models agree on"
    if found.missed:
        text += f"; on {plural(len(found.missed), 'labelled image')} no model finds anything"
    return f"{text}."


def _table(data: DatasetFacts, rows: Sequence[Suspect]) -> Table:
    return Table(
        name=f"suspects-{data.label}",
        title=f"{data.title}: labels that stand apart most, Dice in percent",
        columns=(
            Column("image", "Image", numeric=False),
            Column("group", "Group", numeric=False),
            Column("fold", "Fold"),
            Column("score", "Score"),
            Column("agreement", "Agreement"),
            Column("with_label", "With label"),
            Column("label", "Label (px)"),
            Column("vote", "Majority (px)"),
            Column("models", "Models"),
            Column("unusual", "Unusual", numeric=False),
        ),
        rows=tuple(
            Row(
                (
                    Cell(row.id),
                    Cell(row.group),
                    Cell(str(row.fold), (row.fold,)),
                    _points(row.score),
                    _points(row.agreement),
                    _points(row.with_label),
                    Cell(str(row.label_pixels), (row.label_pixels,)),
                    Cell(str(row.vote_pixels), (row.vote_pixels,)),
                    Cell(str(row.models), (row.models,)),
                    Cell("yes" if row.stands_out else "no"),
                )
            )
            for row in rows
        ),
        caption="Score: agreement (Dice of two models, all pairs pooled) minus Dice of the models with the "
        "label. Unusual: further above the third quartile of all images than three interquartile ranges. "
        "Label and majority: foreground pixels.",
    )


def _missed(data: DatasetFacts, found: Suspects, count: int) -> Table:
    return Table(
        name=f"found-by-none-{data.label}",
        title=f"{data.title}: labelled, and found by no model",
        columns=(
            Column("image", "Image", numeric=False),
            Column("group", "Group", numeric=False),
            Column("fold", "Fold"),
            Column("label", "Label (px)"),
        ),
        rows=tuple(
            Row(
                (
                    Cell(row.id),
                    Cell(row.group),
                    Cell(str(row.fold), (row.fold,)),
                    Cell(str(row.label_pixels), (row.label_pixels,)),
                )
            )
            for row in found.missed[:count]
        ),
        caption="The largest label first. What no model sees may be wrong, or small and hard.",
    )


def _points(value: float) -> Cell:
    return Cell(f"{100 * value:.1f}".replace("-", "−"), (value,))


def _told(found: Suspects, count: int) -> dict[str, Any]:
    return {
        "voters": list(found.voters),
        "images": len(found.ranked) + len(found.missed),
        "unusual": len(found.standing_out),
        "ranked": [
            {
                "id": row.id,
                "group": row.group,
                "fold": row.fold,
                "score": row.score,
                "agreement": row.agreement,
                "with_label": row.with_label,
                "unusual": row.stands_out,
            }
            for row in found.ranked[:count]
        ],
        "found_by_none": [
            {"id": row.id, "group": row.group, "fold": row.fold, "label_pixels": row.label_pixels}
            for row in found.missed[:count]
        ],
    }


def _pictures(evidence: Evidence, shown: Sequence[tuple[DatasetFacts, Suspects]], most: int) -> list[Block]:
    """Return image, label and majority vote of the first ones of which a result keeps a picture."""
    found = []
    for data, item in shown if most else ():
        images = wanted_images(evidence, data.label, dict.fromkeys(item.votes, ()))
        rows = [row for row in item.ranked if row.id in images][:most]
        rows = [row for row in rows if images[row.id].mask.shape == item.votes[row.id].shape]
        if rows:
            found.append((data, item, images, rows))
    blocks: list[Block] = []
    for width in WIDTHS:
        blocks, size = [], 0
        for data, item, images, rows in found:
            colors = standing_out([images[row.id].image for row in rows])
            drawn = [
                comparing.compared(
                    evidence,
                    images[row.id],
                    {},
                    colors,
                    width,
                    title=f"score {100 * row.score:.1f}".replace("-", "−"),
                    detail=f"{row.id}, fold {row.fold}",
                    key=comparing.image_key(evidence, data.label, row.id),
                    votes=[("majority vote", f"agreement {100 * row.agreement:.1f} %", item.votes[row.id])],
                )
                for row in rows
            ]
            size += sum(map(comparing.size, drawn))
            keys = comparing.legend(data, colors)
            comparison = Comparison(f"suspects-{len(blocks)}", tuple(drawn), keys)
            blocks.append(Details(f"{data.title}: pictures", (comparison,), open=True))
        if size <= BUDGET:
            break
    return blocks
