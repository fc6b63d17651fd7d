"""The table of what each dataset can show: its smallest detectable difference, and what a margin needs."""

from __future__ import annotations

from collections.abc import Sequence

from bench_core.analysis.evidence import Evidence
from bench_core.analysis.inference.detection import Detection
from bench_core.analysis.inference.power import MOST_FOLDS, MOST_REPEATS
from bench_core.analysis.quantity import Quantity
from bench_core.metrics.scale import Scale
from bench_core.report import inference_words as words
from bench_core.report.names import plural
from bench_core.report.tables import Cell, Column, Row, Table


def power_table(
    evidence: Evidence, quantity: Quantity, found: Sequence[Detection], what: str, prefix: str = ""
) -> Table:
    """Return one row per dataset; `what` is the view that differences are of, `prefix` of its file name."""
    rows = []
    for item in found:
        scale = quantity.scale(item.dataset)
        cells = (
            Cell(evidence.dataset(item.dataset).title, (item.dataset,)),
            Cell(f"{item.groups}", (item.groups, item.images), small=f"({plural(item.images, 'image')})"),
            _smallest(item, scale),
            _needed(item),
            _over_folds(item, scale),
            _more(item),
        )
        rows.append(Row(cells))
    aim, scale = found[0].aim, quantity.scale(found[0].dataset)
    margin = words.amount(scale, aim.margin)
    columns = (
        Column("dataset", "Dataset", numeric=False),
        Column("groups", "Groups", ("", "images")),
        Column("detectable", "Smallest detectable difference", ("middle", "low", "high", "pairs", "unit")),
        Column("needed", f"Groups needed for {margin}", ("middle", "all", "images", "margin")),
        Column("folds_detectable", "The same over folds"),
        Column("folds_needed", f"Folds or repeats needed for {margin}", ("folds", "repeats")),
    )
    return Table(
        name=f"power-{prefix}{quantity.name}",
        title=f"What differences in {what} could have been shown",
        columns=columns,
        rows=tuple(rows),
        caption=_caption(aim.alpha, aim.power),
    )


def _caption(alpha: float, power: float) -> str:
    return (
        f"Smallest detectable difference: what a pair's true difference must be to be called different in "
        f"{100 * power:g} % of such studies, at {alpha:g} over the number of pairs (the first step of Holm's "
        "correction), from the measured spread of the differences of groups; of the middle pair, and the "
        "range over pairs. A smaller true difference may well be there and not be seen. Groups needed: for "
        "half of the pairs, with as many images in each; CSV has that for all pairs. Over folds: by the "
        "corrected resampled t-test at the same level. Folds: the same images cut into more, all tested, if "
        "the variance of a fold's difference grows as its images become fewer; repeats: of the folds that "
        "there are. Both come from few folds and are rough."
    )


def _smallest(item: Detection, scale: Scale) -> Cell:
    found, pairs = item.smallest, item.aim.pairs
    if found is None:
        return Cell("none", (None, None, None, pairs, scale.unit), small="(too few groups)")
    low, high = (words.level(scale, end) for end in (found.low, found.high))
    values = (found.middle, found.low, found.high)
    return Cell(
        words.amount(scale, found.middle, exact=True),
        (*values, pairs, scale.unit),
        small=f"({low} to {high})",
    )


def _needed(item: Detection) -> Cell:
    middle, largest = item.needed
    images = None if middle is None else item.images_needed(middle)
    values = (middle, largest, images, item.aim.margin)
    if middle is None:
        return Cell("more than 10 million", values)
    return Cell(f"{middle:,}", values, small=f"({images:,} images)")


def _over_folds(item: Detection, scale: Scale) -> Cell:
    found = item.folding.detectable(item.aim) if item.folding is not None else None
    return Cell("–" if found is None else words.amount(scale, found, exact=True), (found,))


def _more(item: Detection) -> Cell:
    if item.folding is None:
        return Cell("–", (None, None))
    folds, repeats = item.folding.folds_needed(item.aim), item.folding.repeats_needed(item.aim)
    shown = plural(folds, "fold") if folds is not None else f"more than {MOST_FOLDS} folds"
    again = plural(repeats, "repeat") if repeats is not None else f"more than {MOST_REPEATS} repeats"
    return Cell(f"{shown}, {again}", (folds, repeats))
