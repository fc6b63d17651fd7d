"""Tables of the step `cost`: operations by formula, and what a device takes, measured."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, fields

from bench_core.metrics.tables import Rows, TableError

OPERATIONS, MEASURED = "cost-operations", "cost-measured"
"""Names of the records."""
MEASURING = 1
"""Version of how things are measured; measurements of different versions are never put side by side."""
UNITS = {"time": "s", "memory": "B", "energy": "J"}
"""What is measured. Time is of one pass, memory the most at one time, energy of one image."""
PHASES = ("inference", "training")
_MOST = {"time": 1e6, "memory": 1e15, "energy": 1e9}
_LARGEST_COUNT = 2**62
_OPERATION_COLUMNS = ("operation", "calls", "macs", "other")


@dataclass(frozen=True)
class Done:
    """All calls of one operation in one pass of one image."""

    operation: str
    calls: int
    macs: int
    """Multiply-adds of convolutions and products of matrices."""
    other: int
    """Other floating-point operations."""


@dataclass(frozen=True)
class Setting:
    """Under what something was measured; times under different settings are not compared."""

    version: int
    device: str
    """cpu or cuda."""
    device_name: str
    software: str
    threads: int
    precision: str


@dataclass(frozen=True)
class Measured:
    """One measurement."""

    what: str
    """A key of UNITS."""
    phase: str
    batch: int
    """Images of one pass."""
    value: float
    """The median over runs of a time; NaN: not known."""
    low: float
    """First quartile; like `high` the value itself where there is one run."""
    high: float
    runs: int
    how: str
    """What was read, or why the value is not known."""
    setting: Setting

    @property
    def known(self) -> bool:
        """Whether there is a value."""
        return not math.isnan(self.value)


_SETTING_COLUMNS = tuple(field.name for field in fields(Setting))
_VALUE_COLUMNS = ("what", "phase", "batch", "value", "low", "high", "runs", "unit", "how")
_MEASURED_COLUMNS = (*_VALUE_COLUMNS, *_SETTING_COLUMNS)


def operation_rows(found: Sequence[Done]) -> Iterator[dict[str, object]]:
    """Yield one row per operation."""
    for item in found:
        yield dict(zip(_OPERATION_COLUMNS, astuple(item), strict=True))


def read_operations(rows: Rows) -> tuple[Done, ...]:
    """Return the operations; raise TableError."""
    found: dict[str, Done] = {}
    for row in rows:
        _check(row, _OPERATION_COLUMNS)
        calls, macs, other = (_whole(row[name], _LARGEST_COUNT) for name in _OPERATION_COLUMNS[1:])
        if calls < 1 or not row["operation"] or row["operation"] in found:
            raise TableError(f"operation {row['operation']!a:.60} is listed twice, or never called")
        found[row["operation"]] = Done(row["operation"], calls, macs, other)
    if not found:
        raise TableError("it lists no operation")
    return tuple(found.values())


def operation_values(found: Sequence[Done]) -> dict[str, float]:
    """Return what a job says of its operations, in billions (10^9) per image."""
    macs, other = sum(item.macs for item in found), sum(item.other for item in found)
    return {"gmac": macs / 1e9, "other-gflop": other / 1e9, "gflop": (2 * macs + other) / 1e9}


def measured_rows(found: Sequence[Measured]) -> Iterator[dict[str, object]]:
    """Yield one row per measurement."""
    for item in found:
        numbers = (float(value) for value in (item.value, item.low, item.high))
        row = (item.what, item.phase, item.batch, *numbers, item.runs, UNITS[item.what], item.how)
        yield dict(zip(_MEASURED_COLUMNS, (*row, *astuple(item.setting)), strict=True))


def read_measured(rows: Rows) -> tuple[Measured, ...]:
    """Return the measurements, of any version; raise TableError, also for what no machine can measure."""
    found: dict[tuple[object, ...], Measured] = {}
    for row in rows:
        _check(row, _MEASURED_COLUMNS)
        what, phase = row["what"], row["phase"]
        if what not in UNITS or row["unit"] != UNITS[what] or phase not in PHASES:
            raise TableError(f"{phase!a:.40} {what!a:.40} in {row['unit']!a:.40} is not a measurement")
        version, threads = _whole(row["version"], 10**6), _whole(row["threads"], 10**5)
        texts = (row["device"], row["device_name"], row["software"])
        setting = Setting(version, *texts, threads, row["precision"])
        value, low, high = (_number(row[name], _MOST[what]) for name in ("value", "low", "high"))
        batch, runs = _whole(row["batch"], 10**6), _whole(row["runs"], 10**9)
        item = Measured(what, phase, batch, value, low, high, runs, row["how"], setting)
        possible = runs and 0 < low <= value <= high if item.known else not runs
        if batch < 1 or not possible:
            told = f"{value}, from {low} to {high} of {runs}"
            raise TableError(f"the {phase} {what} of batch {batch} is {told}")
        key = (what, phase, batch, setting)
        if key in found:
            raise TableError(f"the {phase} {what} of batch {batch} is there twice")
        found[key] = item
    return tuple(found.values())


def _check(row: object, columns: tuple[str, ...]) -> None:
    if not isinstance(row, dict) or tuple(row) != columns:
        raise TableError(f"its columns are not {', '.join(columns)}")


def _whole(text: str, most: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 20 and int(text) <= most):
        raise TableError(f"{text!a:.40} is not a whole number up to {most}")
    return int(text)


def _number(text: str, most: float) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.inf
    if not (math.isnan(value) or 0 <= value <= most):
        raise TableError(f"{text!a:.40} is not a number up to {most:g}")
    return value
