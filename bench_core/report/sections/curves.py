"""Training curves: validation metric and training loss, a fold a thin line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench_core.analysis.curves import CurveSet, curves
from bench_core.analysis.evidence import Evidence
from bench_core.report import names, svg
from bench_core.report.blocks import Block, Choice, Figure, Key, Panel, Prose, Section
from bench_core.report.lineplot import Series, epoch_plot

TITLE = "Training curves"
CROWD = 4
"""Models that one panel takes before families get panels of their own."""


def section(evidence: Evidence, options: Mapping[str, Any]) -> Section:
    """Return one figure a quantity: panels a dataset (and a family, where there are many models)."""
    if not evidence.folds:
        return Section("curves", TITLE, (Prose(("No fold is finished yet.",)),))
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
    groups = _groups(evidence)
    panels, shown = [], set()
    for data in evidence.datasets:
        for title, labels in groups:
            series = []
            for position, label in labels:
                found = curves(evidence.cell(label, data.label), quantity)
                if found.lines:
                    series.append(
                        _series(found, evidence.model(label).title, position, 1.0 if loss else 100.0)
                    )
                    shown.add(label)
            if series:
                heading = f"{data.title} · {title}" if title else data.title
                svg_title = f"{axis.capitalize()} by epoch, {heading}"
                panels.append(Panel(heading, epoch_plot(svg_title, axis, series, None if loss else 100.0)))
    keys = tuple(
        Key(f"{evidence.model(label).title}", svg.line_key(position))
        for _, labels in groups
        for position, label in labels
        if label in shown
    )
    return Figure(tuple(panels), keys)


def _groups(evidence: Evidence) -> list[tuple[str, list[tuple[int, str]]]]:
    """Return panel titles with (series, model): families apart where one panel would be crowded."""
    labels = [(index, model.label) for index, model in enumerate(evidence.models)]
    if len(labels) <= CROWD or len(evidence.families) == 1:
        return [("", labels)]
    return [
        (family, [(index, label) for index, label in labels if evidence.model(label).family == family])
        for family in evidence.families
    ]


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
