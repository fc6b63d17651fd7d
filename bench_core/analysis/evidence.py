"""The evidence of a study: its plan laid over what the store holds, loaded once for all analyses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from bench_core.analysis.measured import StepTables, read_tables
from bench_core.analysis.standing import Standing, standing
from bench_core.declarations import Departure, Metric
from bench_core.errors import BenchError, StoreError
from bench_core.execute.ground import Ground
from bench_core.options import Option, complete_options
from bench_core.plan.expand import Plan
from bench_core.plan.job import Apply, Job, JobDeviation
from bench_core.plan.resolve import split_options
from bench_core.plugins import Registry
from bench_core.records import Case, Counts, Predictions, TrainingRecord
from bench_core.samples import Samples
from bench_core.spec.model import DatasetEntry, ModelEntry, Spec
from bench_core.store.accepted import read_accepted
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
    own_protocol: bool = False
    """It follows a procedure of its own and not the shared protocol."""
    settings: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    """Of that procedure, those that differ from the declared defaults: the value, and the default."""


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
    standing: Standing = field(default_factory=Standing)
    """On what the results stand; those that do not go with the others are gaps."""

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

    @property
    def complete(self) -> bool:
        """True when every planned job has its result."""
        return not self.gaps


def gather(
    spec: Spec,
    plan: Plan,
    registry: Registry,
    store: Store | None,
    command: str = "SPEC",
    base: Path | None = None,
    ground: Ground | None = None,
) -> Evidence:
    """Load what the store holds of a plan; unreadable results become gaps, never a failure of the whole.

    So do results that stand on other data than those beside them, or in one cell on other code or weights.
    With `ground` they are compared with what is there now, too. Raises StoreError where the store's list of
    acceptances is damaged.
    """
    states = store.states() if store is not None else {}
    gaps: list[Gap] = []
    done: dict[tuple[str, str], dict[str, list[Finished]]] = {}
    planned: dict[tuple[str, str], list[Job]] = {}
    stale = _stale_names(plan, store)
    loaded: list[Finished] = []
    for job in plan.jobs:
        planned.setdefault(job.cell, []).append(job)
        state = states.get(job.digest, "todo")
        if store is None or state != "done":
            gaps.append(_gap(job, state, store, stale))
            continue
        try:
            store.check_quickly(job.digest)
            finished = Finished(job, store.result(job.digest), store)
            if job.stage == "evaluate":
                _ = finished.counts
            sources = {item.job.digest: item for item in loaded if item.job.stage == "evaluate"}
            source = next((sources[need.digest] for need in job.needs if need.digest in sources), None)
            if source is not None and isinstance(job.work, Apply):
                finished = replace(finished, tables=read_tables(job, store, source.counts))
            loaded.append(finished)
        except BenchError as error:
            gaps.append(Gap(job, "unreadable", _where(error), fix=error.fix or ""))
    found = standing(loaded, ground, read_accepted(store.path) if store is not None else ())
    for finished in loaded:
        why = found.left_out.get(finished.job.digest)
        if why is None:
            done.setdefault(finished.job.cell, {}).setdefault(finished.job.stage, []).append(finished)
        else:
            gaps.append(Gap(finished.job, "stale", why))
    order = {job.digest: number for number, job in enumerate(plan.jobs)}
    gaps.sort(key=lambda gap: order[gap.job.digest])
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
                folds=tuple(done.get(key, {}).get("evaluate", ())),
                searches=tuple(job for job in jobs if job.stage == "search"),
                trials=tuple(done.get(key, {}).get("search", ())),
                steps={
                    stage: tuple(found)
                    for stage, found in done.get(key, {}).items()
                    if stage not in ("search", "evaluate")
                },
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
            _dataset_facts(label, entry, registry, cells, store)
            for label, entry in zip(plan.datasets, spec.datasets, strict=True)
        ),
        cells=cells,
        gaps=tuple(gaps),
        metrics=registry.metrics,
        command=command,
        base=base,
        standing=found,
    )


def _where(error: BenchError) -> str:
    text = f"{error.place}: {error.message}" if error.place else error.message
    return f"{text}: {error.cause}" if error.cause else text


def _stale_names(plan: Plan, store: Store | None) -> set[str]:
    try:
        return {job.name for job in store.stale(plan.jobs)} if store is not None else set()
    except BenchError:
        # A damaged leftover of another plan must not hide the results of this one.
        return set()


def _gap(job: Job, state: str, store: Store | None, stale: set[str]) -> Gap:
    if state == "failed" and store is not None:
        try:
            failure = store.failure(job.digest)
        except StoreError as error:
            return Gap(job, "unreadable", _where(error), fix=error.fix or "")
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
    runner = registry.runner(entry.runner or architecture.runner)
    given, settings = split_options(entry.options, architecture, runner)
    notes = [note for result in results if result.network for note in result.network.notes]
    return ModelFacts(
        label=label,
        title=entry.label or architecture.display,
        family=architecture.family,
        runner=runner.name,
        options=_differing(architecture.options, given),
        deviations=tuple(deviations.values()),
        departures=jobs[0].model.departures if jobs else architecture.departures,
        notes=tuple(dict.fromkeys(str(note) for note in notes)),
        parameters=tuple(sorted({result.network.parameters for result in results if result.network})),
        own_protocol=runner.protocol == "own",
        settings=_differing(runner.options, settings) if runner.protocol == "own" else {},
    )


def _differing(declared: Mapping[str, Option], given: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    taken, usual = complete_options(declared, given), complete_options(declared, {})
    return {name: (taken[name], usual[name]) for name in taken if taken[name] != usual[name]}


def _dataset_facts(
    label: str,
    entry: DatasetEntry,
    registry: Registry,
    cells: Mapping[tuple[str, str], Cell],
    store: Store | None,
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
        attributes=_attributes(label, cells, store),
    )


def _attributes(label: str, cells: Mapping[tuple[str, str], Cell], store: Store | None) -> tuple[str, ...]:
    mine = (done for cell in cells.values() if cell.dataset == label for done in (*cell.folds, *cell.trials))
    first = next(mine, None)
    try:
        return (
            ()
            if first is None or store is None
            else tuple(store.samples(first.result.data.fingerprint).attributes)
        )
    except BenchError:
        # No number depends on the description: a report is made without it.
        return ()
