"""Training curves: validation metric and training loss, a fold a thin line."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import Any

from bench_core.analysis.curves import CurveSet, curves
from bench_core.analysis.evidence import Evidence
from bench_core.report import names
from bench_core.report.blocks import Block, Choice, Figure, Panel, Prose, Section
from bench_core.report.lineplot import Series, epoch_plot
from bench_core.report.panels import heading, line_keys, panel_groups, series_index

TITLE = "Training curves"


def section(evidence: Evidence, options: Mapping[str, Any]) -> Section:
    """Return one figure a quantity: panels a dataset (and a family, where there are many models)."""
    if not evidence.folds:
        return Section("curves", TITLE, (Prose(("No fold is finished yet.",)),))
    if all(fold.training is None for fold in evidence.folds):
        text = "No finished model is trained under the shared protocol, so there are no epochs to draw."
        return Section("curves", TITLE, (Prose((text,)),))
    metric = str(options["metric"])
    figures = [(f"Validation {names.METRIC_TITLES[metric]}", _figure(evidence, metric))]
    if options["loss"]:
        figures.append(("Training loss", _figure(evidence, "loss")))
    blocks: tuple[Block, ...] = (
        (Choice("curves", "Quantity", tuple((label, (figure,)) for label, figure in figures)),)
        if len(figures) > 1
        else (figures[0][1],)
    )
    lead = (
        "Thin: one fold, with a dot at the epoch that was tested. Thick: their mean, while all folds train."
    )
    return Section("curves", TITLE, blocks, lead)


def _figure(evidence: Evidence, quantity: str) -> Figure:
    loss = quantity == "loss"
    axis = "training loss" if loss else f"validation {names.METRIC_TITLES[quantity]} (%)"
    panels, shown = [], set()
    for (group, labels), data in product(panel_groups(evidence), evidence.datasets):
        series = []
        for label in labels:
            found = curves(evidence.cell(label, data.label), quantity)
            if found.lines:
                index = series_index(evidence, label)
                series.append(_series(found, evidence.model(label).title, index, 1.0 if loss else 100.0))
                shown.add(label)
        if series:
            title = heading(data.title, group)
            described = f"{axis[0].upper()}{axis[1:]} by epoch, {title}"
            panels.append(Panel(title, epoch_plot(described, axis, series, None if loss else 100.0)))
    return Figure(tuple(panels), line_keys(evidence, shown))


def _series(found: CurveSet, label: str, index: int, factor: float) -> Series:
    return Series(
        label,
        index,
        tuple(factor * value for value in found.mean),
        tuple(
            (line.fold, tuple(factor * value for value in line.values), line.chosen_epoch)
            for line in found.lines
        ),
    )
