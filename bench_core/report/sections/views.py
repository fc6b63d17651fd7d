"""Views of the same counts: how much a number depends on what is pooled before it is divided."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, stdev

import numpy as np

from bench_core.analysis.evidence import Cell as EvidenceCell
from bench_core.analysis.evidence import Evidence, Finished
from bench_core.analysis.quantity import Pooled, Quantity
from bench_core.analysis.scores import fold_score, score
from bench_core.metrics.counts import EmptyPolicy
from bench_core.report import names
from bench_core.report.names import plural
from bench_core.report.tables import SCORE_FIELDS, Cell, Column, Row, Table, score_cell

GROUP_FIELDS = ("mean", "std", "groups", "undefined")
EMPTY = {
    "ignore": "is left out",
    "one": "scores 1",
    "zero": "scores 0",
}


def views_table(
    evidence: Evidence, quantity: Quantity, order: tuple[str, ...], empty: EmptyPolicy
) -> Table | None:
    """Return micro, macro and per-image means of each cell; None for what is not made of counts.

    Where images belong to patients or volumes, there is a column of means over these. `empty` says what a
    class scores that neither mask nor prediction of an image has.
    """
    if not isinstance(quantity, Pooled):
        return None
    cells = [
        cell
        for label in order
        for data in evidence.datasets
        if any(map(quantity.has, (cell := evidence.cell(label, data.label)).folds))
    ]
    if not cells:
        return None
    grouped = any(map(_is_grouped, cells))
    rows = [_row(evidence, quantity, cell, empty, grouped) for cell in cells]
    title = f"{quantity.metric.title}{quantity.suffix}"
    return Table(
        name=f"views-{quantity.name}",
        title=f"Views of the same counts: {title} in {quantity.scale('').words}",
        columns=(
            Column("model", "Model", numeric=False),
            Column("dataset", "Dataset", numeric=False),
            Column("micro", f"micro {title}", SCORE_FIELDS),
            Column("macro", f"macro {title}", SCORE_FIELDS),
            Column("image", f"per-image {title}", ("mean", "std", "images", "undefined")),
            *((Column("group", f"per-group {title}", GROUP_FIELDS),) if grouped else ()),
        ),
        rows=tuple(rows),
        caption="Micro: pooled over images and classes. Macro: the mean over classes, each pooled over "
        "images. Both: mean ± standard deviation over folds. Per image: the mean over an image's classes, "
        "then mean ± standard deviation over the test images of all finished folds; a class that neither "
        f"mask nor prediction of an image has {EMPTY[empty]}."
        + (
            " Per group: the same with the images of one patient, volume or session pooled."
            if grouped
            else ""
        ),
    )


def _is_grouped(cell: EvidenceCell) -> bool:
    return any(len(set(fold.counts.groups)) < len(fold.counts.ids) for fold in cell.folds)


def _row(evidence: Evidence, quantity: Pooled, cell: EvidenceCell, empty: EmptyPolicy, grouped: bool) -> Row:
    folds = [fold for fold in cell.folds if quantity.has(fold)]
    macro = fold_score(cell, quantity, {fold.index: quantity.macro(fold) for fold in folds})
    images = np.concatenate([quantity.of_images(fold, empty) for fold in folds])
    model = evidence.model(cell.model)
    return Row(
        (
            Cell(model.title, (cell.model,)),
            Cell(evidence.dataset(cell.dataset).title, (cell.dataset,)),
            score_cell(score(cell, quantity), absent="undefined"),
            score_cell(macro, absent="undefined"),
            _means(quantity, cell.dataset, images, "image"),
            *((_of_groups(quantity, cell, folds, empty),) if grouped else ()),
        ),
        names.group_of(evidence, cell.model),
    )


def _of_groups(quantity: Pooled, cell: EvidenceCell, folds: Sequence[Finished], empty: EmptyPolicy) -> Cell:
    if not _is_grouped(cell):
        return Cell("–", (None, None, None, None), small="each image is its own group")
    groups = np.concatenate([quantity.of_groups(fold, empty) for fold in folds])
    return _means(quantity, cell.dataset, groups, "group")


def _means(quantity: Pooled, dataset: str, scores: np.ndarray, unit: str) -> Cell:
    scale = quantity.scale(dataset)
    defined = [float(value) for value in scores if not np.isnan(value)]
    undefined = len(scores) - len(defined)
    said = f"({plural(len(scores), unit)}{f', {undefined} undefined' if undefined else ''})"
    if not defined:
        return Cell("undefined", (None, None, len(scores), undefined), small=said)
    std = stdev(defined) if len(defined) > 1 else None
    shown = f"± {scale.text(std)} {said}" if std is not None else said
    return Cell(scale.text(fmean(defined)), (fmean(defined), std, len(scores), undefined), small=shown)
