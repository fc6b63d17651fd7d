"""Texts broken into lines where they may be broken: between items, or between words under an indent."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

MOST_COLUMNS = 10_000
"""Columns of a screen on which nothing is cut off."""


def is_screen(console: Console) -> bool:
    """Return whether lines are to be broken: a pipe gets them whole, unless COLUMNS asks for a width."""
    return console.is_terminal or bool(os.environ.get("COLUMNS"))


def fits(table: Table, console: Console) -> bool:
    """Return whether a console shows a table without cutting or breaking what its columns must hold."""
    from rich.measure import Measurement

    everything = console.options.update(max_width=MOST_COLUMNS)
    return Measurement.get(console, everything, table).minimum <= console.width


def flow(items: Iterable[Text | str], width: int, gap: str = "  ", indent: str = "") -> Text:
    """Return items side by side, `gap` between them, in lines of at most `width` columns.

    Lines after the first begin with `indent`. An item is only broken where it alone is wider than a line.
    """
    from rich.text import Text

    lines: list[Text] = []
    for item in items:
        added = Text(item) if isinstance(item, str) else item.copy()
        if lines and lines[-1].cell_len + len(gap) + added.cell_len <= width:
            lines[-1].append(gap).append_text(added)
        else:
            lines.append(Text(indent if lines else "").append_text(added))
    flowing = Text("\n").join(lines)
    flowing.overflow = "fold"
    return flowing


def hanging(text: str, console: Console, first: str = "  ", rest: str = "    ") -> Text:
    """Return a text under `first`, its further lines under `rest`, between words where that can be."""
    from rich.text import Text

    width = max(1, console.width - len(rest))
    first_line, *others = Text(text, overflow="fold").wrap(console, width)
    first_line.rstrip()
    lines = [Text(first).append_text(first_line)]
    for line in others:
        line.rstrip()
        lines.append(Text(rest).append_text(line))
    return Text("\n").join(lines)
