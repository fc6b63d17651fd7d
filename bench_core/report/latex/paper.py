"""The paper that tables are set for: its page, and what of each table it wants."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from bench_core.errors import BenchError
from bench_core.report.tables import Row, Table

ARTICLE = 345.0, 550.0
"""\\textwidth and \\textheight of LaTeX's article at 10 pt, in points: the narrowest of the usual classes."""
TWO_COLUMNS = 469.0
"""\\textwidth of article with the option twocolumn; IEEE and CVPR papers have 516 and 497."""
COLUMN_SEP = 10.0


class LatexOptionError(BenchError):
    """A choice of columns that a table does not have."""

    exit_code = 1


@dataclass(frozen=True)
class Paper:
    """A page, in TeX points, and how its tables are wanted."""

    two_columns: bool = False
    width: float | None = None
    """\\textwidth; None: that of article."""
    height: float = ARTICLE[1]
    """\\textheight."""
    siunitx: bool = False
    """Align numbers by the package siunitx."""
    columns: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Pattern of table names, and patterns of the keys of the columns that these show."""

    @property
    def text_width(self) -> float:
        """\\textwidth."""
        if self.width is not None:
            return self.width
        return TWO_COLUMNS if self.two_columns else ARTICLE[0]

    @property
    def column_width(self) -> float:
        """\\columnwidth."""
        return (self.text_width - COLUMN_SEP) / 2 if self.two_columns else self.text_width

    def shown(self, table: Table) -> Table:
        """Return the table with the chosen columns, in their order; all where nothing is chosen."""
        for pattern, keys in reversed(self.columns):
            if fnmatchcase(table.name, pattern):
                places = [place for key in keys for place in _places(table, key)]
                return with_columns(table, tuple(dict.fromkeys(places)))
        return table

    def check(self, tables: Sequence[Table]) -> None:
        """Raise LatexOptionError for a choice that is for no table, or for a column that it lacks."""
        for pattern, _ in self.columns:
            if not any(fnmatchcase(table.name, pattern) for table in tables):
                raise LatexOptionError(
                    f"no table of this report is called {pattern!r}",
                    place="--latex-columns",
                    cause=f"there are {', '.join(table.name for table in tables)}",
                    fix="choose among these; * stands for any text",
                )
        for table in tables:
            self.shown(table)


def parse_choice(text: str) -> tuple[str, tuple[str, ...]]:
    """Return pattern and keys of TABLE=COLUMN,...; raises ValueError for another form."""
    pattern, equals, keys = text.partition("=")
    found = tuple(key.strip() for key in keys.split(","))
    if not equals or not pattern or not all(found):
        raise ValueError(f"{text!r} is not TABLE=COLUMN,COLUMN")
    if len(set(found)) < len(found):
        raise ValueError(f"{text!r} names a column twice")
    return pattern, found


def with_columns(table: Table, places: Sequence[int]) -> Table:
    """Return the table with the columns at these places, and the footnotes that are left."""
    rows = tuple(replace(row, cells=tuple(row.cells[place] for place in places)) for row in table.rows)
    columns = tuple(table.columns[place] for place in places)
    return with_rows(replace(table, columns=columns), rows)


def with_rows(table: Table, rows: tuple[Row, ...]) -> Table:
    """Return the table with these rows, and the footnotes that are left."""
    used = {mark for row in rows for cell in row.cells for mark in cell.notes}
    return replace(table, rows=rows, notes=tuple(note for note in table.notes if note[0] in used))


def _places(table: Table, key: str) -> list[int]:
    keys = [column.key for column in table.columns]
    found = [place for place, name in enumerate(keys) if fnmatchcase(name, key)]
    if not found:
        raise LatexOptionError(
            f"table {table.name} has no column {key!r}",
            place="--latex-columns",
            cause=f"its columns are {', '.join(keys)}",
            fix="choose among these",
        )
    return found
