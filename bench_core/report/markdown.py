"""Tables as Markdown (GitHub's pipe tables)."""

from __future__ import annotations

from bench_core.report.tables import Cell, Table
from bench_core.text import visible

_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"} | {char: f"\\{char}" for char in "\\`*_{}[]|~#"}


def to_markdown(table: Table) -> str:
    """Return a heading, the table with best values bold, and its footnotes."""
    grouped = any(row.group for row in table.rows)
    heads = [*(["Family"] if grouped else []), *(column.title for column in table.columns)]
    rules = [*([":--"] if grouped else []), *("--:" if column.numeric else ":--" for column in table.columns)]
    lines = [f"### {escape(table.title)}", "", _line([escape(head) for head in heads]), _line(rules)]
    for row in table.rows:
        lines.append(_line([*([escape(row.group)] if grouped else []), *(_cell(cell) for cell in row.cells)]))
    if table.caption:
        lines += ["", escape(table.caption)]
    if table.notes:
        lines.append("")
        lines += [f"- <sup>{escape(mark)}</sup> {escape(text)}" for mark, text in table.notes]
    return "\n".join(lines) + "\n"


def escape(text: str) -> str:
    """Return text that Markdown shows as it is, on one line."""
    return "".join(_ESCAPES.get(char, char) for char in visible(" ".join(text.split())))


def _cell(cell: Cell) -> str:
    text = escape(cell.text)
    if "family" in cell.marks or "chosen" in cell.marks:
        text = f"**{text}**"
    if "best" in cell.marks:
        text += " ★"
    if cell.small:
        text += f" {escape(cell.small)}"
    if cell.notes:
        text += f" <sup>{escape(', '.join(cell.notes))}</sup>"
    return text


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"
