"""Every number that a report's tables print, under a key, so that a paper quotes it instead of copying it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bench_core.errors import PluginError
from bench_core.report.delimited import csv_text
from bench_core.report.keys import encoded
from bench_core.report.latex.escape import DEFINE_UNKNOWN, escape
from bench_core.report.tables import Row, Table

NAME = "numbers"
"""File name of the macros and of the list of keys; no table may have it."""
_ABSENT = frozenset({"", "–", "undefined"})
_COMMANDS = r"""\providecommand{\segtrialset}{}
\renewcommand{\segtrialset}[2]{\expandafter\gdef\csname segtrial:\detokenize{#1}\endcsname{#2}}
\DeclareRobustCommand{\segtrialmissing}[1]{%
  \PackageError{segtrial}{No number of the report is called `\detokenize{#1}'}%
    {The keys are listed in numbers.csv, beside numbers.tex.}\textbf{??}}
\providecommand{\segtrial}{}
\renewcommand{\segtrial}[1]{%
  \ifcsname segtrial:\detokenize{#1}\endcsname
    \csname segtrial:\detokenize{#1}\expandafter\endcsname
  \else
    \segtrialmissing{#1}%
  \fi}"""


@dataclass(frozen=True)
class Number:
    """One printed number."""

    key: str
    text: str
    """As the tables print it."""
    table: str
    column: str


def numbers_of(tables: Iterable[Table]) -> tuple[Number, ...]:
    """Return the numbers that cells give a key of their own, then all cells of numeric columns, by place.

    The latter's key is TABLE:ROW/COLUMN, where ROW is what its first columns hold, as many as tell all rows
    apart; rows that are alike in all of them are counted, from (2) on. Raises PluginError where one key would
    have two texts.
    """
    quoted: dict[str, Number] = {}
    placed: dict[str, Number] = {}
    for table in tables:
        rows = _rows(table)
        for name, row in zip(rows, table.rows, strict=True):
            for column, cell in zip(table.columns, row.cells, strict=True):
                for key, text in cell.quotes:
                    _add(quoted, Number(key, text, table.name, column.key))
                if column.numeric and cell.text not in _ABSENT:
                    place = f"{encoded(table.name)}:{name}/{encoded(column.key)}"
                    _add(placed, Number(place, cell.text, table.name, column.key))
    return (*quoted.values(), *placed.values())


def numbers_tex(numbers: Sequence[Number]) -> str:
    """Return the file that defines \\segtrial{KEY}; an unknown key is a LaTeX error that names it."""
    lines = ["% \\input this file; then \\segtrial{KEY} prints a number. Keys: numbers.csv", DEFINE_UNKNOWN]
    lines += [_COMMANDS]
    lines += [f"\\segtrialset{{{item.key}}}{{{escape(item.text)}}}" for item in numbers]
    return "\n".join(lines) + "\n"


def numbers_csv(numbers: Sequence[Number]) -> str:
    """Return the list of keys."""
    rows = ((item.key, item.text, item.table, item.column) for item in numbers)
    return csv_text(("key", "text", "table", "column"), rows)


def _add(found: dict[str, Number], number: Number) -> None:
    earlier = found.setdefault(number.key, number)
    if earlier.text != number.text:
        raise PluginError(
            f"the number {number.key} of the report is both {earlier.text!r} and {number.text!r}",
            cause=f"tables {earlier.table} and {number.table} do not agree",
            fix="give the cells of one of them other keys",
        )


def _rows(table: Table) -> list[str]:
    """Return what tells each row from the others."""
    names = [_name(row, 1) for row in table.rows]
    width = 1
    while len(set(names)) < len(names) and width < len(table.columns) and _names(table, width):
        width += 1
        names = [_name(row, width) for row in table.rows]
    seen: Counter[str] = Counter()
    for place, name in enumerate(names):
        seen[name] += 1
        if seen[name] > 1:
            names[place] = f"{name}({seen[name]})"
    return names


def _names(table: Table, place: int) -> bool:
    """Say whether a column names things, by text or whole number, rather than measuring them."""
    return not any(isinstance(value, float) for row in table.rows for value in row.cells[place].values)


def _name(row: Row, width: int) -> str:
    """Return what the first columns hold for programs, or print where they hold no text."""
    words = []
    for cell in row.cells[:width]:
        texts = [value for value in cell.values if isinstance(value, str)]
        words.append("/".join(map(encoded, texts or [cell.text])))
    return "/".join(words)
