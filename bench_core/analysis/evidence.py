"""The evidence of a study: its plan laid over what the store holds, loaded once for all analyses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from bench_core.declarations import Metric
from bench_core.errors import BenchError
from bench_core.options import complete_options
from bench_core.plan.expand import Plan
from bench_core.plan.job import Job, JobDeviation
from bench_core.plugins import Registry
from bench_core.records import Case, Counts
from bench_core.spec.model import DatasetEntry, ModelEntry, Spec
from bench_core.store.result import Result
from bench_core.store.store import Store

GapState = Literal["todo", "running", "failed", "stale", "unreadable"]


@dataclass(frozen=True)
class Trial:
    """A finished search job."""

    job: Job
    result: Result


@dataclass(frozen=True)
class Fold:
    """A finished evaluate job with the pixel counts of its test images."""

    job: Job
    result: Result
    counts: Counts

    @property
    def index(self) -> int:
        """Which split of the cross-validation this is."""
        return self.job.fold.index


@dataclass(frozen=True)
class Cell:
    """One model on one dataset: what was planned and what is there."""

    model: str
    dataset: str
    planned: tuple[Job, ...]
    """Evaluate jobs, by fold."""
    folds: tuple[Fold, ...]
    """Those of them that are finished."""
    searches: tuple[Job, ...]
    trials: tuple[Trial, ...]
    """Finished search jobs."""
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
    notes: tuple[str, ...]
    """What the builder reported, for example how weights were loaded."""
    parameters: tuple[int, ...]
    """Every distinct count that the results report: the head grows with the number of classes."""


@dataclass(frozen=True)
class DatasetFacts:
    """A column of the study."""

    label: str
    title: str
    modality: str
    license: str
    classes: tuple[str, ...]


@dataclass(frozen=True)
class Gap:
    """A planned job without a usable result, and why."""

    job: Job
    state: GapState
    reason: str = ""
    diverged: bool = False
    """Failed because loss or predictions were not finite."""


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
    def folds(self) -> tuple[Fold, ...]:
        """All finished evaluate jobs, in plan order."""
        return tuple(fold for cell in self.cells.values() for fold in cell.folds)

    @property
    def results(self) -> tuple[tuple[Job, Result], ...]:
        """All finished jobs, search and evaluate."""
        found: list[tuple[Job, Result]] = []
        for cell in self.cells.values():
            found += [(trial.job, trial.result) for trial in cell.trials]
            found += [(fold.job, fold.result) for fold in cell.folds]
        return tuple(found)

    @property
    def complete(self) -> bool:
        """True when every planned job has its result."""
        return not self.gaps

    def cases(self, fold: Fold) -> tuple[Case, ...]:
        """Read the best, median and worst case of a finished job from the store."""
        return () if self.store is None else self.store.cases(fold.job.digest)


def gather(
    spec: Spec,
    plan: Plan,
    registry: Registry,
    store: Store | None,
    command: str = "SPEC",
    base: Path | None = None,
) -> Evidence:
    """Load what the store holds of a plan; unreadable results become gaps, never a failure of the whole."""
    states = store.states() if store is not None else {}
    gaps: list[Gap] = []
    folds: dict[tuple[str, str], list[Fold]] = {}
    trials: dict[tuple[str, str], list[Trial]] = {}
    planned: dict[tuple[str, str], list[Job]] = {}
    stale = _stale_names(plan, store)
    for job in plan.jobs:
        key = (job.model.label, job.dataset.label)
        planned.setdefault(key, []).append(job)
        state = states.get(job.digest, "todo")
        if store is None or state != "done":
            gaps.append(_gap(job, state, store, stale))
            continue
        try:
            result = store.result(job.digest)
            if job.stage == "search":
                trials.setdefault(key, []).append(Trial(job, result))
            else:
                folds.setdefault(key, []).append(Fold(job, result, store.counts(job.digest)))
        except BenchError as error:
            gaps.append(Gap(job, "unreadable", error.message))
    excluded = {(item.model, item.dataset): item.because for item in plan.excluded}
    cells: dict[tuple[str, str], Cell] = {}
    for model in plan.models:
        for dataset in plan.datasets:
            key = (model, dataset)
            jobs = planned.get(key, [])
            cells[key] = Cell(
                model=model,
                dataset=dataset,
                planned=tuple(job for job in jobs if job.stage == "evaluate"),
                folds=tuple(folds.get(key, ())),
                searches=tuple(job for job in jobs if job.stage == "search"),
                trials=tuple(trials.get(key, ())),
                excluded=excluded.get(key),
            )
    return Evidence(
        spec=spec,
        plan=plan,
        store=store,
        models=tuple(
            _model_facts(label, entry, registry, cells)
            for label, entry in zip(plan.models, spec.models, strict=True)
        ),
        datasets=tuple(
            _dataset_facts(label, entry, registry, cells)
            for label, entry in zip(plan.datasets, spec.datasets, strict=True)
        ),
        cells=cells,
        gaps=tuple(gaps),
        metrics=registry.metrics,
        command=command,
        base=base,
    )


def _stale_names(plan: Plan, store: Store | None) -> set[str]:
    try:
        return {job.name for job in store.stale(plan.jobs)} if store is not None else set()
    except BenchError:
        # A damaged leftover of another plan must not hide the results of this one.
        return set()


def _gap(job: Job, state: str, store: Store | None, stale: set[str]) -> Gap:
    if state == "failed" and store is not None:
        failure = store.failure(job.digest)
        return Gap(job, "failed", failure.message, failure.diverged) if failure else Gap(job, "failed")
    if state == "running":
        return Gap(job, "running")
    if job.name in stale:
        return Gap(job, "stale", "the store holds this job under other settings only")
    return Gap(job, "todo")


def _model_facts(
    label: str, entry: ModelEntry, registry: Registry, cells: Mapping[tuple[str, str], Cell]
) -> ModelFacts:
    architecture = registry.model(entry.name)
    mine = [cell for cell in cells.values() if cell.model == label]
    jobs = [job for cell in mine for job in (*cell.searches, *cell.planned)]
    results = [fold.result for cell in mine for fold in cell.folds]
    results += [trial.result for cell in mine for trial in cell.trials]
    deviations: dict[str, JobDeviation] = {}
    for job in jobs:
        for deviation in job.model.deviations:
            deviations.setdefault(f"{deviation.setting}={deviation.value}", deviation)
    taken, usual = (complete_options(architecture.options, given) for given in (entry.options, {}))
    notes = [note for result in results for note in result.model_facts.get("notes", ())]
    return ModelFacts(
        label=label,
        title=entry.label or architecture.display,
        family=architecture.family,
        runner=jobs[0].model.runner if jobs else entry.runner or architecture.runner,
        options={name: (taken[name], usual[name]) for name in taken if taken[name] != usual[name]},
        deviations=tuple(deviations.values()),
        notes=tuple(dict.fromkeys(str(note) for note in notes)),
        parameters=tuple(sorted({result.parameters for result in results})),
    )


def _dataset_facts(
    label: str, entry: DatasetEntry, registry: Registry, cells: Mapping[tuple[str, str], Cell]
) -> DatasetFacts:
    declared = registry.dataset(entry.name)
    jobs = (
        job for cell in cells.values() if cell.dataset == label for job in (*cell.planned, *cell.searches)
    )
    job = next(jobs, None)
    task = job.dataset.task if job else declared.task_for(complete_options(declared.options, entry.options))
    return DatasetFacts(
        label=label,
        title=entry.label or declared.display,
        modality=declared.modality,
        license=declared.license,
        classes=task.classes,
    )
