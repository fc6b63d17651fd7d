"""Entries of `steps`: names, labels, and the dataset that a step looks at."""

from __future__ import annotations

from bench_core.declarations import Step
from bench_core.plugins.registry import unknown
from bench_core.spec.checks.context import Context
from bench_core.spec.model import StepEntry
from bench_core.spec.nodes import Loc
from bench_core.spec.rules.labels import STAGES, label_breaches, own_files_breaches
from bench_core.spec.rules.steps import of_breaches, step_breaches


def check_steps(context: Context) -> None:
    """Check each entry against what its step declares, and that no two have one label."""
    context.report(label_breaches("steps", context.draft.steps, STAGES))
    for index, entry in context.draft.steps.items():
        loc: Loc = ("steps", index)
        step = context.registry.steps.get(entry.name)
        if step is None:
            error = unknown("step", entry.name, context.registry.steps)
            context.error("step", (*loc, "name"), error.message, cause=error.cause, fix=error.fix)
            continue
        _dataset(context, loc, entry, step)
        if context.draft.sound(("datasets",), (*loc, "of")):
            context.report(of_breaches(loc, entry, context.draft.datasets.values()))
        _anything(context, loc, step)


def _dataset(context: Context, loc: Loc, entry: StepEntry, step: Step) -> None:
    given = entry.dataset
    if not context.draft.sound((*loc, "dataset")) or not context.report(step_breaches(loc, entry, step)):
        return
    if given is not None and given.name not in context.registry.datasets:
        error = unknown("dataset", given.name, context.registry.datasets)
        context.error("dataset", (*loc, "dataset", "name"), error.message, cause=error.cause, fix=error.fix)
    elif given is not None:
        declared = context.registry.datasets[given.name]
        context.report(own_files_breaches((*loc, "dataset"), given, declared))
        _unread(context, (*loc, "dataset"), entry)


def _unread(context: Context, loc: Loc, entry: StepEntry) -> None:
    """Nothing is trained on the dataset of a step."""
    for key in ("augmentation", "loss", "folds", "stratify"):
        if entry.dataset is not None and getattr(entry.dataset, key) is not None:
            context.error(
                "step",
                (*loc, key),
                f"{key} would have no effect here",
                cause="nothing is trained on the dataset of a step",
                fix="remove it",
                key=True,
            )


def _anything(context: Context, loc: Loc, step: Step) -> None:
    models = [(entry, architecture) for _, entry, architecture in context.models()]
    if step.needs == "weights" and models and all(context.own_runner(*model) for model in models):
        context.error(
            "step",
            (*loc, "name"),
            f"step {step.name!r} has nothing to look at",
            cause="it needs the weights of networks, and every model has a runner that leaves none",
            fix="remove it, or add a model that is trained under the shared protocol",
            severity="warning",
        )
