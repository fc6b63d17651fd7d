"""The lines of a batch's file: what many jobs share is written once, and read once."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, TypeAdapter

from bench_core.plan.job import Digest, Index, Job, JobDataset, JobFold, JobModel, Need, Role, Text, Work
from bench_core.spec.training import Pixels, Scoring
from bench_core.text import json_visible

if TYPE_CHECKING:
    from bench_core.execute.batch import Requirement

MOST_JOBS = 1_000_000
MOST_PARTS = 1_000_000
_KINDS: Mapping[str, Any] = {
    "model": JobModel,
    "dataset": JobDataset,
    "fold": JobFold,
    "pixels": Pixels,
    "scoring": Scoring,
    "work": Annotated[Work, Field(discriminator="kind")],
}
Place = Annotated[int, Field(ge=0, lt=MOST_PARTS)]


@dataclass(frozen=True, slots=True)
class _Row:
    """A job as its line tells it; parts by their number."""

    digest: Digest
    name: Text
    """For people who read the file."""
    stage: Text
    model: Place
    dataset: Place
    fold: Place
    pixels: Place
    scoring: Place
    work: Place
    seed: int
    needs: tuple[tuple[Digest, Role], ...] = ()
    repeat: Index = 0
    memory: Annotated[int, Field(ge=0, lt=2**60)] | None = None
    devices: Annotated[int, Field(ge=1, lt=2**12)] = 1


def lines_of(
    head: Mapping[str, Any], jobs: Sequence[Job] = (), requirements: Mapping[str, Requirement] | None = None
) -> list[bytes]:
    """Return a header's line, then those of the parts and jobs, each with its end."""
    lines = [_line(head)]
    lines += _Writer(requirements or {}).written(jobs)
    return lines


class _Writer:
    def __init__(self, requirements: Mapping[str, Requirement]) -> None:
        self._requirements = requirements
        self._of_object: dict[tuple[str, int], int] = {}
        self._of_text: dict[tuple[str, str], int] = {}
        self._count = dict.fromkeys(_KINDS, 0)
        self._parts: list[bytes] = []

    def written(self, jobs: Sequence[Job]) -> list[bytes]:
        rows = [_line(self._row(job)) for job in jobs]
        return [*self._parts, *rows]

    def _row(self, job: Job) -> dict[str, Any]:
        row: dict[str, Any] = {"digest": job.digest, "name": job.name, "stage": job.stage}
        row |= {kind: self._place(kind, getattr(job, kind)) for kind in _KINDS}
        row["seed"] = job.seed
        if job.needs:
            row["needs"] = [[need.digest, need.role] for need in job.needs]
        if job.repeat:
            row["repeat"] = job.repeat
        asked = self._requirements.get(job.digest)
        if asked is not None:
            row |= {"memory": asked.memory, "devices": asked.devices}
        return row

    def _place(self, kind: str, part: object) -> int:
        # The jobs are held by the caller, so that no object's number is used twice meanwhile.
        known = self._of_object.get((kind, id(part)))
        if known is not None:
            return known
        text = json.dumps(_adapter(kind).dump_python(part, mode="json"), sort_keys=True)
        place = self._of_text.get((kind, text))
        if place is None:
            place = self._count[kind]
            self._count[kind] += 1
            self._of_text[kind, text] = place
            self._parts.append(_line({"part": kind, "value": json.loads(text)}))
        self._of_object[kind, id(part)] = place
        return place


@dataclass
class Reader:
    """Takes the lines of parts and jobs in turn; raises ValueError or KeyError where one does not fit."""

    count: int
    """Jobs that the header promises."""
    jobs: list[Job] = field(default_factory=list)
    requirements: dict[str, tuple[int | None, int]] = field(default_factory=dict)
    _parts: dict[str, list[Any]] = field(default_factory=lambda: {kind: [] for kind in _KINDS})

    @property
    def complete(self) -> bool:
        """True once all jobs are there."""
        return len(self.jobs) >= self.count

    def take(self, data: Any) -> None:
        """Take one line."""
        if not isinstance(data, dict):
            raise ValueError("a line is neither a part nor a job")
        if "part" in data:
            kind = data["part"]
            self._parts[kind].append(_adapter(kind).validate_python(data["value"], strict=False))
            if len(self._parts[kind]) > MOST_PARTS:
                raise ValueError("it holds too many parts")
            return
        row = _rows().validate_python(data, strict=False)
        parts = {kind: self._parts[kind][getattr(row, kind)] for kind in _KINDS}
        needs = tuple(Need(digest, role) for digest, role in row.needs)
        self.jobs.append(
            Job(digest=row.digest, stage=row.stage, seed=row.seed, needs=needs, repeat=row.repeat, **parts)
        )
        if row.memory is not None or row.devices != 1:
            self.requirements[row.digest] = (row.memory, row.devices)


def _line(data: Mapping[str, Any]) -> bytes:
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return json_visible(text).encode() + b"\n"


@cache
def _adapter(kind: str) -> TypeAdapter[Any]:
    return TypeAdapter(_KINDS[kind])


@cache
def _rows() -> TypeAdapter[_Row]:
    return TypeAdapter(_Row)
