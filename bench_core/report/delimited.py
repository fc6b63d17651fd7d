"""Tables as CSV: full precision, one column a number."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator

from bench_core.report.tables import Cell, Table, Value
from bench_core.text import table_cell


def to_csv(table: Table) -> str:
    """Return RFC 4180 text with LF ends; a value that does not exist is an empty field.

    Texts that a spreadsheet would compute, since they begin like formulas, get an apostrophe in front.
    """
    return csv_text(_header(table), _fields(table))


def plain_rows(table: Table) -> list[dict[str, Value]]:
    """Return a table's rows as the CSV has them: column name to value, numbers at full precision."""
    header = _header(table)
    return [dict(zip(header, fields, strict=True)) for fields in _fields(table)]


def csv_text(header: Iterable[str], rows: Iterable[Iterable[Value]]) -> str:
    """Return rows of values as CSV, like `to_csv`."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([table_cell(name) for name in header])
    writer.writerows([_plain(value) for value in row] for row in rows)
    return out.getvalue()


def texts(cell: Cell) -> list[str]:
    """Return what a cell's fields are in CSV."""
    return [_plain(value) for value in cell.values or (cell.text,)]


def _header(table: Table) -> list[str]:
    return [*(["group"] * _grouped(table)), *(name for item in table.columns for name in item.names)]


def _fields(table: Table) -> Iterator[list[Value]]:
    for row in table.rows:
        fields: list[Value] = [row.group] if _grouped(table) else []
        for column, cell in zip(table.columns, row.cells, strict=True):
            values = cell.values or (cell.text,)
            if len(values) != len(column.fields):
                raise ValueError(f"table {table.name}: column {column.key} has {len(column.fields)} fields")
            fields.extend(values)
        yield fields


def _grouped(table: Table) -> bool:
    return any(row.group for row in table.rows)


def _plain(value: Value) -> str:
    if value is None:
        return ""
    return repr(value) if isinstance(value, float) else table_cell(str(value))
