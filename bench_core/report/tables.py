"""A table as people and as programs read it; every output format is written from this one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from bench_core.analysis.pairs import Pair
from bench_core.analysis.scores import Score

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
    quotes: tuple[tuple[str, str], ...] = ()
    """Keys (bench_core.report.keys) by which papers quote what the cell prints, and the texts."""


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


SCORE_FIELDS = ("mean", "std", "folds", "planned", "unit")


def score_cell(
    score: Score | None, marks: frozenset[Mark] = frozenset(), absent: str = "–", key: str = ""
) -> Cell:
    """Return mean ± std as the score's scale prints them.

    An incomplete cell says how many folds it has, and how many finished ones leave it undefined. Papers quote
    the mean by `key`, if there is one, and KEY/std, KEY/n (folds with a value), KEY/planned.
    """
    if score is None:
        return Cell(absent, (None, None, 0, None, None))
    scale = score.scale
    std = f"± {scale.text(score.std)}" if score.std is not None else ""
    undefined = f", {score.undefined} undefined" if score.undefined else ""
    part = "" if score.complete else f"({len(score.folds)}/{score.planned}{undefined})"
    return Cell(
        scale.text(score.mean),
        (score.mean, score.std, len(score.folds), score.planned, scale.unit),
        marks,
        small=" ".join(item for item in (std, part) if item),
        quotes=quotes(
            key,
            {
                "": scale.text(score.mean),
                "std": scale.text(score.std) if score.std is not None else None,
                "n": str(len(score.folds)),
                "planned": str(score.planned),
            },
        ),
    )


def quotes(key: str, texts: Mapping[str, str | None]) -> tuple[tuple[str, str], ...]:
    """Return the quotes of a cell: texts by what follows `key`; none without a key or a text."""
    known = ((name, text) for name, text in texts.items() if text is not None)
    return tuple((f"{key}/{name}" if name else key, text) for name, text in known) if key else ()


DIFFERENCE_FIELDS = ("mean", "std", "better", "worse", "folds", "unit")
ZERO = "(equal): not one fold differs at all."


def difference_cell(found: Pair | None) -> Cell:
    """Return a paired difference in points or its unit; one that is exactly zero in every fold reads as 0."""
    if found is None:
        return Cell("–", (None, None, None, None, 0, None))
    total, scale = len(found.differences), found.scale
    values = (found.mean, found.std, found.better, found.worse, total, scale.unit)
    if found.equal:
        return Cell("0", values, small="(equal)")
    std = f"± {scale.text(found.std)} " if found.std is not None else ""
    return Cell(scale.signed(found.mean), values, small=f"{std}({found.better}/{total})")


def text_row(values: Sequence[str], group: str = "") -> Row:
    """Return a row of plain texts."""
    return Row(tuple(Cell(value) for value in values), group)
