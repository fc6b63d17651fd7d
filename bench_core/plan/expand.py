"""From a spec to its jobs: models x datasets x stages, without data or framework."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from bench_core.plan.errors import PlanError, refuse
from bench_core.plan.exclusions import Exclusions
from bench_core.plan.fitting import PassedOver
from bench_core.plan.identity import Memo, digest_of
from bench_core.plan.job import Job
from bench_core.plan.peers import Around
from bench_core.plan.resolve import DatasetChoice, ModelChoice, choose_dataset, choose_model
from bench_core.plan.stages import (
    NOBODY,
    EvaluateStage,
    SearchStage,
    StagePlanner,
    fitted_stage,
    jobs_of_cell,
    step_stages,
    suited_stage,
    with_peers,
)
from bench_core.plan.training import Cell
from bench_core.plugins.registry import Registry
from bench_core.spec.model import Spec
from bench_core.spec.nodes import Loc
from bench_core.spec.rules.folds import fold_breaches, given_breaches
from bench_core.spec.rules.labels import STAGES as RESERVED
from bench_core.spec.rules.labels import label_breaches, part_breaches
from bench_core.spec.rules.size import cell_breaches, size_breaches
from bench_core.spec.rules.steps import step_data_breaches


@dataclass(frozen=True)
class ExcludedCell:
    """A model and a dataset (labels) that are not run together, and why."""

    model: str
    dataset: str
    because: str


@dataclass(frozen=True)
class Plan:
    """Every job of a spec, stage by stage, each job before those that need it."""

    name: str
    jobs: tuple[Job, ...]
    excluded: tuple[ExcludedCell, ...]
    models: tuple[str, ...]
    """Labels in the spec's order; cells that are excluded as a whole appear here too."""
    datasets: tuple[str, ...]
    families: Mapping[str, str]
    """Model label to its family."""
    unavailable: Mapping[str, str]
    """What is declared but cannot be run yet ("model u-kan", "runner mmseg") to the reason."""
    stages: tuple[str, ...] = ("search", "evaluate")
    """search, evaluate, then the labels of the steps."""
    passed_over: tuple[PassedOver, ...] = ()
    """Datasets and models on whose jobs a step cannot work, and why."""

    @cached_property
    def by_digest(self) -> dict[str, Job]:
        """Return the jobs by their digest."""
        return {job.digest: job for job in self.jobs}


def make_plan(spec: Spec, registry: Registry) -> Plan:
    """Expand a spec into its jobs; raises PlanError, UnknownNameError or PluginError.

    Needs neither data nor framework, and gives the same digests in whichever order entries are listed.
    """
    refuse(label_breaches("models", dict(enumerate(spec.models))))
    refuse(label_breaches("datasets", dict(enumerate(spec.datasets))))
    refuse(fold_breaches(spec.protocol.search, spec.protocol.evaluate))
    models = [
        choose_model(entry, registry, spec.protocol, ("models", index))
        for index, entry in enumerate(spec.models)
    ]
    datasets = [
        choose_dataset(entry, registry, ("datasets", index)) for index, entry in enumerate(spec.datasets)
    ]
    loc: Loc
    for index, dataset in enumerate(datasets):
        if dataset.given is not None:
            loc = ("datasets", index, "folds")
            refuse(given_breaches(loc, dataset.given, spec.protocol.search, spec.protocol.evaluate))
    refuse(label_breaches("steps", dict(enumerate(spec.steps)), RESERVED))
    refuse(step_data_breaches(dict(enumerate(spec.datasets)), dict(enumerate(spec.steps))))
    steps = []
    labelled: dict[int, list[str]] = {}
    chosen = list(zip(spec.models, models, strict=True))
    for index, step in enumerate(spec.steps):
        loc = ("steps", index)
        for stage in step_stages(step, registry, loc):
            fitted = suited_stage(fitted_stage(stage, datasets, spec.protocol, loc), models, loc)
            steps.append(with_peers(fitted, chosen, spec.pools, loc))
            labelled.setdefault(index, []).append(stage.stage)
    refuse(part_breaches(labelled))
    refuse(cell_breaches(len(models), len(datasets)))
    exclusions = Exclusions(spec.exclude)
    cells: list[tuple[ModelChoice, DatasetChoice]] = []
    excluded = []
    for model in models:
        for dataset in datasets:
            reasons = exclusions.of(model, dataset)
            if reasons:
                excluded.append(ExcludedCell(model.label, dataset.job.label, "; ".join(reasons)))
            else:
                cells.append((model, dataset))
    refuse(size_breaches(sum(jobs_of_cell(spec.protocol, *cell, steps) for cell in cells)))
    protocol, seed = spec.protocol, spec.seed
    stages: list[StagePlanner] = [SearchStage(protocol, seed), EvaluateStage(protocol, seed), *steps]
    expansion = _Expansion(stages)
    devices = spec.runtime.devices_per_job
    expansion.add(Cell(protocol, model, dataset, devices) for model, dataset in cells)
    unavailable = {
        f"model {model.label}": model.architecture.unavailable
        for model in models
        if model.architecture.unavailable
    }
    unavailable |= {
        f"dataset {dataset.job.label}": dataset.declared.unavailable
        for dataset in datasets
        if dataset.declared.unavailable
    }
    unavailable |= {
        f"runner {model.runner.name}": model.runner.unavailable
        for model in sorted(models, key=lambda model: model.runner.name)
        if model.runner.unavailable
    }
    return Plan(
        name=spec.name,
        jobs=expansion.jobs(),
        excluded=tuple(excluded),
        models=tuple(model.label for model in models),
        datasets=tuple(dataset.job.label for dataset in datasets),
        families={model.label: model.architecture.family for model in models},
        unavailable=unavailable,
        stages=tuple(stage.stage for stage in stages),
        passed_over=tuple(item for step in steps for item in step.passed_over),
    )


class _Expansion:
    """Collects the jobs of cells, stage by stage, and refuses two that are the same."""

    def __init__(self, stages: Sequence[StagePlanner]) -> None:
        self._stages = stages
        self._memo: Memo = {}
        self._known: dict[str, Job] = {}
        self._jobs: dict[str, list[Job]] = {stage.stage: [] for stage in stages}

    def jobs(self) -> tuple[Job, ...]:
        return tuple(job for jobs in self._jobs.values() for job in jobs)

    def add(self, cells: Iterable[Cell]) -> None:
        begun: list[tuple[Cell, dict[str, list[Job]]]] = [(cell, {}) for cell in cells]
        # What is trained and tested of all cells comes first, since a step may need the jobs of all models.
        first = [stage for stage in self._stages if stage.stage in RESERVED]
        for cell, earlier in begun:
            self._plan(first, cell, earlier, NOBODY)
        around = Around(self._jobs["evaluate"])
        for cell, earlier in begun:
            self._plan([stage for stage in self._stages if stage not in first], cell, earlier, around)

    def _plan(
        self, stages: Sequence[StagePlanner], cell: Cell, earlier: dict[str, list[Job]], around: Around
    ) -> None:
        for stage in stages:
            earlier[stage.stage] = [self._identified(job) for job in stage.jobs(cell, earlier, around)]
            self._jobs[stage.stage] += earlier[stage.stage]

    def _identified(self, job: Job) -> Job:
        job = replace(job, digest=digest_of(job, self._memo))
        twin = self._known.setdefault(job.digest, job)
        if twin is not job:
            raise PlanError(
                "two jobs are the same",
                place=f"{twin.name} and {job.name}",
                cause="they differ in nothing that affects numbers (labels, roots and weights paths do not)",
                fix="remove one of the two entries or values, or give them different options",
            )
        return job
