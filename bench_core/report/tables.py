"""A table as people and as programs read it; every output format is written from this one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from bench_core.analysis.pairs import Pair
from bench_core.analysis.scores import Score, percent

Mark = Literal["family", "best", "chosen"]
Value = float | int | str | None


@dataclass(frozen=True)
class Column:
    """A column: its heading, and the names of the fields that its cells hold for programs."""

    key: str
    title: str
    fields: tuple[str, ...] = ("",)
    """Suffixes of `key` in CSV; one empty suffix for a plain column."""
    numeric: bool = True

    @property
    def names(self) -> tuple[str, ...]:
        """Column names in CSV."""
        return tuple(f"{self.key}_{field}" if field else self.key for field in self.fields)


@dataclass(frozen=True)
class Cell:
    """A table's cell."""

    text: str
    values: tuple[Value, ...] = ()
    """What programs read, one a field of the column, at full precision; empty: the text."""
    marks: frozenset[Mark] = frozenset()
    notes: tuple[str, ...] = ()
    """Footnote marks."""
    small: str = ""
    """Said after the text in small print, for example the std."""


@dataclass(frozen=True)
class Row:
    """A table's row; rows of one group follow each other under its name."""

    cells: tuple[Cell, ...]
    group: str = ""


@dataclass(frozen=True)
class Table:
    """A titled table."""

    name: str
    """File name of its CSV, Markdown and LaTeX."""
    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    caption: str = ""
    notes: tuple[tuple[str, str], ...] = ()
    """Footnotes: mark and text, in order."""

    @property
    def groups(self) -> tuple[tuple[str, tuple[Row, ...]], ...]:
        """Rows by group, in order of appearance."""
        found: dict[str, list[Row]] = {}
        for row in self.rows:
            found.setdefault(row.group, []).append(row)
        return tuple((name, tuple(rows)) for name, rows in found.items())


SCORE_FIELDS = ("mean", "std", "folds", "planned")


def score_cell(
    score: Score | None, marks: frozenset[Mark] = frozenset(), digits: int = 1, absent: str = "–"
) -> Cell:
    """Return mean ± std in percent; an incomplete cell says how many folds it has."""
    if score is None:
        return Cell(absent, (None, None, 0, None))
    std = f"± {percent(score.std, digits)}" if score.std is not None else ""
    part = "" if score.complete else f"({len(score.folds)}/{score.planned})"
    return Cell(
        percent(score.mean, digits),
        (score.mean, score.std, len(score.folds), score.planned),
        marks,
        small=" ".join(item for item in (std, part) if item),
    )


DIFFERENCE_FIELDS = ("mean", "std", "above", "below", "folds")
ZERO = "(equal): not one fold differs at all."


def difference_cell(found: Pair | None) -> Cell:
    """Return a paired difference in points; one that is exactly zero in every fold reads as 0."""
    if found is None:
        return Cell("–", (None, None, None, None, 0))
    total = len(found.differences)
    values = (found.mean, found.std, found.above, found.below, total)
    if found.equal:
        return Cell("0", values, small="(equal)")
    std = f"± {percent(found.std)} " if found.std is not None else ""
    text = f"{100 * found.mean:+.1f}".replace("-", "−")
    return Cell(text, values, small=f"{std}({found.above}/{total})")


def text_row(values: Sequence[str], group: str = "") -> Row:
    """Return a row of plain texts."""
    return Row(tuple(Cell(value) for value in values), group)
