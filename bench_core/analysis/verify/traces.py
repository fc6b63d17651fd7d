"""Reads a trace back, checking that it is whole."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench_core.errors import StoreError
from bench_core.store.folder import fix_for

Ids = tuple[str, ...]


@dataclass(frozen=True, eq=False)
class TracedEpoch:
    """One epoch of a trace."""

    line: int
    """Where its first step stands in the file, from 1."""
    batches: tuple[Ids, ...]
    """Sample ids, step by step."""
    rates: NDArray[np.float64]
    """[steps]"""
    losses: NDArray[np.float64]
    """[steps], NaN where not finite."""
    loss: float
    validation: Mapping[str, float]

    @property
    def order(self) -> Ids:
        """Sample ids as they were shown."""
        return tuple(sample for batch in self.batches for sample in batch)


def read_trace(path: Path, known: dict[Ids, Ids] | None = None) -> tuple[TracedEpoch, ...]:
    """Return the epochs of a trace; raises StoreError with the line where it breaks off or is garbled.

    Traces of one fold repeat each other's batches: those that are in `known` are kept once.
    """
    known = {} if known is None else known
    epochs: list[TracedEpoch] = []
    steps: list[tuple[Ids, float, float]] = []
    number = 0
    try:
        with path.open(encoding="utf-8", newline="\n") as file:
            for number, line in enumerate(file, start=1):
                data = json.loads(line)
                _expect(line.endswith("\n"), "the last line is cut off")
                _expect(data["epoch"] == len(epochs), f"expected epoch {len(epochs)}, found {data['epoch']}")
                if "step" in data:
                    _expect(data["step"] == len(steps), f"expected step {len(steps)}, found {data['step']}")
                    ids = tuple(str(sample) for sample in data["ids"])
                    steps.append((known.setdefault(ids, ids), float(data["lr"]), _number(data["loss"])))
                else:
                    _expect(bool(steps), "an epoch without steps")
                    epochs.append(_epoch(data, steps, number - len(steps)))
                    steps = []
        number += 1
        _expect(not steps, f"epoch {len(epochs)} breaks off after {len(steps)} steps")
        _expect(bool(epochs), "no epoch in it")
    except FileNotFoundError as error:
        raise StoreError(
            "file is missing from the store", place=str(path), fix=fix_for(path.parent)
        ) from error
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise StoreError(
            "damaged file in the store",
            place=f"{path}:{number}",
            cause=f"{type(error).__name__}: {error}".splitlines()[0],
            fix=fix_for(path.parent),
        ) from error
    return tuple(epochs)


def _epoch(data: Mapping[str, Any], steps: list[tuple[Ids, float, float]], line: int) -> TracedEpoch:
    return TracedEpoch(
        line=line,
        batches=tuple(ids for ids, _, _ in steps),
        rates=np.array([rate for _, rate, _ in steps]),
        losses=np.array([loss for _, _, loss in steps]),
        loss=_number(data["loss"]),
        validation={name: _number(value) for name, value in data["validation"].items()},
    )


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _expect(true: bool, otherwise: str) -> None:
    if not true:
        raise ValueError(otherwise)
