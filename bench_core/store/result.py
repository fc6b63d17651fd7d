"""A result: what a finished job leaves behind, and from which every number of a report is derived."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, TypeAdapter

from bench_core.errors import DivergedError
from bench_core.records import Count, DataFacts, NetworkFacts, Real, Seconds, TestedSplit, TrainingRecord

RESULT_FORMAT = 2
Line = Annotated[str, StringConstraints(max_length=65536)]


@dataclass(frozen=True)
class Failure:
    """Why a job failed."""

    digest: Line
    name: Line
    """The job's readable name."""
    kind: Line
    """Class of the error, for example TrainingError; WorkerDied where the process was killed."""
    message: Line
    place: Line | None = None
    cause: Line | None = None
    fix: Line | None = None
    time: Line = ""
    """When it failed, UTC, ISO 8601."""
    host: Line = ""
    attempts: Count = 1
    resumable: bool = False
    """True where the next run resumes from the last epoch instead of starting anew."""
    fault: Literal["method", "infrastructure"] = "method"
    """Whose: of code and data, which another try meets again, or of a machine, its memory or its disk."""
    memory: Count | None = None
    """Bytes that the worker had where they were too few; None otherwise."""

    @property
    def diverged(self) -> bool:
        """True where loss or predictions were not finite: a search job's rate is then no candidate."""
        return self.kind == DivergedError.__name__

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON data."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Any) -> Failure:
        """Rebuild from `to_json`'s data; raises ValueError naming the first value that does not fit."""
        return _failures().validate_python(data, strict=False)


@dataclass(frozen=True)
class Result:
    """A sealed job."""

    digest: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
    data: DataFacts
    training: TrainingRecord | None = None
    """Of jobs under the shared protocol."""
    tested: TestedSplit = "test"
    """Which images the counts and label maps are about."""
    values: Mapping[str, Real | str] = field(default_factory=dict)
    """Numbers of a step or of an own procedure."""
    artifacts: tuple[str, ...] = ()
    """Further files of the job, as paths in its folder: artifacts/NAME, records/NAME.csv."""
    network: NetworkFacts | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    """SHA-256 of the files that the numbers stand on: label maps, counts, weights."""
    basis: Mapping[str, str] = field(default_factory=dict)
    """SHA-256 of what made it besides the data: plugin files, weights files."""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    """Versions, hardware, threads, device, channels_last, compile, command, time stamps."""
    seconds: Seconds = 0.0
    """Wall time of all attempts together."""
    peak_memory_bytes: Count = 0
    """Of the device (CUDA) or the process (CPU)."""
    attempts: Annotated[int, Field(ge=1, lt=2**31)] = 1
    """How many times the job was started; above 1 it was resumed."""
    format: Annotated[int, Field(ge=RESULT_FORMAT, le=RESULT_FORMAT)] = RESULT_FORMAT

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON data; a number that is undefined (NaN) becomes null."""
        plain: dict[str, Any] = finite(self)
        return plain

    @classmethod
    def from_json(cls, data: Any) -> Result:
        """Rebuild from `to_json`'s data; raises ValueError naming the first value that does not fit."""
        return _results().validate_python(data, strict=False)


@cache
def _results() -> TypeAdapter[Result]:
    return TypeAdapter(Result)


@cache
def _failures() -> TypeAdapter[Failure]:
    return TypeAdapter(Failure)


def finite(value: Any) -> Any:
    """Return JSON data: records by their fields, tuples as lists, NaN and infinity as None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if is_dataclass(value):
        return {item.name: finite(getattr(value, item.name)) for item in fields(value)}
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return value
