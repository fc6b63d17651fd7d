"""Two records to lines of a table: equal, or the first difference in words."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch

from bench_core.conformance.items import EXACT, ITEMS, Item, Tolerance
from bench_core.conformance.record import AFTER, Key, Record, Section, Tensors, place

State = Literal["equal", "different", "not compared"]
Moment = tuple[int, int, int, int]
"""When a difference was seen: section, number in it, and the item's place in the causal order."""


@dataclass(frozen=True)
class Row:
    """One item of two records."""

    item: str
    values: tuple[str, str]
    """What the two sides have, in a few words."""
    state: State
    note: str = ""
    """The first difference, or why nothing was compared."""
    moment: Moment | None = None
    """Of the first difference."""


def compare(left: Record, right: Record, *, exact: bool, width: float = 1.0) -> list[Row]:
    """Return one row per item, and one for how the two trainings ended; they are of one job.

    Unless `exact`, the items' tolerances are multiplied by `width`.
    """
    rows = [
        _row(rank, item, left, right, EXACT if exact else item.loose * width)
        for rank, item in enumerate(ITEMS)
    ]
    ends = _pair(record.error or "trained and tested" for record in (left, right))
    failed = left.error is not None or right.error is not None
    end: Moment = (AFTER, AFTER, 0, len(ITEMS))
    state: State = "different" if failed else "equal"
    rows.append(Row("end", ends, state, " / ".join(ends) if failed else "", end if failed else None))
    return rows


def first_difference(rows: Sequence[Row]) -> Row | None:
    """Return the row that differs first in time; what differs later may follow from it."""
    different = [row for row in rows if row.moment is not None]
    return min(different, key=lambda row: row.moment or (AFTER, AFTER, 0, 0), default=None)


def _row(rank: int, item: Item, left: Record, right: Record, tolerance: Tolerance) -> Row:
    values = [
        [value for key in sorted(record.sections) for value in record.sections[key].values.get(item.name, ())]
        for record in (left, right)
    ]
    words = _pair(
        item.summary(record, found) if found else "-"
        for record, found in zip((left, right), values, strict=True)
    )
    compared = 0
    for key in _keys(left, right):
        ours, theirs = (record.sections.get(key, _absent(record)) for record in (left, right))
        found = _in_section(item, ours, theirs, tolerance)
        if found is not None:
            index, text = found
            moment = (*key, index, rank)
            return Row(item.name, words, "different", f"{place(key, index, item.unit)}: {text}", moment)
        compared += min(len(section.values.get(item.name, ())) for section in (ours, theirs))
    failed = left.error is not None or right.error is not None
    if failed and (compared == 0 or len(values[0]) != len(values[1])):
        until = "equal until the runner failed" if compared else "not reached"
        return Row(item.name, words, "not compared", until)
    lengths = len(values[0]) != len(values[1])
    return Row(item.name, words, "equal", "in the epochs that both trained" if lengths else "")


def _pair(words: Iterable[str]) -> tuple[str, str]:
    left, right = words
    return left, right


def _keys(left: Record, right: Record) -> Iterator[Key]:
    """Yield the sections to compare.

    An epoch that only one of two whole trainings has is not a difference of every item but of the stopping
    epoch, and a resumed training lacks the epochs before it.
    """
    for key in sorted(left.sections.keys() | right.sections.keys()):
        if key[0] == AFTER or (key in left.sections and key in right.sections):
            yield key


def _absent(record: Record) -> Section:
    return Section(whole=record.error is None)


def _in_section(item: Item, left: Section, right: Section, tolerance: Tolerance) -> tuple[int, str] | None:
    """Return number and words of the first difference."""
    ours, theirs = (section.values.get(item.name, ()) for section in (left, right))
    for index, (one, other) in enumerate(zip(ours, theirs, strict=False)):
        text = difference(one, other, tolerance)
        if text is not None:
            return index, text
    shorter, section = (len(ours), left) if len(ours) < len(theirs) else (len(theirs), right)
    if len(ours) != len(theirs) and section.whole:
        unit = {"step": "steps", "batch": "batches", "line": "lines", "": "values"}[item.unit]
        return shorter, f"{len(ours)} / {len(theirs)} {unit}"
    return None


def difference(left: Any, right: Any, tolerance: Tolerance) -> str | None:
    """Return the first difference of two observed values as "left / right", None where they are equal."""
    if isinstance(left, Tensors) and isinstance(right, Tensors):
        return _of_tensors(left, right, tolerance)
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        for key in dict.fromkeys((*left, *right)):
            # A hash of weights says nothing once their last bits may differ.
            if key == "tested weights" and tolerance != EXACT:
                continue
            if key == "epoch" and "tested" in left and tolerance != EXACT:
                continue
            text = difference(left.get(key), right.get(key), tolerance)
            if text is not None:
                return f"{key} {text}"
        return None
    if isinstance(left, (list, tuple)) and isinstance(right, (list, tuple)):
        if len(left) != len(right):
            return f"{len(left)} / {len(right)} values"
        texts = (difference(one, other, tolerance) for one, other in zip(left, right, strict=True))
        return next((text for text in texts if text is not None), None)
    if _is_number(left) and _is_number(right):
        return None if _close(left, right, tolerance) else _both(left, right)
    return None if left == right else f"{left} / {right}"


def _of_tensors(left: Tensors, right: Tensors, tolerance: Tolerance) -> str | None:
    if left.hashes == right.hashes:
        return None
    names = dict.fromkeys((*left.hashes, *right.hashes))
    name = next(name for name in names if left.hashes.get(name) != right.hashes.get(name))
    if name not in left.hashes or name not in right.hashes:
        return f"{name}: {' / '.join('there' if name in one.hashes else 'absent' for one in (left, right))}"
    apart = distance(left, right)
    if tolerance != EXACT and apart <= tolerance.relative:
        return None
    return f"{name}: norm {_both(left.norms[name], right.norms[name])}, relative distance {apart:.1e}"


def distance(left: Tensors, right: Tensors) -> float:
    """Return the L2 distance over the larger L2 norm, of the tensors or, without copies, of their norms."""
    norm = max(math.hypot(*one.norms.values()) for one in (left, right)) or 1.0
    ours, theirs = left.copies, right.copies
    if ours is None or theirs is None:
        return math.dist(*([one.norms.get(name, 0.0) for name in left.norms] for one in (left, right))) / norm
    if any(name not in theirs or ours[name].shape != theirs[name].shape for name in ours):
        return math.inf
    squares = ((ours[name].double() - theirs[name].double()).square().sum() for name in ours)
    return math.sqrt(float(sum(squares, torch.zeros((), dtype=torch.float64)))) / norm


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _close(left: float, right: float, tolerance: Tolerance) -> bool:
    if left == right or (math.isnan(left) and math.isnan(right)):
        return True
    return abs(left - right) <= tolerance.absolute + tolerance.relative * max(abs(left), abs(right))


def _both(left: float, right: float) -> str:
    """Return both numbers, with as many digits as tell them apart."""
    for digits in (6, 9, 17):
        texts = [f"{number:.{digits}g}" for number in (left, right)]
        if texts[0] != texts[1]:
            break
    return " / ".join(texts)
