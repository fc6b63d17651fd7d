"""Predictions next to ground truth: the best, the median and the worst case of each cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench_core.analysis.cases import RANKS, Shown, shown_cases
from bench_core.analysis.evidence import DatasetFacts, Evidence
from bench_core.errors import MissingDependencyError
from bench_core.records import Case
from bench_core.report import pictures
from bench_core.report.blocks import (
    Block,
    Callout,
    Details,
    Example,
    Gallery,
    Picture,
    Prose,
    Section,
    Swatch,
    Swatches,
)
from bench_core.report.names import listed

TITLE = "Predictions next to ground truth"
BUDGET = 3_200_000
"""Bytes of pictures on the page, so that the whole stays below 5 MB."""


def section(evidence: Evidence, options: Mapping[str, Any]) -> Section:
    """Return one gallery per dataset, one row per model; all pictures together keep within a byte budget."""
    ranks = RANKS if options["median"] else ("best", "worst")
    found = {key: shown_cases(evidence, cell, ranks) for key, cell in evidence.cells.items()}
    cases = [shown.case for items in found.values() for shown in items]
    if not cases:
        return Section("predictions", TITLE, (Prose(("No finished fold holds pictures yet.",)),))
    try:
        return _galleries(evidence, found, cases, int(options["width"]))
    except MissingDependencyError as error:
        # Tables do not need pictures, so they must not fail for want of them; the page says what it lacks.
        return Section("predictions", TITLE, (Callout("warning", error.message, code=error.fix or ""),))


def _galleries(
    evidence: Evidence, found: Mapping[tuple[str, str], tuple[Shown, ...]], cases: Sequence[Case], widest: int
) -> Section:
    width = min(pictures.choose_width(cases, BUDGET), widest)
    blocks: list[Block] = []
    for data in evidence.datasets:
        galleries: list[Block] = []
        for model in evidence.models:
            items = found[model.label, data.label]
            if items:
                galleries.append(Gallery(model.title, tuple(_example(shown, width) for shown in items)))
        if galleries:
            blocks.append(Details(data.title, (_legend(data), *galleries), open=True))
    missing = [
        f"{cell.model} on {cell.dataset}"
        for key, cell in evidence.cells.items()
        if cell.folds and not found[key]
    ]
    if missing:
        blocks.append(Prose((f"No readable pictures of {listed(missing, 8)}.",)))
    lead = (
        "Cases are picked by per-image Dice among the stored cases of all folds: three of many, and the "
        "extremes on purpose. From left to right: image, ground truth, prediction."
    )
    return Section("predictions", TITLE, tuple(blocks), lead)


def _example(shown: Shown, width: int) -> Example:
    case = shown.case
    image, truth, guess = pictures.case_pictures(case, width)
    said = f"{shown.case.rank} case {case.id}, Dice {100 * case.dice:.1f} percent"
    return Example(
        title=f"{case.rank}: Dice {100 * case.dice:.1f} %",
        detail=f"{case.id}, fold {shown.fold}",
        pictures=(
            Picture("image", image, f"Image of the {said}"),
            Picture("ground truth", truth, f"Ground truth over the image, {said}"),
            Picture("prediction", guess, f"Prediction over the image, {said}"),
        ),
    )


def _legend(data: DatasetFacts) -> Swatches:
    items = tuple(Swatch(name, pictures.swatch(index + 1)) for index, name in enumerate(data.classes))
    return Swatches(items, "White line in the prediction: outline of the ground truth.")
