"""Which class is predicted for which: of each class's pixels, how many are found as what."""

from __future__ import annotations

from collections.abc import Sequence

from bench_core.analysis.confusion import Confusion, confusion
from bench_core.analysis.evidence import DatasetFacts, Evidence
from bench_core.report.tables import Cell, Column, Row, Table

FIELDS = ("low", "high")
BACKGROUND = "background"


def confusion_table(evidence: Evidence, data: DatasetFacts, order: Sequence[str]) -> Table | None:
    """Return one row per model and true class, one column per predicted class, in percent of the row.

    None where no model has a finished fold. Fields are pixels of all folds together.
    """
    found = {label: confusion(evidence, evidence.cell(label, data.label)) for label in order}
    rows = [
        _row(evidence.model(label).title, label, place, matrix)
        for label, matrix in found.items()
        if matrix is not None
        for place in range(1, len(data.classes) + 1)
    ]
    if not rows:
        return None
    known = [matrix for matrix in found.values() if matrix is not None]
    names = (BACKGROUND, *data.classes)
    return Table(
        name=f"confusion-{data.label}",
        title=f"{data.title}: pixels of a class by what they are predicted as, in percent of the class",
        columns=(
            Column("model", "Model", numeric=False),
            Column("class", "Ground truth", numeric=False),
            Column("pixels", "Pixels"),
            *(Column(f"as_{place}_{name}", f"as {name}", FIELDS) for place, name in enumerate(names)),
        ),
        rows=tuple(rows),
        caption=_caption(known),
    )


def _caption(known: Sequence[Confusion]) -> str:
    text = "Pixels of the test images of all finished folds together. CSV holds pixels."
    if all(item.exact for item in known):
        return f"{text} Counted from label maps and masks."
    return (
        f"{text} Counts tell how much of a class is found, but not always what is predicted instead: such "
        "entries are the limits that the counts of each image leave. With the data at hand (`bench report "
        "--images data`) they are counted."
    )


def _row(title: str, label: str, place: int, matrix: Confusion) -> Row:
    total = matrix.total(place)
    cells = [
        Cell(title, (label,)),
        Cell(matrix.classes[place - 1]),
        Cell(f"{total:,}", (total,)),
    ]
    for low, high in zip(matrix.low[place].tolist(), matrix.high[place].tolist(), strict=True):
        cells.append(Cell(_share(low, high, total), (low, high)))
    return Row(tuple(cells))


def _share(low: int, high: int, total: int) -> str:
    if not total:
        return "–"
    first, last = f"{100 * low / total:.1f}", f"{100 * high / total:.1f}"
    if first == last:
        return first
    return f"≤ {last}" if first == "0.0" else f"{first} to {last}"
