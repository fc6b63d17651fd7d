"""What only making a plan shows, as a check of `bench validate`: one look at each cell of the matrix.

Two cells are the same work if their first evaluate jobs are: all other folds, repeats and searches follow
from the same settings. So no fold is expanded here, and a spec of many jobs is checked as fast as its matrix.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from bench_core.errors import BenchError
from bench_core.plan.errors import PlanError
from bench_core.plan.exclusions import Exclusions
from bench_core.plan.resolve import DatasetChoice, ModelChoice, choose_dataset, choose_model
from bench_core.plan.stages import (
    EvaluateStage,
    StepStage,
    fitted_stage,
    jobs_of_cell,
    step_stages,
    suited_stage,
    with_peers,
)
from bench_core.plan.training import Cell
from bench_core.plan.twins import Twins
from bench_core.spec.checks import Context
from bench_core.spec.load import absolute_dataset
from bench_core.spec.model import StepEntry
from bench_core.spec.nodes import Loc
from bench_core.spec.protocol import Protocol
from bench_core.spec.rules.labels import part_breaches
from bench_core.spec.rules.size import cell_breaches, size_breaches
from bench_core.spec.rules.steps import step_data_breaches

Entry = TypeVar("Entry")
Choice = TypeVar("Choice")


def check_plan(context: Context) -> None:
    """Report what keeps sound entries from becoming jobs, too many jobs, and jobs that are the same."""
    protocol = context.draft.protocol
    if protocol is None or not context.draft.sound(("protocol",)):
        return
    draft, registry = context.draft, context.registry
    models = _choices(
        context, "model", draft.models, lambda entry, loc: choose_model(entry, registry, protocol, loc)
    )
    datasets = _choices(
        context,
        "dataset",
        draft.datasets,
        lambda entry, loc: choose_dataset(absolute_dataset(entry, context.base), registry, loc),
    )
    steps: dict[int, Sequence[StepStage]] = _choices(
        context,
        "step",
        draft.steps,
        lambda entry, loc: step_stages(_absolute(entry, context), registry, loc),
    )
    named = {index: datasets[index].entry for index in datasets}
    if not context.report(step_data_breaches(named, {index: steps[index][0].entry for index in steps})):
        return
    steps = _suited(context, _fitted(context, protocol, steps, datasets), models)
    if not context.report(part_breaches({index: [part.stage for part in steps[index]] for index in steps})):
        return
    if len(models) == len(draft.models) and draft.sound(("models",), ("pools",)):
        _check_peers(context, models, steps)
    if not context.report(cell_breaches(len(models), len(datasets))) or not draft.sound(("exclude",)):
        return
    exclusions = Exclusions(draft.exclude.values())
    if not context.report(size_breaches(_jobs(protocol, models, datasets, steps, exclusions))):
        return
    twins = Twins(draft.models, draft.datasets, draft.steps)
    evaluate = EvaluateStage(protocol, 0)
    for index, model in models.items():
        for column, dataset in datasets.items():
            if exclusions.of(model, dataset):
                continue
            try:
                cell = Cell(protocol, model, dataset, draft.devices_per_job)
            except PlanError as error:
                _report(context, "deviation", ("models", index, "deviations"), error)
                break
            twins.add(index, column, cell, evaluate, steps)
    context.report(twins.breaches())


def _absolute(entry: StepEntry, context: Context) -> StepEntry:
    dataset = None if entry.dataset is None else absolute_dataset(entry.dataset, context.base)
    return entry.model_copy(update={"dataset": dataset})


def _fitted(
    context: Context,
    protocol: Protocol,
    steps: Mapping[int, Sequence[StepStage]],
    datasets: Mapping[int, DatasetChoice],
) -> dict[int, Sequence[StepStage]]:
    """Return the steps with the datasets that each works on; report those that work on none they should."""
    found: dict[int, Sequence[StepStage]] = {}
    whole = len(datasets) == len(context.draft.datasets) and context.draft.sound(("datasets",))
    for index, parts in steps.items():
        loc: Loc = ("steps", index)
        try:
            known = list(datasets.values())
            found[index] = [fitted_stage(part, known, protocol, loc, whole) for part in parts]
        except BenchError as error:
            _report(context, "step", (*loc, "name"), error)
    return found


def _suited(
    context: Context, steps: Mapping[int, Sequence[StepStage]], models: Mapping[int, ModelChoice]
) -> dict[int, Sequence[StepStage]]:
    """Return the steps with the models that each cannot work on; report those that work on none.

    What only a network can tell is a warning: it is asked before the first job.
    """
    found: dict[int, Sequence[StepStage]] = {}
    whole = len(models) == len(context.draft.models) and context.draft.sound(("models",))
    known = list(models.values())
    for index, parts in steps.items():
        loc: Loc = ("steps", index)
        try:
            found[index] = [suited_stage(part, known, loc, whole) for part in parts]
        except BenchError as error:
            _report(context, "step", (*loc, "name"), error)
            continue
        left_open = dict.fromkeys(
            f"{label}: {text}" for part in found[index] for label, text in part.suiting.left_open.items()
        )
        if left_open:
            context.error(
                "step",
                (*loc, "options") if parts[0].entry.options else (*loc, "name"),
                f"only networks can tell whether step {parts[0].entry.name!r} can work on them",
                cause="; ".join(left_open),
                fix="each is asked before the first job of `bench run`",
                severity="warning",
            )
    return found


def _check_peers(
    context: Context, models: Mapping[int, ModelChoice], steps: Mapping[int, Sequence[StepStage]]
) -> None:
    chosen = [(context.draft.models[index], choice) for index, choice in models.items()]
    for index, parts in steps.items():
        loc: Loc = ("steps", index)
        try:
            for part in parts:
                with_peers(part, chosen, context.draft.pools, loc)
        except PlanError as error:
            _report(context, "step", (*loc, "options"), error)


def _choices(
    context: Context, kind: str, entries: Mapping[int, Entry], choose: Callable[[Entry, Loc], Choice]
) -> dict[int, Choice]:
    """Return what a plan makes of each entry in which nothing is wrong so far; report those it refuses."""
    found: dict[int, Choice] = {}
    for index, entry in entries.items():
        loc: Loc = (f"{kind}s", index)
        if not context.draft.sound(loc) or not context.clean(loc):
            continue
        try:
            found[index] = choose(entry, loc)
        except BenchError as error:
            _report(context, kind, (*loc, "name"), error)
    return found


def _report(context: Context, check: str, loc: Loc, error: BenchError) -> None:
    known = error.loc if isinstance(error, PlanError) else None
    context.error(check, known or loc, error.message, cause=error.cause, fix=error.fix)


def _jobs(
    protocol: Protocol,
    models: Mapping[int, ModelChoice],
    datasets: Mapping[int, DatasetChoice],
    steps: Mapping[int, Sequence[StepStage]],
    exclusions: Exclusions,
) -> int:
    return sum(
        jobs_of_cell(protocol, model, dataset, [part for parts in steps.values() for part in parts])
        for model in models.values()
        for dataset in datasets.values()
        if not exclusions.of(model, dataset)
    )
