"""Tables as CSV: full precision, one column a number."""

from __future__ import annotations

import csv
import io

from bench_core.report.tables import Table, Value
from bench_core.text import table_cell


def to_csv(table: Table) -> str:
    """Return RFC 4180 text with LF ends; a value that does not exist is an empty field.

    Texts that a spreadsheet would compute, since they begin like formulas, get an apostrophe in front.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    grouped = any(row.group for row in table.rows)
    writer.writerow(
        [
            *(["group"] if grouped else []),
            *(table_cell(name) for item in table.columns for name in item.names),
        ]
    )
    for row in table.rows:
        fields: list[str] = [table_cell(row.group)] if grouped else []
        for column, cell in zip(table.columns, row.cells, strict=True):
            values = cell.values or (cell.text,)
            if len(values) != len(column.fields):
                raise ValueError(f"table {table.name}: column {column.key} has {len(column.fields)} fields")
            fields.extend(_plain(value) for value in values)
        writer.writerow(fields)
    return out.getvalue()


def _plain(value: Value) -> str:
    if value is None:
        return ""
    return repr(value) if isinstance(value, float) else table_cell(str(value))
