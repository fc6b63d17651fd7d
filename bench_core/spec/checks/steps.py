"""Entries of `steps`: names, labels, and the dataset that a step looks at."""

from __future__ import annotations

from bench_core.declarations import Step
from bench_core.plugins import unknown
from bench_core.spec.checks.context import Context, label_of
from bench_core.spec.model import StepEntry
from bench_core.spec.nodes import Loc, place_of

STAGES = ("search", "evaluate")
"""Labels that no step can have, since jobs of these stages are called by them."""


def check_steps(context: Context) -> None:
    """Check each entry against what its step declares, and that no two have one label."""
    first: dict[str, int] = {}
    for index, entry in context.draft.steps.items():
        loc: Loc = ("steps", index)
        _label(context, loc, entry, first.setdefault(label_of(entry), index))
        step = context.registry.steps.get(entry.name)
        if step is None:
            error = unknown("step", entry.name, context.registry.steps)
            context.error("step", (*loc, "name"), error.message, cause=error.cause, fix=error.fix)
            continue
        _dataset(context, loc, entry, step)
        _anything(context, loc, step)


def _label(context: Context, loc: Loc, entry: StepEntry, first: int) -> None:
    label, where = label_of(entry), (*loc, "label" if entry.label else "name")
    if label in STAGES:
        context.error(
            "label",
            where,
            f"no step can be called {label!r}",
            cause="a stage of the protocol has this name, and jobs are called by it",
            fix="give it another `label`",
        )
    elif loc[1] != first:
        context.error(
            "label",
            where,
            f"two entries of steps are called {label!r}",
            cause=f"the first is at {place_of(context.tree, ('steps', first))}; "
            "jobs and tables tell them apart by label",
            fix="give one of them a `label` of its own",
        )


def _dataset(context: Context, loc: Loc, entry: StepEntry, step: Step) -> None:
    given = entry.dataset
    if not context.draft.sound((*loc, "dataset")):
        return
    if step.dataset == "other" and given is None:
        context.error(
            "step",
            (*loc, "name"),
            f"step {entry.name!r} looks at a dataset of its own, and none is named",
            cause=step.help,
            fix="add `dataset: {name: ..., root: ...}`",
        )
    elif step.dataset == "same" and given is not None:
        context.error(
            "step",
            (*loc, "dataset"),
            f"step {entry.name!r} takes no dataset of its own",
            cause="it looks at the images that each finished job tested",
            fix="remove `dataset`",
            key=True,
        )
    elif given is not None and given.name not in context.registry.datasets:
        error = unknown("dataset", given.name, context.registry.datasets)
        context.error("dataset", (*loc, "dataset", "name"), error.message, cause=error.cause, fix=error.fix)
    elif given is not None:
        _own_files(context, (*loc, "dataset"), entry)
        _unread(context, (*loc, "dataset"), entry)


def _own_files(context: Context, loc: Loc, entry: StepEntry) -> None:
    given = entry.dataset
    if given is not None and given.label is None and context.registry.datasets[given.name].own_files:
        context.error(
            "label",
            (*loc, "name"),
            f"dataset {given.name!r} needs a label",
            cause="its files are your own, and the label tells their results from those of other files",
            fix=f"add one: {{name: {given.name}, label: my-images, ...}}",
        )


def _unread(context: Context, loc: Loc, entry: StepEntry) -> None:
    """Nothing is trained on the dataset of a step."""
    for key in ("augmentation", "loss", "folds"):
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
