"""Which models share a chart: all of them, or a family at a time where there are many."""

from __future__ import annotations

from collections.abc import Collection

from bench_core.analysis.evidence import Evidence
from bench_core.report import svg
from bench_core.report.blocks import Key

CROWD = 4
"""Models that one panel takes before families get panels of their own."""


def panel_groups(evidence: Evidence) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Return panel titles (empty for one panel of all) with the labels of their models."""
    labels = tuple(model.label for model in evidence.models)
    if len(labels) <= CROWD or len(evidence.families) == 1:
        return (("", labels),)
    return tuple(
        (family, tuple(model.label for model in evidence.models if model.family == family))
        for family in evidence.families
    )


def series_index(evidence: Evidence, label: str) -> int:
    """Return a model's color and dash, equal in all charts of a page."""
    return next(index for index, model in enumerate(evidence.models) if model.label == label)


def heading(dataset: str, group: str) -> str:
    """Return a panel's title."""
    return f"{dataset} · {group}" if group else dataset


def line_keys(evidence: Evidence, labels: Collection[str]) -> tuple[Key, ...]:
    """Return the legend of these models."""
    return tuple(
        Key(model.title, svg.line_key(index))
        for index, model in enumerate(evidence.models)
        if model.label in labels
    )
