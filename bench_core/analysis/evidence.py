"""The evidence of a study: its plan laid over what the store holds, loaded once for all analyses."""

from __future__ import annotations

from collections.abc import Callable, Generator, Hashable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from bench_core.analysis.measured import StepTables
from bench_core.analysis.packed_maps import MapCache
from bench_core.data.arrays import CachedArrays
from bench_core.declarations import Departure, Metric, Reference
from bench_core.declarations.work import Track
from bench_core.errors import StoreError
from bench_core.execute.ground import Change
from bench_core.plan.expand import Plan
from bench_core.plan.job import Job, JobDeviation
from bench_core.records import Case, Counts, Predictions, TrainingRecord
from bench_core.samples import Column, Samples, automatic_name
from bench_core.spec.model import Spec
from bench_core.store.accepted import Acceptance
from bench_core.store.result import Result
from bench_core.store.store import Store

GapState = Literal["todo", "running", "failed", "stale", "unreadable"]


@dataclass(frozen=True)
class Finished:
    """One sealed job, whatever its kind; its files are read when they are asked for."""

    job: Job
    result: Result
    store: Store
    tables: StepTables = field(default_factory=StepTables)
    """Of a step: its numbers per image and class."""
    maps: MapCache | None = field(default=None, repr=False, compare=False)
    """Where label maps are kept for the next part that asks for them."""

    @property
    def index(self) -> int:
        """Which split of the cross-validation this is; repeats of the same folds are counted on."""
        return self.job.fold.index + self.job.repeat * self.job.fold.count

    @property
    def training(self) -> TrainingRecord | None:
        """How it trained under the shared protocol; None for other work."""
        return self.result.training

    @cached_property
    def counts(self) -> Counts:
        """Pixel counts of the tested images; raises StoreError if they are missing or damaged."""
        return self.store.counts(self.job.digest)

    @property
    def cases(self) -> tuple[Case, ...]:
        """Example images with truth and prediction; raises StoreError if they are damaged."""
        return self.store.cases(self.job.digest)

    def predictions(self) -> Predictions:
        """Read the label maps of the tested images; raises StoreError if they are missing or damaged."""
        return self.store.predictions(self.job.digest)

    def each_prediction(self) -> Generator[tuple[str, NDArray[np.uint8]], None, None]:
        """Yield id and label map [S, S] of the tested images one at a time, in the order of `counts`.

        Raises StoreError where they are missing, or when damage is reached.
        """
        stream = self.store.each_prediction(self.job.digest)
        return stream if self.maps is None else self.maps.read(self.job.digest, stream)

    def records(self, name: str) -> list[dict[str, str]]:
        """Read a table that the job left; raises StoreError if it is missing or damaged."""
        return self.store.records(self.job.digest, name)

    def artifact(self, name: str) -> Path:
        """Return the path of a file that the job left; raises StoreError if it left none of this name."""
        if f"artifacts/{name}" not in self.result.artifacts:
            raise StoreError(f"{self.job.name} left no artifact {name!r}")
        return self.store.folder(self.job.digest) / "artifacts" / name


@dataclass(frozen=True)
class Cell:
    """One model on one dataset: what was planned and what is there."""

    model: str
    dataset: str
    planned: tuple[Job, ...]
    """Evaluate jobs, by fold."""
    folds: tuple[Finished, ...]
    """Those of them that are finished."""
    searches: tuple[Job, ...]
    trials: tuple[Finished, ...]
    """Finished search jobs."""
    steps: Mapping[str, tuple[Finished, ...]] = field(default_factory=dict)
    """Finished step jobs on this cell's evaluate jobs, by the step's label."""
    excluded: str | None = None
    """Why the spec leaves this cell out."""


@dataclass(frozen=True)
class ModelFacts:
    """A row of the study."""

    label: str
    title: str
    family: str
    runner: str
    options: Mapping[str, tuple[Any, Any]]
    """Those that differ from the declared defaults: the network's value, and the default."""
    deviations: tuple[JobDeviation, ...]
    departures: tuple[Departure, ...]
    """Where the network departs from its publication."""
    notes: tuple[str, ...]
    """What the builder reported, for example how weights were loaded."""
    parameters: tuple[int, ...]
    """Every distinct count that the results report: the head grows with the number of classes."""
    pretrained: str = "none"
    """The weights that it started from; none: from scratch."""
    track: Track = "shared"
    """With whom it is ranked and tested."""
    settings: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    """Of a procedure of its own, those that differ from the declared defaults: the value, and the default."""

    @property
    def own_protocol(self) -> bool:
        """True when it follows a procedure of its own and not the shared protocol."""
        return self.track != "shared"


@dataclass(frozen=True)
class DatasetFacts:
    """A column of the study."""

    label: str
    title: str
    modality: str
    license: str
    classes: tuple[str, ...]
    attributes: tuple[str, ...] = ()
    """Names of what is known of its samples besides their groups."""
    options: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    """Those that differ from the declared defaults: the value taken, and the default."""
    name: str = ""
    """Of the declaration."""
    references: tuple[Reference, ...] = ()
    """Published scores on it of networks that were trained elsewhere."""
    grouping: Mapping[str, tuple[Any, bool]] = field(default_factory=dict)
    """Options that say what never lies in two folds: the value taken, and whether it is the default."""
    citation: str = ""
    """How its publishers want it to be cited."""


@dataclass(frozen=True)
class Gap:
    """A planned job without a usable result, and why."""

    job: Job
    state: GapState
    reason: str = ""
    diverged: bool = False
    """Failed because loss or predictions were not finite."""
    fix: str = ""
    """What makes an unreadable one readable again."""


@dataclass(frozen=True)
class Outdated:
    """Results that agree with each other, while something that they stand on has changed since."""

    change: Change
    jobs: tuple[str, ...]
    """Their names."""


@dataclass(frozen=True)
class Standing:
    """What of the finished jobs is used, and what a reader must know of it."""

    left_out: Mapping[str, str] = field(default_factory=dict)
    """Digest to why it is not used beside the others."""
    outdated: tuple[Outdated, ...] = ()
    accepted: tuple[Acceptance, ...] = ()
    """Those that are about results of this study."""
    unknown: tuple[str, ...] = ()
    """What could not be compared with what is there now, one sentence each."""


@dataclass(frozen=True)
class Evidence:
    """Everything that analyses read."""

    spec: Spec
    plan: Plan
    store: Store | None
    """None where there is no store yet."""
    models: tuple[ModelFacts, ...]
    datasets: tuple[DatasetFacts, ...]
    cells: Mapping[tuple[str, str], Cell]
    gaps: tuple[Gap, ...]
    metrics: Mapping[str, Metric] = field(default_factory=dict)
    """All that are declared, by name."""
    command: str = "SPEC"
    """Spec and overrides as the user gave them, quoted for a shell, for the commands that a report prints."""
    base: Path | None = None
    """Folder of the spec; paths below it are printed relative to it."""
    arrays: Callable[[Job], CachedArrays] | None = None
    """Opens the data of a job, where a user wants them opened; analyses need none."""
    standing: Standing = field(default_factory=Standing)
    """On what the results stand; those that do not go with the others are gaps."""
    memo: dict[Hashable, Any] = field(init=False, default_factory=dict, compare=False, repr=False)
    """What several parts of a report need and takes long, by what was asked."""
    elsewhere: tuple[DatasetFacts, ...] = ()
    """The datasets that steps look at, each label once; they may be among `datasets`, too."""

    def cell(self, model: str, dataset: str) -> Cell:
        """Return one cell of the matrix."""
        return self.cells[model, dataset]

    def model(self, label: str) -> ModelFacts:
        """Return one row's facts."""
        return next(model for model in self.models if model.label == label)

    def dataset(self, label: str) -> DatasetFacts:
        """Return one column's facts."""
        return next(dataset for dataset in self.datasets if dataset.label == label)

    @property
    def families(self) -> tuple[str, ...]:
        """Families in the order in which the spec brings them up."""
        return tuple(dict.fromkeys(model.family for model in self.models))

    @property
    def tracks(self) -> tuple[Track, ...]:
        """Tracks that have models, in the order of tables: what was given the truth comes last."""
        there = {model.track for model in self.models}
        return tuple(track for track in get_args(Track) if track in there)

    @property
    def folds(self) -> tuple[Finished, ...]:
        """All finished evaluate jobs, in plan order."""
        return tuple(fold for cell in self.cells.values() for fold in cell.folds)

    @property
    def results(self) -> tuple[tuple[Job, Result], ...]:
        """All finished jobs that trained or tested a model, search and evaluate."""
        found: list[tuple[Job, Result]] = []
        for cell in self.cells.values():
            found += [(done.job, done.result) for done in (*cell.trials, *cell.folds)]
        return tuple(found)

    @property
    def done(self) -> tuple[Finished, ...]:
        """All finished jobs, those of steps included."""
        return tuple(
            done
            for cell in self.cells.values()
            for group in (cell.trials, cell.folds, *cell.steps.values())
            for done in group
        )

    def finished(self, stage: str, model: str, dataset: str) -> tuple[Finished, ...]:
        """Return the finished jobs of a stage (search, evaluate, a step's label) on one cell."""
        cell = self.cells[model, dataset]
        return {"search": cell.trials, "evaluate": cell.folds}.get(stage, cell.steps.get(stage, ()))

    def samples(self, dataset: str) -> Samples:
        """Return what the store keeps of the samples of a dataset (label), of steps' own datasets included.

        Raises StoreError where no job on it is finished, or its description is missing or damaged.
        """
        found = next((done for done in self.done if done.job.dataset.label == dataset), None)
        if found is None:
            raise StoreError(f"no job on {dataset} is finished, so nothing is known of its samples")
        return found.store.samples(found.result.data.fingerprint)

    def attributes(self, dataset: str) -> dict[str, Column]:
        """Return what is known of the samples of a dataset (label), by name, in the order of `samples`.

        The dataset's own attributes, and the automatic ones of this study's grid as auto:NAME. Raises
        StoreError as `samples` does.
        """
        found = next((done for done in self.done if done.job.dataset.label == dataset), None)
        samples = self.samples(dataset)
        pixels = found.job.pixels if found is not None else self.plan.jobs[0].pixels
        return samples.named(automatic_name(pixels.image_size, pixels.resize, pixels.padding))

    @property
    def complete(self) -> bool:
        """True when every planned job has its result."""
        return not self.gaps
