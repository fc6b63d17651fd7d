"""How a table gets onto a page: smaller letters, both columns, broken lines, several parts, in this order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from bench_core.report.latex.paper import Paper, with_columns, with_rows
from bench_core.report.latex.slots import Slot, full_text, slots_of, wrapped
from bench_core.report.latex.widths import lines, text_width
from bench_core.report.tables import Row, Table


@dataclass(frozen=True)
class Face:
    """A size of letters, with article's lines and the space that columns then have."""

    command: str
    ratio: float
    """To \\normalsize."""
    line: float
    """\\baselineskip in points."""
    space: float
    """\\tabcolsep in points."""


FACES = (
    Face("\\normalsize", 1.0, 12.0, 6.0),
    Face("\\small", 0.925, 11.0, 4.0),
    Face("\\footnotesize", 0.85, 9.5, 3.0),
)
SMALLEST = FACES[-1]
CAPTION_LINE = 12.0
NOTE = Face("\\footnotesize", 0.85, 9.5, 0.0)
_RULES = 24.0
"""Height of rules and of the space around them, in points."""
_GROUP_RULE = 6.0
_SAFE = 0.99
"""Share of a width that estimates may fill."""
_FULL = 0.94
"""Share of a page that a float may fill; higher ones are broken over pages."""


@dataclass(frozen=True)
class Part:
    """What of a table stands together, and how."""

    table: Table
    slots: tuple[Slot, ...]
    face: Face
    room: float
    """Width in points that there is."""
    wide: bool = False
    """Over both columns of the page."""
    long: bool = False
    """Higher than a page, and free to be broken over several."""
    number: int = 1
    of: int = 1


def parts_of(table: Table, paper: Paper) -> tuple[Part, ...]:
    """Return the parts in which a table fits a page; whatever is still too wide is for TeX to scale."""
    shown = paper.shown(table)
    found = [part for piece in _by_columns(shown, paper) for part in _by_height(piece, paper)]
    return tuple(replace(part, number=place + 1, of=len(found)) for place, part in enumerate(found))


def height(part: Part) -> float:
    """Return the estimated height of a part in points, with caption and footnotes."""
    face, table = part.face, part.table
    body = sum(_lines(row, part) for row in table.rows) + max(len(slot.head) for slot in part.slots)
    groups = [name for name, _ in table.groups if name]
    return (
        face.line * (body + len(groups))
        + _GROUP_RULE * len(groups)
        + _RULES
        + CAPTION_LINE * lines(f"Table 10: {table.title}. {table.caption}", part.room)
        + _notes_height(part)
    )


def _notes_height(part: Part) -> float:
    room = part.room / NOTE.ratio
    return NOTE.line * sum(lines(f"{mark} {text}", room) for mark, text in part.table.notes)


def _by_columns(table: Table, paper: Paper) -> list[Part]:
    slots = slots_of(table, paper.siunitx)
    places = [(False, paper.column_width)]
    if paper.two_columns:
        places.append((True, paper.text_width))
    for wide, room in places:
        for face in FACES:
            if _natural(slots, face) <= _SAFE * room:
                return [Part(table, slots, face, room, wide)]
    wide, room = places[-1]
    for face in FACES[1:]:
        found = _wrapped(slots, face, room)
        if found is not None:
            return [Part(table, found, face, room, wide)]
    groups = _groups(table, slots, room)
    pieces = [with_columns(table, group) for group in groups]
    return [_part(piece, paper, room, wide) for piece in pieces]


def _part(table: Table, paper: Paper, room: float, wide: bool) -> Part:
    slots = slots_of(table, paper.siunitx)
    # One size for all parts, that of the one which fits least.
    return Part(table, _wrapped(slots, SMALLEST, room) or slots, SMALLEST, room, wide)


def _groups(table: Table, slots: tuple[Slot, ...], room: float) -> list[tuple[int, ...]]:
    """Return the places of each part's columns: what names a row comes first in every one."""
    keys = tuple(range(_named(table)))
    if not _fits([slots[place] for place in (*keys, len(keys))], room):
        keys = (0,)
    rest = [place for place in range(len(slots)) if place not in keys]
    few = len(_greedy(keys, rest, slots, room))
    if few < 2:
        return [tuple(range(len(slots)))]
    # As many columns in each part, rather than one that is left over, where these fit, too.
    size = -(-len(rest) // few)
    even = [(*keys, *rest[start : start + size]) for start in range(0, len(rest), size)]
    if all(_fits([slots[place] for place in group], room) for group in even):
        return even
    return _greedy(keys, rest, slots, room)


def _named(table: Table) -> int:
    """Return how many of the first columns tell all rows apart, at most all but one."""
    most = len(table.columns) - 1
    for number in range(1, most):
        names = {(row.group, *(cell.text for cell in row.cells[:number])) for row in table.rows}
        if len(names) == len(table.rows):
            return number
    return 1


def _greedy(
    keys: tuple[int, ...], rest: Sequence[int], slots: tuple[Slot, ...], room: float
) -> list[tuple[int, ...]]:
    groups: list[tuple[int, ...]] = []
    for place in rest:
        if groups and _fits([slots[item] for item in (*groups[-1], place)], room):
            groups[-1] = (*groups[-1], place)
        else:
            groups.append((*keys, place))
    return groups


def _fits(slots: Sequence[Slot], room: float) -> bool:
    return _wrapped(tuple(slots), SMALLEST, room) is not None


def _natural(slots: Sequence[Slot], face: Face) -> float:
    return face.ratio * sum(slot.taken for slot in slots) + 2 * face.space * (len(slots) - 1)


def _wrapped(slots: tuple[Slot, ...], face: Face, room: float) -> tuple[Slot, ...] | None:
    return wrapped(slots, (_SAFE * room - 2 * face.space * (len(slots) - 1)) / face.ratio)


def _by_height(part: Part, paper: Paper) -> list[Part]:
    limit = _FULL * paper.height
    if height(part) <= limit:
        return [part]
    if not paper.two_columns:
        return [replace(part, long=True)]
    # longtable knows one column only, so rows are dealt to several floats.
    pieces: list[list[Row]] = []
    for row in part.table.rows:
        more = [*pieces[-1], row] if pieces else []
        if more and height(_of_rows(part, more, first=len(pieces) == 1)) <= limit:
            pieces[-1] = more
        else:
            pieces.append([row])
    return [_of_rows(part, rows, first=not place) for place, rows in enumerate(pieces)]


def _of_rows(part: Part, rows: Sequence[Row], first: bool) -> Part:
    table = with_rows(part.table, tuple(rows))
    return replace(part, table=table if first else replace(table, caption=""))


def _lines(row: Row, part: Part) -> int:
    return max(
        lines(full_text(cell), slot.wrapped) if slot.wrapped is not None else 1
        for cell, slot in zip(row.cells, part.slots, strict=True)
    )


def group_is_wide(name: str, part: Part) -> bool:
    """Say whether a group's name is wider than the columns below it."""
    return text_width(name) * part.face.ratio > _natural(part.slots, part.face)
