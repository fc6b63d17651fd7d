"""What differs between two results of one job: numbers first, then data, code, versions and hardware."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench_core.errors import BenchError
from bench_core.metrics.counts import micro
from bench_core.plan.job import Job
from bench_core.store import folder as files
from bench_core.store.result import Result
from bench_core.store.store import Store

MOST_LISTED = 12
"""Differences of provenance that are listed."""
PER_RUN = ("run", "environments")
"""Provenance that names one run: it differs by nature."""


@dataclass(frozen=True)
class Side:
    """A job in one store."""

    store: Store
    digest: str

    @property
    def folder(self) -> Path:
        """Where it is sealed."""
        return self.store.folder(self.digest)

    def job(self) -> Job:
        """Read the job."""
        return self.store.job(self.digest)

    def result(self) -> Result:
        """Read the result."""
        return self.store.result(self.digest)


def differences(one: Side, other: Side) -> list[str]:
    """Return in words what differs, "FIRST | SECOND"; raises StoreError where a result cannot be read."""
    left, right = one.result(), other.result()
    found = [*numbers(one, other, left, right)]
    if not found:
        found.append("the numbers are the same")
    found += stands_on(left, right)
    odd = list(conditions(left.provenance, right.provenance))
    found += odd[:MOST_LISTED] + ([f"and {len(odd) - MOST_LISTED} more"] if len(odd) > MOST_LISTED else [])
    for name in ("seconds", "attempts", "peak_memory_bytes"):
        mine, theirs = getattr(left, name), getattr(right, name)
        if mine != theirs:
            found.append(_said(name, mine, theirs))
    return found


def same_numbers(left: Result, right: Result) -> bool:
    """Say whether counts, label maps, values and history are equal, bit for bit."""
    files_of = [
        {name: item.files.get(name) for name in (files.COUNTS, files.PREDICTIONS)} for item in (left, right)
    ]
    return (
        files_of[0] == files_of[1]
        and dict(left.values) == dict(right.values)
        and _history(left) == _history(right)
    )


def numbers(one: Side, other: Side, left: Result, right: Result) -> Iterator[str]:
    """Yield which numbers differ."""
    for name, what in (
        (files.COUNTS, "pixel counts"),
        (files.PREDICTIONS, "label maps"),
        (files.BEST, "weights"),
    ):
        if left.files.get(name) != right.files.get(name):
            yield what + (_metrics(one, other) if name == files.COUNTS else "") + " differ"
    for name in sorted({*left.values, *right.values}):
        if left.values.get(name) != right.values.get(name):
            yield _said(f"value {name}", left.values.get(name), right.values.get(name))
    if left.training is not None and right.training is not None:
        for name in ("learning_rate", "chosen_epoch", "best_value", "epochs_run"):
            mine, theirs = getattr(left.training, name), getattr(right.training, name)
            if mine != theirs and not (mine != mine and theirs != theirs):
                yield _said(name, mine, theirs)
        if _history(left) != _history(right):
            yield "losses or validation metrics of epochs differ"


def stands_on(left: Result, right: Result) -> Iterator[str]:
    """Yield which data, plugins and weights files differ."""
    if left.data.fingerprint != right.data.fingerprint:
        yield _said("data", left.data.fingerprint[:12], right.data.fingerprint[:12])
    elif left.data.fold_hash != right.data.fold_hash:
        yield _said("folds", left.data.fold_hash[:12], right.data.fold_hash[:12])
    for name in sorted({*left.basis, *right.basis} - {"data"}):
        mine, theirs = left.basis.get(name, "none"), right.basis.get(name, "none")
        if mine != theirs:
            yield _said(name, mine[:12], theirs[:12])


def conditions(left: Mapping[str, Any], right: Mapping[str, Any]) -> Iterator[str]:
    """Yield which versions, hardware and settings of execution differ."""
    mine, theirs = flat(left), flat(right)
    for name in dict.fromkeys((*mine, *theirs)):
        if mine.get(name) != theirs.get(name):
            yield _said(name, mine.get(name, "unknown"), theirs.get(name, "unknown"))


def flat(data: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Return provenance by dotted name, without what names one run."""
    found: dict[str, str] = {}
    for key, value in data.items():
        if not prefix and key in PER_RUN:
            continue
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            found |= flat(value, f"{name}.")
        else:
            found[name] = str(value)
    return found


def _metrics(one: Side, other: Side) -> str:
    """Return the pooled mDSC of both sides in points; empty where they cannot be counted."""
    try:
        values = [side.store.counts(side.digest).values for side in (one, other)]
    except BenchError:
        return ""
    scores = [100 * float(micro(counts)["mdsc"]) for counts in values]
    return "" if any(np.isnan(scores)) else f" (micro mDSC {scores[0]:.4f} | {scores[1]:.4f})"


def _history(result: Result) -> list[tuple[float, float, tuple[tuple[str, float], ...]]] | None:
    """Return what each epoch gave, without its seconds; NaN equals NaN."""
    if result.training is None:
        return None
    return [
        (
            record.learning_rate,
            _comparable(record.loss),
            tuple((name, _comparable(value)) for name, value in sorted(record.validation.items())),
        )
        for record in result.training.history
    ]


def _comparable(value: float) -> float:
    return float("inf") if value != value else value


def _said(name: str, mine: object, theirs: object) -> str:
    return f"{name}: {_text(mine)} | {_text(theirs)}"


def _text(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)[:120]
