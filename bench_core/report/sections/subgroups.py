"""Subgroups: per-image scores by what is known of the samples, with how many images each mean stands on."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import fmean, stdev
from typing import Any

from bench_core.analysis.evidence import DatasetFacts, Evidence
from bench_core.analysis.quantities import Quantity, quantity
from bench_core.analysis.scores import board
from bench_core.analysis.subgroups import Subgroup, attributes, subgroups
from bench_core.report import names
from bench_core.report.blocks import Prose, Section
from bench_core.report.names import listed
from bench_core.report.tables import Cell, Column, Row, Table

TITLE = "Subgroups"


def section(evidence: Evidence, options: Mapping[str, Any]) -> Section:
    """Return one table per dataset and attribute: the mean over the test images of each value."""
    found = quantity(evidence, str(options["metric"]))
    order = names.ordered(evidence, board(evidence, found))
    wanted = [str(name) for name in options["attributes"]]
    tables, without = [], []
    for data in evidence.datasets:
        known = attributes(evidence, data.label)
        mine = [
            table
            for name in (wanted or known)
            if name in known
            and (table := _table(evidence, data, order, found, name, int(options["bins"]))) is not None
        ]
        tables += mine
        without += [] if mine else [data.title]
    blocks: list[Table | Prose] = list(tables)
    if without:
        blocks.append(Prose((f"No attribute to group by, or no finished fold: {listed(without)}.",)))
    lead = "A mean over all images can hide a group that is segmented worse; few images make a mean unsure."
    return Section("subgroups", TITLE, tuple(blocks), lead)


def _table(
    evidence: Evidence, data: DatasetFacts, order: tuple[str, ...], found: Quantity, attribute: str, bins: int
) -> Table | None:
    cells = {label: subgroups(evidence.cell(label, data.label), found, attribute, bins) for label in order}
    values = list(dict.fromkeys(group.value for groups in cells.values() for group in groups))
    if not values:
        return None
    scale = found.scale(data.label)
    rows = []
    for label, groups in cells.items():
        by_value = {group.value: group for group in groups}
        model = evidence.model(label)
        shown = [_cell(found, data.label, by_value.get(value)) for value in values]
        if groups:
            rows.append(Row((Cell(model.title, (label,)), *shown), model.family))
    lower = ", lower is better" if scale.better == "lower" else ""
    position = attributes(evidence, data.label).index(attribute)
    return Table(
        name=f"subgroups-{data.label}-{found.name}-{position}",
        title=f"{data.title}: per-image {found.class_title} by {attribute}, in {scale.words}{lower}",
        columns=(
            Column("model", "Model", numeric=False),
            *(
                Column(f"group{place}", value, ("value", "mean", "std", "images", "undefined"))
                for place, value in enumerate(values)
            ),
        ),
        rows=tuple(rows),
        caption="Mean ± standard deviation over the test images of all finished folds (an image's score is "
        "the mean over its classes), with the number of images. Ranges of numbers hold about as many samples "
        "of the dataset each.",
    )


def _cell(found: Quantity, dataset: str, group: Subgroup | None) -> Cell:
    if group is None:
        return Cell("–", (None, None, None, 0, 0))
    scale, number = found.scale(dataset), len(group.scores)
    undefined = group.images - number
    said = f"(n = {group.images}{f', {undefined} undefined' if undefined else ''})"
    if not number:
        return Cell("undefined", (group.value, None, None, group.images, undefined), small=said)
    mean, std = fmean(group.scores), stdev(group.scores) if number > 1 else None
    small = f"± {scale.text(std)} {said}" if std is not None else said
    return Cell(scale.text(mean), (group.value, mean, std, group.images, undefined), small=small)
