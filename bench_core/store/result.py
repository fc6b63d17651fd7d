"""A result: what a finished job leaves behind, and from which every number of a report is derived."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from bench_core.errors import DivergedError
from bench_core.records import EpochRecord

RESULT_FORMAT = 1


@dataclass(frozen=True)
class Failure:
    """Why a job failed."""

    digest: str
    name: str
    """The job's readable name."""
    kind: str
    """Class of the error, for example TrainingError; WorkerDied where the process was killed."""
    message: str
    place: str | None = None
    cause: str | None = None
    fix: str | None = None
    time: str = ""
    """When it failed, UTC, ISO 8601."""
    host: str = ""
    attempts: int = 1
    resumable: bool = False
    """True where the next run goes on from the last epoch instead of starting anew."""

    @property
    def diverged(self) -> bool:
        """True where loss or predictions were not finite: a search job's rate is then no candidate."""
        return self.kind == DivergedError.__name__

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON data."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Failure:
        """Rebuild from `to_json`'s data; raises TypeError on unknown or missing fields."""
        return cls(**data)


@dataclass(frozen=True)
class Result:
    """A sealed job."""

    digest: str
    learning_rate: float
    """The rate it trained with, chosen or given."""
    candidates: Mapping[str, float]
    """Learning rate (as text) to the search metric that chose it; empty where nothing was chosen."""
    epochs_run: int
    stopped_early: bool
    chosen_epoch: int
    """The epoch whose weights were tested."""
    monitor: str
    best_value: float
    """Monitored validation metric at the chosen epoch."""
    history: Sequence[EpochRecord]
    counts_split: str
    """Which images `counts.csv` is about: "test", or "validation" for search jobs."""
    parameters: int
    model_facts: Mapping[str, Any] = field(default_factory=dict)
    """What the builder reports: weights source, tensors loaded, sha256, notes for footnotes."""
    data_facts: Mapping[str, Any] = field(default_factory=dict)
    """Dataset fingerprint, fold hash, sizes of the splits."""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    """Versions, hardware, threads, device, channels_last, compile, command, time stamps."""
    seconds: float = 0.0
    """Wall time of training and testing, all attempts together."""
    peak_memory_bytes: int = 0
    """Of the device (CUDA) or the process (CPU)."""
    attempts: int = 1
    """How many times the job was started; above 1 it was resumed."""
    format: int = RESULT_FORMAT

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON data; a number that is undefined (NaN) becomes null."""
        plain: dict[str, Any] = finite(asdict(self))
        return plain

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Result:
        """Rebuild from `to_json`'s data; raises KeyError, TypeError or ValueError if it is not one."""
        values = dict(data)
        values["history"] = tuple(_epoch(record) for record in values["history"])
        values["best_value"] = _number(values["best_value"])
        values["candidates"] = {rate: _number(value) for rate, value in values["candidates"].items()}
        return cls(**values)


def finite(value: Any) -> Any:
    """Return JSON data with every NaN or infinity replaced by None, tuples by lists."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return value


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _epoch(record: Mapping[str, Any]) -> EpochRecord:
    values = dict(record)
    values["loss"] = _number(values["loss"])
    values["validation"] = {name: _number(value) for name, value in values["validation"].items()}
    return EpochRecord(**values)
