"""The stages of a plan: each adds its jobs to a cell of the matrix, in order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol as Interface

from bench_core.declarations import Step
from bench_core.options import differing
from bench_core.plan.errors import refuse
from bench_core.plan.fitting import Fitting, PassedOver, Suiting, fitting, suiting
from bench_core.plan.folds import evaluate_folds, search_folds
from bench_core.plan.job import Apply, Job, JobDataset, JobFold, Need, Own, Train, Work
from bench_core.plan.peers import Around, peer_models
from bench_core.plan.resolve import DatasetChoice, ModelChoice, choose_dataset, step_options
from bench_core.plan.training import Cell
from bench_core.plugins.registry import Registry
from bench_core.spec.model import ModelEntry, StepEntry
from bench_core.spec.nodes import Loc
from bench_core.spec.pools import AnyPool
from bench_core.spec.protocol import Protocol
from bench_core.spec.rules.labels import label_of
from bench_core.spec.rules.size import count_jobs
from bench_core.spec.rules.steps import step_breaches

Finish = Callable[[Job], Job]
"""Gives a job its digest."""
Earlier = Mapping[str, Sequence[Job]]
"""A cell's jobs of the stages before, by stage."""
NOBODY = Around()


class StagePlanner(Interface):
    """Plans one stage; jobs that it needs come from the stages before."""

    @property
    def stage(self) -> str:
        """Its name, or a step's label."""

    def jobs(self, cell: Cell, earlier: Earlier, around: Around = NOBODY) -> Iterator[Job]:
        """Yield the stage's jobs of one cell, without digests; `around` are jobs of all cells."""


class SearchStage:
    """The grid of learning rates, on the search folds."""

    stage = "search"

    def __init__(self, protocol: Protocol, seed: int) -> None:
        self._protocol, self._search, self._seed = protocol, protocol.search, seed
        self._folds: Mapping[int, JobFold] = {}
        if self._search is not None:
            self._folds = search_folds(self._search, protocol.evaluate)

    def jobs(self, cell: Cell, earlier: Earlier, around: Around = NOBODY) -> Iterator[Job]:
        """Yield one job per search fold and rate; none for a runner that does not follow the protocol."""
        search = self._search
        if search is None or cell.choice.runner.protocol == "own":
            return
        training = cell.training(search.epochs, search.early_stopping)
        folds = self._folds
        if cell.given is not None:
            folds = search_folds(search, self._protocol.evaluate, cell.given)
        for fold in folds.values():
            for rate in search.learning_rate:
                yield _job(self.stage, cell, fold, self._seed, Train(training, rate, search.monitor))


class EvaluateStage:
    """Cross-validation: one job per fold and repeat."""

    stage = "evaluate"

    def __init__(self, protocol: Protocol, seed: int) -> None:
        self._protocol, self._seed = protocol, seed
        self._monitor = protocol.search.monitor if protocol.search else protocol.checkpoint.monitor
        deals = protocol.evaluate.repeats if protocol.evaluate.reshuffle else 1
        first = evaluate_folds(protocol.evaluate)
        # Dealings share the roles of their folds, which are long where folds are many.
        self._dealt = [
            {index: replace(fold, deal=deal) for index, fold in first.items()} for deal in range(deals)
        ]

    def jobs(self, cell: Cell, earlier: Earlier, around: Around = NOBODY) -> Iterator[Job]:
        """Yield the jobs, each with the search jobs that choose its rate."""
        evaluate, search = self._protocol.evaluate, self._protocol.search
        searches = earlier.get("search", ())
        nested = search is not None and search.nested
        work = self._work(cell)
        folds = self._folds(cell)
        for repeat in range(evaluate.repeats):
            for index, fold in folds[repeat % len(folds)].items():
                chosen = [job for job in searches if not nested or job.fold.index == index]
                needs = tuple(Need(digest, "rate") for digest in sorted(job.digest for job in chosen))
                job = _job(self.stage, cell, fold, self._seed, work)
                yield replace(job, needs=needs, repeat=repeat)

    def _folds(self, cell: Cell) -> Sequence[Mapping[int, JobFold]]:
        """Return the folds of each dealing; the user's own ones are dealt once."""
        if cell.given is None:
            return self._dealt
        return [evaluate_folds(self._protocol.evaluate, given=cell.given)]

    def _work(self, cell: Cell) -> Work:
        choice = cell.choice
        if choice.runner.protocol == "own":
            chosen = differing(choice.runner.options, choice.settings)
            return Own(choice.runner.version, choice.settings, chosen)
        training = cell.training(self._protocol.evaluate.epochs, self._protocol.early_stopping)
        return Train(training, self._protocol.learning_rate, self._monitor)


@dataclass(frozen=True)
class StepStage:
    """A step, or a part of it, on every evaluate job."""

    stage: str
    """The entry's label; of a part LABEL-PART."""
    step: Step
    options: Mapping[str, object]
    entry: StepEntry
    other: DatasetChoice | None = None
    """The dataset that is looked at, where it is not the one of the evaluate job."""
    fitting: Fitting | None = None
    """On the jobs of which datasets it works; None: of all."""
    among: frozenset[str] | None = None
    """Of a step that needs peers: the models (labels) that these are of; None: all."""
    suiting: Suiting = field(default_factory=Suiting)
    """The models on whose networks it cannot work."""

    @property
    def pool(self) -> str | None:
        """The pool whose models' label maps each job needs; None for no others."""
        return self.step.pool(self.options)

    def works_on(self, dataset: str) -> bool:
        """Say whether it works on the jobs of a dataset (label)."""
        return self.fitting is None or dataset in self.fitting.works_on

    def looks_at(self, model: ModelChoice) -> bool:
        """Say whether it looks at what a model's jobs left."""
        own = self.step.needs == "weights" and model.runner.protocol == "own"
        return not own and model.label not in self.suiting.unsuited

    @property
    def passed_over(self) -> tuple[PassedOver, ...]:
        """The datasets and models that it cannot work on."""
        found = {} if self.fitting is None else self.fitting.passed_over
        models = self.suiting.unsuited
        return (
            *(PassedOver(self.stage, label, because) for label, because in found.items()),
            *(PassedOver(self.stage, "", because, label) for label, because in models.items()),
        )

    def jobs(self, cell: Cell, earlier: Earlier, around: Around = NOBODY) -> Iterator[Job]:
        """Yield the jobs on the evaluate jobs of a dataset that it works on; none where no weights are left
        that the step needs, or where it cannot work on the network."""
        if not self.looks_at(cell.choice) or not self.works_on(cell.dataset.label):
            return
        options = self.options
        if self.fitting is not None:
            options = self.fitting.adapted.get(cell.dataset.label, options)
        chosen = differing(self.step.options, options)
        work = Apply(self.step.name, self.step.version, options, cell.dataset.label, chosen)
        evaluated = earlier.get("evaluate", ())
        across = self.step.across(options)
        for sources in self._needed(evaluated):
            source = sources[0]
            siblings = _siblings(source, evaluated) if across else ()
            peers = around.needs(source, self.among) if self.pool is not None else ()
            dataset, fold = source.dataset, source.fold
            if self.other is not None:
                index = 0 if self.step.over == "folds" else source.fold.index
                dataset, fold = self.other.job, _everything(index)
            yield Job(
                digest="",
                stage=self.stage,
                model=source.model,
                dataset=dataset,
                fold=fold,
                pixels=source.pixels,
                scoring=source.scoring,
                seed=source.seed,
                work=work,
                needs=(*(Need(needed.digest, self.step.needs) for needed in sources), *siblings, *peers),
                repeat=source.repeat,
            )

    def _needed(self, evaluated: Sequence[Job]) -> Iterator[Sequence[Job]]:
        """Yield the evaluate jobs that one job of the step needs."""
        if self.step.over == "job":
            yield from ((job,) for job in evaluated)
            return
        if self.step.over == "cell":
            yield from ((job,) for job in evaluated[:1])
            return
        for repeat in dict.fromkeys(job.repeat for job in evaluated):
            yield [job for job in evaluated if job.repeat == repeat]


def step_stages(entry: StepEntry, registry: Registry, loc: Loc) -> tuple[StepStage, ...]:
    """Return the stages of the step entry at `loc`; raises as `choose_dataset` and `step_options` do."""
    step = registry.step(entry.name)
    refuse(step_breaches(loc, entry, step))
    other = choose_dataset(entry.dataset, registry, (*loc, "dataset")) if entry.dataset else None
    label = label_of(entry)
    return tuple(
        StepStage(f"{label}-{part}" if part else label, step, options, entry, other)
        for part, options in step.divided(step_options(step, entry, registry, loc)).items()
    )


def fitted_stage(
    stage: StepStage,
    datasets: Sequence[DatasetChoice],
    protocol: Protocol,
    loc: Loc,
    whole: bool = True,
) -> StepStage:
    """Return the stage of the entry at `loc` with the datasets that it works on; raises as `fitting`."""
    found = fitting(stage.entry, stage.step, stage.options, stage.other, datasets, protocol, loc, whole)
    return replace(stage, fitting=found)


def suited_stage(stage: StepStage, models: Sequence[ModelChoice], loc: Loc, whole: bool = True) -> StepStage:
    """Return the stage of the entry at `loc` with the models that it cannot work on; raises as `suiting`."""
    if stage.step.suits is None:
        return stage
    return replace(stage, suiting=suiting(stage.entry, stage.step, stage.options, models, loc, whole))


def with_peers(
    stage: StepStage,
    models: Sequence[tuple[ModelEntry, ModelChoice]],
    pools: Mapping[str, AnyPool],
    loc: Loc,
) -> StepStage:
    """Return the stage of the entry at `loc` with the models of its peers; raises as `peer_models` does."""
    if stage.pool is None:
        return stage
    return replace(stage, among=peer_models(stage.pool, models, pools, (*loc, "options")))


def jobs_of_cell(
    protocol: Protocol, model: ModelChoice, dataset: DatasetChoice, steps: Iterable[StepStage]
) -> int:
    """Return how many jobs the stages yield for a model on a dataset."""
    return count_jobs(
        protocol,
        own=model.runner.protocol == "own",
        fixed=dataset.given is not None and dataset.given.roles,
        steps=[
            (stage.step.needs, stage.step.over)
            for stage in steps
            if stage.works_on(dataset.job.label) and stage.looks_at(model)
        ],
    )


def _siblings(job: Job, evaluated: Sequence[Job]) -> tuple[Need, ...]:
    """Return the evaluate jobs of the other folds of a model's repeat."""
    return tuple(
        Need(other.digest, "siblings")
        for other in evaluated
        if other.repeat == job.repeat and other.digest != job.digest
    )


def _everything(index: int) -> JobFold:
    return JobFold(index, 1, "all", (), (), (0,))


def _job(stage: str, cell: Cell, fold: JobFold, seed: int, work: Work) -> Job:
    dataset: JobDataset = cell.dataset
    return Job("", stage, cell.model, dataset, fold, cell.pixels, cell.scoring, seed, work)
