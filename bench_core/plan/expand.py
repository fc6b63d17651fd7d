"""From a spec to its jobs: models x datasets x stages x folds x learning rates, without data or framework."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from bench_core.plan.errors import PlanError
from bench_core.plan.folds import evaluate_folds, search_folds
from bench_core.plan.identity import Memo, digest_of
from bench_core.plan.job import Job, JobFold
from bench_core.plan.resolve import choose_dataset, choose_model
from bench_core.plan.training import Cell
from bench_core.plugins import Registry
from bench_core.spec.model import Exclusion, Spec


@dataclass(frozen=True)
class ExcludedCell:
    """A model and a dataset (labels) that are not run together, and why."""

    model: str
    dataset: str
    because: str


@dataclass(frozen=True)
class Plan:
    """Every job of a spec, each before those that need it: all search jobs, then all evaluate jobs."""

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

    @cached_property
    def by_digest(self) -> dict[str, Job]:
        """Return the jobs by their digest."""
        return {job.digest: job for job in self.jobs}


def make_plan(spec: Spec, registry: Registry) -> Plan:
    """Expand a spec into its jobs; raises PlanError, UnknownNameError or PluginError.

    Needs neither data nor framework, and gives the same digests in whichever order entries are listed.
    """
    models = [choose_model(entry, registry, spec.protocol) for entry in spec.models]
    datasets = [choose_dataset(entry, registry) for entry in spec.datasets]
    _check_labels("model", [model.label for model in models])
    _check_labels("dataset", [dataset.job.label for dataset in datasets])
    expansion = _Expansion(spec)
    excluded = []
    for model in models:
        for dataset in datasets:
            reasons = _reasons(spec.exclude, {model.label, model.name}, {dataset.job.label, dataset.job.name})
            if reasons:
                excluded.append(ExcludedCell(model.label, dataset.job.label, "; ".join(reasons)))
            else:
                expansion.add(Cell(spec.protocol, model, dataset))
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
    for name in sorted({model.runner for model in models}):
        if reason := registry.runner(name).unavailable:
            unavailable[f"runner {name}"] = reason
    return Plan(
        name=spec.name,
        jobs=expansion.jobs(),
        excluded=tuple(excluded),
        models=tuple(model.label for model in models),
        datasets=tuple(dataset.job.label for dataset in datasets),
        families={model.label: model.architecture.family for model in models},
        unavailable=unavailable,
    )


class _Expansion:
    """Collects the jobs of cells, stage by stage, and refuses two that are the same."""

    def __init__(self, spec: Spec) -> None:
        protocol = spec.protocol
        self._spec = spec
        self._evaluate_folds = evaluate_folds(protocol.evaluate)
        self._search_folds: Mapping[int, JobFold] = {}
        if protocol.search is not None:
            self._search_folds = search_folds(protocol.search, protocol.evaluate)
        self._monitor = protocol.search.monitor if protocol.search else protocol.checkpoint.monitor
        self._memo: Memo = {}
        self._known: dict[str, Job] = {}
        self._search: list[Job] = []
        self._evaluate: list[Job] = []

    def jobs(self) -> tuple[Job, ...]:
        return (*self._search, *self._evaluate)

    def add(self, cell: Cell) -> None:
        protocol = self._spec.protocol
        searches: dict[int, list[str]] = {}
        for job in self._search_jobs(cell):
            searches.setdefault(job.fold.index, []).append(job.digest)
            self._search.append(job)
        everything = tuple(digest for digests in searches.values() for digest in digests)
        nested = protocol.search is not None and protocol.search.nested
        training = cell.training(protocol.evaluate.epochs, protocol.early_stopping)
        for index, fold in self._evaluate_folds.items():
            job = Job(
                digest="",
                stage="evaluate",
                model=cell.model,
                dataset=cell.dataset,
                training=training,
                fold=fold,
                learning_rate=protocol.learning_rate,
                search_monitor=self._monitor,
                seed=self._spec.seed,
                needs=tuple(sorted(searches[index] if nested else everything)),
            )
            self._evaluate.append(self._identified(job))

    def _search_jobs(self, cell: Cell) -> Iterator[Job]:
        search = self._spec.protocol.search
        if search is None:
            return
        training = cell.training(search.epochs, search.early_stopping)
        for fold in self._search_folds.values():
            for rate in search.learning_rate:
                yield self._identified(
                    Job(
                        digest="",
                        stage="search",
                        model=cell.model,
                        dataset=cell.dataset,
                        training=training,
                        fold=fold,
                        learning_rate=rate,
                        search_monitor=self._monitor,
                        seed=self._spec.seed,
                    )
                )

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


def _check_labels(kind: str, labels: Sequence[str]) -> None:
    for label, count in Counter(labels).items():
        if count > 1:
            raise PlanError(
                f"two {kind} entries are called {label!r}",
                place=f"{kind}s",
                fix="give each a `label` of its own",
            )


def _reasons(exclusions: Iterable[Exclusion], model: set[str], dataset: set[str]) -> list[str]:
    return [
        exclusion.because
        for exclusion in exclusions
        if (exclusion.model is None or exclusion.model in model)
        and (exclusion.dataset is None or exclusion.dataset in dataset)
    ]
