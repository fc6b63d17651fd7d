"""All trainings of one network under two runners to one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bench_core.conformance.compare import Row, compare, first_difference
from bench_core.conformance.items import HALF, ITEMS
from bench_core.conformance.job import KILLED_AT_STEP, KILLED_IN_EPOCH, Kind
from bench_core.conformance.record import AFTER, Record
from bench_core.conformance.sharing import shared

SHORT: tuple[Kind, ...] = ("bf16", "fp16")
"""The jobs in mixed precision."""


@dataclass(frozen=True)
class Observed:
    """What was seen of one network under one runner."""

    whole: Record
    resumed: Record | None
    """The same job once more, by a process that resumes after a kill; None where it never got so far."""
    killed: str = ""
    """How the process before it ended, if not by the kill."""
    short: Mapping[Kind, Record] = field(default_factory=dict)
    lacking: Mapping[Kind, str] = field(default_factory=dict)
    """Short jobs that the device cannot compute, and why."""
    alone: Record | None = None
    """The job that one process trains and several share."""
    together: Sequence[Record] = ()
    """Of the processes that share it, in their order; none where that was not tried."""


@dataclass(frozen=True)
class Verdict:
    """The table of one network."""

    model: str
    rows: Sequence[Row]
    tried: bool = True
    """At least one runner trained a step."""

    @property
    def equal(self) -> bool:
        """True where nothing differs."""
        return all(row.state == "equal" for row in self.rows)

    @property
    def first(self) -> Row | None:
        """The row that differs first in time."""
        return first_difference(self.rows)


def judge(model: str, left: Observed, right: Observed, *, exact: bool) -> Verdict:
    """Compare all that was seen; bit for bit if `exact`, otherwise within the items' tolerances."""
    rows = compare(left.whole, right.whole, exact=exact)
    rows += [_short(kind, left, right, rank, exact) for rank, kind in enumerate(SHORT)]
    rows.append(_resume(left, right, exact))
    if left.together and right.together:
        rows.append(_sharing(left, right, exact))
    return Verdict(model, rows, tried=bool(left.whole.sections or right.whole.sections))


def _short(kind: Kind, left: Observed, right: Observed, rank: int, exact: bool) -> Row:
    item = f"{kind} job"
    lacking = left.lacking.get(kind) or right.lacking.get(kind)
    if lacking is not None:
        return Row(item, ("-", "-"), "equal", f"not tried: {lacking}")
    records = [one.short.get(kind, Record(error="it was not trained")) for one in (left, right)]
    words = (_weights(records[0]), _weights(records[1]))
    first = first_difference(compare(records[0], records[1], exact=exact, width=HALF))
    if first is None:
        return Row(item, words, "equal")
    moment = (AFTER, AFTER, 1 + rank, len(ITEMS))
    return Row(item, words, "different", f"{first.item}, {first.note}", moment)


def _weights(record: Record) -> str:
    sections = [record.sections[key] for key in sorted(record.sections)]
    hashes = [value.hash for section in sections for value in section.values.get("weights", ())]
    return record.error or (f"weights {hashes[-1][:8]}" if hashes else "-")


def _resume(left: Observed, right: Observed, exact: bool) -> Row:
    faults = [_fault(one, exact) for one in (left, right)]
    left_words, right_words = ("equal to the unbroken" if fault is None else "differs" for fault in faults)
    words = (left_words, right_words)
    if faults == [None, None]:
        return Row("resume after a kill", words, "equal")
    note = "; ".join(
        f"{side} runner, resumed / unbroken: {fault}"
        for side, fault in zip(("first", "second"), faults, strict=True)
        if fault is not None
    )
    return Row("resume after a kill", words, "different", note, (AFTER, AFTER, 9, len(ITEMS)))


def _sharing(left: Observed, right: Observed, exact: bool) -> Row:
    found = [shared(one.alone or Record(error="none"), one.together, exact=exact) for one in (left, right)]
    item = f"{len(left.together)} processes"
    left_words, right_words = (
        f"equal to one, losses within {one.loss:.0e}" if one.fault is None else "differs from one"
        for one in found
    )
    words = (left_words, right_words)
    if all(one.fault is None for one in found):
        return Row(item, words, "equal")
    note = "; ".join(
        f"{side} runner, {len(left.together)} processes / one: {one.fault}"
        for side, one in zip(("first", "second"), found, strict=True)
        if one.fault is not None
    )
    return Row(item, words, "different", note, (AFTER, AFTER, 10, len(ITEMS)))


def _fault(one: Observed, exact: bool) -> str | None:
    where = f"epoch {KILLED_IN_EPOCH + 1} step {KILLED_AT_STEP + 1}"
    if one.resumed is None:
        return f"{where} was never reached" + (f": {one.killed}" if one.killed else "")
    if one.whole.error is not None:
        return f"there is no unbroken training to compare with: {one.whole.error}"
    first = first_difference(compare(one.resumed, one.whole, exact=exact))
    if first is not None:
        return f"{first.item}, {first.note}"
    if one.resumed.first_epoch != KILLED_IN_EPOCH:
        return f"epoch {one.resumed.first_epoch + 1} / {KILLED_IN_EPOCH + 1} was the first after the kill"
    return None
