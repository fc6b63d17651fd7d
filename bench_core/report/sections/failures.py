"""Where models fail: images that are hard for all, and images on which one of two models fails alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench_core.analysis.evidence import DatasetFacts, Evidence
from bench_core.analysis.inference.field import field_of
from bench_core.analysis.pictured import image_scores
from bench_core.analysis.quantities import quantity
from bench_core.analysis.scores import board
from bench_core.analysis.wanted import wanted_images
from bench_core.errors import MissingDependencyError, UnknownNameError
from bench_core.report import comparing
from bench_core.report.blocks import Block, Callout, Comparison, Details, Prose, Section
from bench_core.report.colors import standing_out
from bench_core.report.names import listed
from bench_core.report.sections.failure_lists import Candidate, Lists

TITLE = "Where models fail"
LEAD = (
    "Images that no model segments well say something of the data; images on which one model fails and "
    "another does not say something of the model. Both lists are extremes on purpose."
)
WIDTHS = (256, 208, 176, 144, 120)
BUDGET = 900_000
"""Bytes of these pictures on the page."""


def section(evidence: Evidence, options: Mapping[str, Any]) -> Section:
    """Return, for each dataset, the images that are hard for all and those that part two models."""
    found = quantity(evidence, str(options["metric"]))
    scores = board(evidence, found)
    labels = [model.label for model in evidence.models]
    for name in ("first", "second"):
        if options[name] and options[name] not in labels:
            raise UnknownNameError(
                f"{name}: no model {options[name]!r} in the spec", fix=f"choose from {', '.join(labels)}"
            )
    blocks: list[Block] = []
    without: list[str] = []
    told: dict[str, Any] = {}
    shown: list[tuple[DatasetFacts, list[list[Candidate]]]] = []
    for data in evidence.datasets:
        field = field_of(evidence, scores, data.label)
        if field is None:
            without.append(data.title)
            continue
        lists = Lists(evidence, data, field, options)
        blocks += lists.blocks()
        told[data.label] = lists.told()
        shown.append((data, lists.pictured()))
    try:
        blocks += _pictures(evidence, shown, int(options["pictures"]))
    except MissingDependencyError as error:
        blocks.append(Callout("warning", error.message, code=error.fix or ""))
    if without:
        blocks.append(Prose((f"No two models have the same finished folds: {listed(without)}.",)))
    if not told and evidence.spec.analyses is None:
        blocks = []
    return Section("failures", TITLE, tuple(blocks), LEAD, told)


def _pictures(
    evidence: Evidence, shown: Sequence[tuple[DatasetFacts, Sequence[Sequence[Candidate]]]], count: int
) -> list[Block]:
    """Return the first images of each list of which a result keeps a picture, within the byte budget."""
    chosen = [(data, _chosen(evidence, data.label, lists, count)) for data, lists in shown if count]
    found = [
        (
            data,
            items,
            wanted_images(evidence, data.label, {item.row.id: item.models for item in items}),
        )
        for data, items in chosen
        if items
    ]
    rows: list[tuple[DatasetFacts, Comparison]] = []
    for width in WIDTHS:
        rows, size = [], 0
        for data, items, images in found:
            colors = standing_out([image.image for image in images.values()])
            scores = image_scores(evidence, data.label)
            drawn = [
                comparing.compared(
                    evidence,
                    images[item.row.id],
                    known(scores.of(item.row.id)),
                    colors,
                    width,
                    title=item.why,
                    detail=item.row.id,
                    key=comparing.image_key(evidence, data.label, item.row.id),
                )
                for item in items
                if item.row.id in images
            ]
            size += sum(map(comparing.size, drawn))
            keys = comparing.legend(data, colors)
            rows.append((data, Comparison(f"failures-{len(rows)}", tuple(drawn), keys)))
        if size <= BUDGET:
            break
    return [Details(f"{data.title}: pictures", (comparison,)) for data, comparison in rows]


def known(values: Mapping[str, float]) -> dict[str, float]:
    """Return the numbers that are defined."""
    return {name: value for name, value in values.items() if value == value}


def _chosen(
    evidence: Evidence, dataset: str, lists: Sequence[Sequence[Candidate]], count: int
) -> list[Candidate]:
    """Return up to `count` images of each list, those that any result keeps a picture of, each once."""
    kept = wanted_images(evidence, dataset, {item.row.id: () for items in lists for item in items})
    taken: dict[str, Candidate] = {}
    for items in lists:
        for item in [item for item in items if item.row.id in kept and item.row.id not in taken][:count]:
            taken[item.row.id] = item
    return list(taken.values())
