"""Predictions next to ground truth: the same images for all models, errors drawn as what they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from typing import Any

from bench_core.analysis.evidence import DatasetFacts, Evidence
from bench_core.analysis.pictured import (
    defined,
    exemplary,
    image_scores,
    kept_images,
    with_label_maps,
)
from bench_core.errors import MissingDependencyError
from bench_core.report import comparing
from bench_core.report.blocks import Block, Callout, Compared, Comparison, Details, Prose, Section
from bench_core.report.colors import standing_out
from bench_core.report.names import listed
from bench_core.report.sections.single_images import Known, single_images

TITLE = "Predictions next to ground truth"
BUDGET = 3_200_000
"""Bytes of the pictures that need no script."""
MEGABYTE = 1_000_000


@dataclass(frozen=True, eq=False)
class Shown(Known):
    """What is known of a dataset's images, and which of them are shown."""

    picks: tuple[tuple[str, str], ...]


def section(evidence: Evidence, options: Mapping[str, Any]) -> Section:
    """Return one block per dataset, one row per image; all pictures together keep within a byte budget."""
    shown = [
        item for data in evidence.datasets if (item := _shown(evidence, data, bool(options["median"]))).picks
    ]
    if not shown:
        return Section("predictions", TITLE, (Prose(("No finished fold holds pictures yet.",)),))
    try:
        blocks = _compared(evidence, shown, int(options["width"]))
        room, from_data = int(options["megabytes"]) * MEGABYTE, options["images"] == "data"
        if room:
            width = int(options["width"])
            blocks.append(single_images(evidence, shown, room, width, from_data=from_data))
    except MissingDependencyError as error:
        # Tables do not need pictures, so they must not fail for want of them; the page says what it lacks.
        return Section("predictions", TITLE, (Callout("warning", error.message, code=error.fix or ""),))
    missing = [
        f"{cell.model} on {cell.dataset}"
        for cell in evidence.cells.values()
        if cell.folds and not any(_has(item, cell.model, cell.dataset) for item in shown)
    ]
    if missing:
        blocks.append(Prose((f"No readable pictures of {listed(missing, 8)}.",)))
    lead = (
        "The same images for all models: a few of many, and the extremes on purpose, picked among the images "
        "that results keep by the Dice of all models together. Every pixel is compared on the full grid."
    )
    return Section("predictions", TITLE, tuple(blocks), lead)


def _shown(evidence: Evidence, data: DatasetFacts, median: bool) -> Shown:
    scores = image_scores(evidence, data.label)
    images = {
        image.id: image for image in with_label_maps(evidence, data.label, kept_images(evidence, data.label))
    }
    most = max((len(image.maps) for image in images.values()), default=0)
    # Images that every model was tested on come first: a row with gaps compares little.
    known = {
        sample: defined(scores.of(sample)) for sample, image in images.items() if len(image.maps) == most
    }
    picks = exemplary(known, median)
    colors = standing_out([images[sample].image for _, sample in picks])
    return Shown(data, scores, images, colors, picks)


def _has(item: Shown, model: str, dataset: str) -> bool:
    return item.data.label == dataset and any(model in image.maps for image in item.kept.values())


def _compared(evidence: Evidence, shown: Sequence[Shown], widest: int) -> list[Block]:
    for width in (width for width in comparing.WIDTHS if width <= widest or width == comparing.WIDTHS[-1]):
        found = [(item, [_row(evidence, item, *pick, width) for pick in item.picks]) for item in shown]
        if sum(comparing.size(row) for _, rows in found for row in rows) <= BUDGET:
            break
    return [
        Details(
            item.data.title,
            (
                Comparison(
                    f"predictions-{number}",
                    tuple(rows),
                    comparing.legend(item.data, item.colors),
                ),
            ),
            open=True,
        )
        for number, (item, rows) in enumerate(found, start=1)
    ]


def _row(evidence: Evidence, item: Shown, why: str, sample: str, width: int) -> Compared:
    dice, fold = item.scores.of(sample), item.scores.fold(sample)
    return comparing.compared(
        evidence,
        item.kept[sample],
        {model: value for model, value in dice.items() if not isnan(value)},
        item.colors,
        width,
        title=why,
        detail=sample if fold is None else f"{sample}, fold {fold}",
        key=comparing.image_key(evidence, item.data.label, sample),
    )
