"""A table's columns as LaTeX sets them: what is beside what, and how much room it takes."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from bench_core.report.latex.widths import (
    BOLD,
    SPACE,
    STAR,
    SUPERSCRIPT,
    longest_word,
    stacked,
    text_width,
)
from bench_core.report.tables import Cell, Table

NUMBER = re.compile(r"([+\-−]?)(\d+)(?:\.(\d+))?")


@dataclass(frozen=True)
class Slot:
    """One column of a table. Widths are in points at 10 pt, without the space between columns."""

    numeric: bool
    head: tuple[str, ...]
    """Lines of its heading."""
    width: float
    paired: bool
    """Set as two columns: what is aligned, and after it what is said in small print."""
    starred: bool
    """Some cell has a star, so all keep room for it."""
    number: str | None
    """Format of its numbers for siunitx: sign, digits before and after the point; None for other texts."""
    least: float | None
    """Width of its longest word, where its texts may be broken into lines."""
    wrapped: float | None = None
    """Width of its lines, where they are."""

    @property
    def taken(self) -> float:
        """The width that it takes."""
        return self.width if self.wrapped is None else self.wrapped


def slots_of(table: Table, siunitx: bool = False) -> tuple[Slot, ...]:
    """Return a table's columns, none broken into lines but headings between words."""
    return tuple(_slot(table, place, siunitx) for place in range(len(table.columns)))


def wrapped(slots: tuple[Slot, ...], room: float) -> tuple[Slot, ...] | None:
    """Return the columns with texts broken into lines so that they take no more than `room`, or None.

    Wide columns give way first: all that are broken get one width, and none is narrower than its words.
    """
    over = sum(slot.taken for slot in slots) - room
    if over <= 0:
        return slots
    soft = [slot for slot in slots if slot.least is not None]
    left = room - sum(slot.taken for slot in slots if slot.least is None)
    if sum(slot.least or 0.0 for slot in soft) > left:
        return None
    low, high = 0.0, max(slot.width for slot in soft)
    for _ in range(40):
        middle = (low + high) / 2
        if sum(_level(slot, middle) for slot in soft) > left:
            high = middle
        else:
            low = middle
    return tuple(
        replace(slot, wrapped=_level(slot, low)) if slot.least is not None and slot.width > low else slot
        for slot in slots
    )


def _level(slot: Slot, width: float) -> float:
    return min(slot.width, max(width, slot.least or 0.0))


def _slot(table: Table, place: int, siunitx: bool) -> Slot:
    column = table.columns[place]
    cells = [row.cells[place] for row in table.rows]
    starred = any("best" in cell.marks for cell in cells)
    paired = column.numeric and any(cell.small or cell.notes or "best" in cell.marks for cell in cells)
    aligned = max((text_width(cell.text, is_bold(cell)) for cell in cells), default=0.0)
    rest = max((_rest(cell) for cell in cells), default=0.0) + (STAR if starred else 0.0)
    body = (
        aligned + (0.0 if starred else SPACE) + rest
        if paired
        else max((_whole(cell) for cell in cells), default=0.0)
    )
    words = column.title.split(" ")
    widest = max(body, *(text_width(word) for word in words))
    head = tuple(stacked(column.title, widest))
    least = None
    if not paired:
        longest = max((longest_word(full_text(cell)) for cell in cells), default=0.0)
        least = max(longest * BOLD, *(text_width(word) for word in words))
        least = least if least < body else None
    number = _number(cells) if siunitx and column.numeric else None
    return Slot(column.numeric, head, widest, paired, starred, number, least)


def is_bold(cell: Cell) -> bool:
    """Say whether a cell's text is bold."""
    return "family" in cell.marks or "chosen" in cell.marks


def full_text(cell: Cell) -> str:
    """Return all that a cell prints, its footnotes' marks included."""
    return f"{cell.text} {cell.small}".strip() + ", ".join(cell.notes)


def _rest(cell: Cell) -> float:
    return text_width(cell.small) + SUPERSCRIPT * text_width(", ".join(cell.notes))


def _whole(cell: Cell) -> float:
    star = STAR if "best" in cell.marks else 0.0
    space = SPACE if cell.small else 0.0
    return text_width(cell.text, is_bold(cell)) + star + space + _rest(cell)


def _number(cells: list[Cell]) -> str | None:
    found = [match for cell in cells if (match := NUMBER.fullmatch(cell.text))]
    if not found:
        return None
    sign = next((match[1] for match in found if match[1]), "").replace("−", "-")
    before = max(len(match[2]) for match in found)
    after = max(len(match[3] or "") for match in found)
    return f"{sign}{before}.{after}"
