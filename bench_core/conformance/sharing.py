"""One process and several that share the same job: their records must tell the same training."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from bench_core.conformance.compare import distance
from bench_core.conformance.record import AFTER, END, OUTCOME, TESTING, Record, Tensors

LOSS = 1e-5
"""How far the loss of a step may be from one process's, on a CPU in float32."""
WEIGHTS = 1e-4
"""Relative L2 distance of the weights at an epoch's end."""
METRICS = 5e-3
"""Of a validation metric: a pixel may tip where two logits are nearly equal."""
_TIE = 1e-3
"""Logits that are no further apart are nearly equal."""


@dataclass(frozen=True)
class Sharing:
    """How far the training of several processes is from that of one."""

    loss: float = math.nan
    """Largest difference of a step's loss."""
    weights: float = math.nan
    """Largest difference of a weight at the end of an epoch; NaN where they were not kept."""
    pixels: int = 0
    """By how many the counts of the tested images differ."""
    ties: int = 0
    """Pixels of the tested images whose logits are nearly equal in one process."""
    fault: str | None = None
    """The first difference that rounding does not explain, in words: several processes / one."""


def shared(alone: Record, several: Sequence[Record], *, exact: bool = True, factor: float = 1.0) -> Sharing:
    """Compare the records of all processes with that of one.

    Ids, learning rates and the chosen epoch must be equal, numbers within `factor` times the tolerances,
    which are ten times as wide where bits differ from run to run (not `exact`). Counts may differ by as many
    pixels as are nearly tied.
    """
    errors = [f"process {rank + 1}: {one.error}" for rank, one in enumerate(several) if one.error]
    if alone.error or errors:
        return Sharing(fault="; ".join(errors) or f"there is no training by one process: {alone.error}")
    factor = factor if exact else 10 * factor
    first = several[0]
    ours, theirs = _lines(first), _lines(alone)
    pixels, ties = _counted(first, alone), _ties(alone)
    faults = [*_in_trace(ours, theirs, factor), *_in_weights(first, alone, factor), *_in_choice(first, alone)]
    if pixels > ties:
        faults.append(f"test counts differ by {pixels} pixels, and {ties} are nearly tied")
    steps = zip(ours, theirs, strict=False)
    losses = [
        abs(one["loss"] - other["loss"]) for one, other in steps if None not in (one["loss"], other["loss"])
    ]
    largest = [_largest(one, other) for one, other in _weights(first, alone)]
    return Sharing(
        loss=max(losses, default=math.nan),
        weights=max(largest, default=math.nan),
        pixels=pixels,
        ties=ties,
        fault=faults[0] if faults else None,
    )


def _lines(record: Record) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = record.sections[(AFTER, OUTCOME)].values["trace"]
    return lines


def _in_trace(ours: list[dict[str, Any]], theirs: list[dict[str, Any]], factor: float) -> Iterator[str]:
    for one, other in zip(ours, theirs, strict=False):
        place = f"epoch {one['epoch'] + 1}" + (f" step {one['step'] + 1}" if "step" in one else "")
        for key in ("epoch", "step", "ids", "lr"):
            if one.get(key) != other.get(key):
                yield f"{place}: {key} {one.get(key)} / {other.get(key)}"
        if not _near(one["loss"], other["loss"], LOSS * factor):
            yield f"{place}: loss {one['loss']} / {other['loss']}"
        values: Mapping[str, Any] = one.get("validation", {})
        for name, value in values.items():
            if not _near(value, other["validation"][name], METRICS * factor):
                yield f"{place}: {name} {value} / {other['validation'][name]}"
    if len(ours) != len(theirs):
        yield f"{len(ours)} / {len(theirs)} lines of the trace"


def _near(one: float | None, other: float | None, tolerance: float) -> bool:
    if one is None or other is None:
        return one is other
    return abs(one - other) <= tolerance * max(1.0, abs(other))


def _weights(first: Record, alone: Record) -> Iterator[tuple[Tensors, Tensors]]:
    for key in sorted(alone.sections):
        if key[1] == END and key[0] != AFTER and key in first.sections:
            yield first.sections[key].values["weights"][0], alone.sections[key].values["weights"][0]


def _in_weights(first: Record, alone: Record, factor: float) -> Iterator[str]:
    for epoch, (one, other) in enumerate(_weights(first, alone)):
        apart = distance(one, other)
        if not apart <= WEIGHTS * factor:
            yield f"end of epoch {epoch + 1}: weights at a relative distance of {apart:.1e}"


def _in_choice(first: Record, alone: Record) -> Iterator[str]:
    ours, theirs = (
        record.sections[(AFTER, OUTCOME)].values["chosen checkpoint"][0] for record in (first, alone)
    )
    # Another epoch is the better one where their values are the same within the tolerance.
    if ours["epoch"] != theirs["epoch"] and not _near(ours["value"], theirs["value"], METRICS):
        yield f"chosen checkpoint: epoch {ours['epoch']} / {theirs['epoch']}"
    if not ours["tested"]:
        yield "chosen checkpoint: other weights were tested"


def _counted(first: Record, alone: Record) -> int:
    ours, theirs = (record.sections[(AFTER, OUTCOME)].values["test counts"][0] for record in (first, alone))
    differences = 0
    for name in {**ours, **theirs}:
        one, other = ours.get(name), theirs.get(name)
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            differences = max(differences, sum(abs(one[key] - other[key]) for key in other))
        elif one != other:
            return 2**31
    return differences


def _ties(record: Record) -> int:
    found = 0
    for tensors in record.sections[(AFTER, TESTING)].values["test predictions"]:
        logits: Tensor = tensors.copies["logits"]
        best = logits.topk(2, dim=1).values
        found += int((best[:, 0] - best[:, 1] <= _TIE).sum())
    return found


def _largest(one: Tensors, other: Tensors) -> float:
    if one.copies is None or other.copies is None:
        return math.nan
    return max(
        (
            float((value - other.copies[name]).abs().max())
            for name, value in one.copies.items()
            if value.numel()
        ),
        default=0.0,
    )
