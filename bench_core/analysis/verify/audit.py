"""What is verified: the finished jobs of a plan as their folders have them, and who is compared with whom."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from bench_core.analysis.verify.findings import Finding, Level
from bench_core.analysis.verify.traces import Ids, TracedEpoch, read_trace
from bench_core.errors import BenchError
from bench_core.execute.ground import Ground
from bench_core.plan.expand import Plan
from bench_core.plan.job import Job
from bench_core.plugins.registry import Registry
from bench_core.records import Case, Counts, Predictions, TrainingRecord
from bench_core.spec.model import Spec
from bench_core.store.folder import CASES, COUNTS, JOB, PREDICTIONS, RESULT, TRACE
from bench_core.store.result import Result
from bench_core.store.store import Store

Read = TypeVar("Read")
Value = TypeVar("Value", bound=Hashable)


@dataclass(frozen=True)
class Subject:
    """A finished job: as it was planned, and each of its files, None where it cannot be read."""

    job: Job
    """As the spec plans it today."""
    store: Store
    known: dict[Ids, Ids] = field(default_factory=dict, repr=False)
    """Batches of the traces that were read so far."""
    unreadable: dict[str, BenchError] = field(default_factory=dict, repr=False)
    """File name to why it cannot be read; filled as files are asked for."""

    @property
    def folder(self) -> Path:
        """Where it is sealed."""
        return self.store.folder(self.job.digest)

    @property
    def left_out(self) -> frozenset[str]:
        """Files that the job left and that an archive does not hold."""
        return self.store.left_out.get(self.job.digest, frozenset())

    @cached_property
    def sealed(self) -> Job | None:
        """The job as it was run."""
        return self._read(JOB, lambda: self.store.job(self.job.digest))

    @cached_property
    def result(self) -> Result | None:
        """Its result."""
        return self._read(RESULT, lambda: self.store.result(self.job.digest))

    @property
    def training(self) -> TrainingRecord | None:
        """How it trained under the shared protocol; None for other work, or where nothing can be read."""
        return self.result.training if self.result is not None else None

    @cached_property
    def counts(self) -> Counts | None:
        """Its pixel counts; None for a step that left none."""
        if self.job.work.kind == "apply" and not (self.folder / COUNTS).exists():
            return None
        return self._read(COUNTS, lambda: self.store.counts(self.job.digest))

    @cached_property
    def trace(self) -> tuple[TracedEpoch, ...] | None:
        """Its trace; None for work that has none."""
        if self.job.work.kind != "train":
            return None
        return self._read(TRACE, lambda: read_trace(self.folder / TRACE, self.known))

    @cached_property
    def predictions(self) -> Predictions | None:
        """Its label maps; None for a step that left none."""
        if self.job.work.kind == "apply" and not (self.folder / PREDICTIONS).exists():
            return None
        return self._read(PREDICTIONS, lambda: self.store.predictions(self.job.digest))

    def forget(self) -> None:
        """Drop what is large; it is read again when it is asked for."""
        self.__dict__.pop("predictions", None)
        self.__dict__.pop("_cases", None)

    def cases(self) -> tuple[Case, ...] | None:
        """Return its pictures, None where they were left out; raises StoreError if they are damaged."""
        if isinstance(self._cases, BenchError):
            raise self._cases
        return self._cases

    @cached_property
    def _cases(self) -> tuple[Case, ...] | BenchError | None:
        if CASES in self.left_out:
            return None
        try:
            return self.store.cases(self.job.digest)
        except BenchError as error:
            return error

    def finding(
        self, message: str, file: str = "", line: int | None = None, level: Level = "error"
    ) -> Finding:
        """Return a finding about this job."""
        place = str(self.folder / file) + (f":{line}" if line is not None else "")
        return Finding(message, self.job.name, self.job.digest, place, level)

    def _read(self, name: str, read: Callable[[], Read]) -> Read | None:
        try:
            return read()
        except BenchError as error:
            self.unreadable[name] = error
            return None


@dataclass(frozen=True)
class Audit:
    """All finished jobs of a spec."""

    spec: Spec
    plan: Plan
    registry: Registry
    store: Store
    subjects: tuple[Subject, ...]
    ground: Ground | None = None
    """What jobs would stand on now; None where nobody looks."""
    _memo: dict[Hashable, Any] = field(default_factory=dict, repr=False)

    def same_split(self, subject: Subject) -> tuple[Subject, ...]:
        """Return all jobs that train on the same images: of one stage, dataset and fold."""
        return self._by_split[_split(subject.job)]

    def same_tested(self, subject: Subject) -> tuple[Subject, ...]:
        """Return all jobs that count the same images on the same grid, whatever their stage."""
        return self._by_tested[_tested(subject.job)]

    def same_data(self, subject: Subject) -> tuple[Subject, ...]:
        """Return all jobs on the same dataset."""
        return self._by_dataset[subject.job.dataset.label]

    def same_folds(self, subject: Subject) -> tuple[Subject, ...]:
        """Return all jobs on the same dataset, dealt into the same folds; steps on other data apart."""
        return self._by_folds[_folds(subject.job)]

    def same_cell(self, subject: Subject) -> tuple[Subject, ...]:
        """Return all jobs of the same model, dataset and kind of work."""
        return self._by_cell[_cell(subject.job)]

    def once(self, key: Hashable, compute: Callable[[], Read]) -> Read:
        """Return what `compute` gives, computed once for each key."""
        if key not in self._memo:
            self._memo[key] = compute()
        found: Read = self._memo[key]
        return found

    def usual(
        self, about: str, peers: Sequence[Subject], value: Callable[[Subject], Value | None]
    ) -> tuple[Value, Subject] | None:
        """Return the value that most of the peers have (of equal numbers the first), and the first with it.

        Peers without a value (None) do not count; None if there is no other. `about` names the value.
        """
        return self.once((about, peers[0].job.digest, len(peers)), lambda: _most_frequent(peers, value))

    @cached_property
    def _by_split(self) -> dict[Hashable, tuple[Subject, ...]]:
        return _grouped(self.subjects, lambda subject: _split(subject.job))

    @cached_property
    def _by_tested(self) -> dict[Hashable, tuple[Subject, ...]]:
        return _grouped(self.subjects, lambda subject: _tested(subject.job))

    @cached_property
    def _by_folds(self) -> dict[Hashable, tuple[Subject, ...]]:
        return _grouped(self.subjects, lambda subject: _folds(subject.job))

    @cached_property
    def _by_cell(self) -> dict[Hashable, tuple[Subject, ...]]:
        return _grouped(self.subjects, lambda subject: _cell(subject.job))

    @cached_property
    def _by_dataset(self) -> dict[Hashable, tuple[Subject, ...]]:
        return _grouped(self.subjects, lambda subject: subject.job.dataset.label)


def _most_frequent(
    peers: Sequence[Subject], value: Callable[[Subject], Value | None]
) -> tuple[Value, Subject] | None:
    values = [(found, peer) for peer in peers if (found := value(peer)) is not None]
    counted = Counter(found for found, _ in values)
    # The counter keeps the order in which values came up, and `max` takes the first of equal ones.
    best = max(counted, key=lambda found: counted[found]) if counted else None
    return next((item for item in values if item[0] == best), None)


def _split(job: Job) -> Hashable:
    return job.stage, job.dataset.label, job.fold.index, job.repeat


def _tested(job: Job) -> Hashable:
    return (*_folds(job), job.fold.test or job.fold.validation, job.pixels.model_dump_json())


def _folds(job: Job) -> tuple[Hashable, ...]:
    return job.dataset.label, job.fold.count, job.fold.deal


def _cell(job: Job) -> Hashable:
    return job.cell, job.work.kind


def _grouped(
    subjects: Sequence[Subject], key: Callable[[Subject], Hashable]
) -> dict[Hashable, tuple[Subject, ...]]:
    groups: dict[Hashable, list[Subject]] = {}
    for subject in subjects:
        groups.setdefault(key(subject), []).append(subject)
    return {name: tuple(members) for name, members in groups.items()}


def open_audit(
    spec: Spec, plan: Plan, registry: Registry, store: Store, ground: Ground | None = None
) -> Audit:
    """Return the finished jobs of a plan; their files are read when a check asks for them."""
    states = store.states()
    known: dict[Ids, Ids] = {}

    def subjects() -> Iterator[Subject]:
        for job in plan.jobs:
            if states.get(job.digest) == "done":
                yield Subject(job, store, known)

    return Audit(spec, plan, registry, store, tuple(subjects()), ground)
