"""Options of all that plugins declare, against their declarations; roots of datasets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench_core.declarations import Dataset
from bench_core.declarations.executors import LOCAL
from bench_core.errors import BenchError, UnknownNameError
from bench_core.options import Option, complete_options
from bench_core.spec.checks.context import Context
from bench_core.spec.model import DatasetEntry
from bench_core.spec.nodes import Loc
from bench_core.spec.words import shown
from bench_core.text import hidden_in

LONGEST_CLASS = 64
"""Characters of a class name."""


def check_options(context: Context) -> None:
    """Check each option by itself, then what a dataset makes of all of them."""
    for index, model, architecture in context.models():
        own = context.own_runner(model, architecture)
        declared = {**(own.options if own is not None else {}), **architecture.options}
        _each(context, ("models", index, "options"), declared, model.options)
    for index, entry, dataset in context.datasets():
        _dataset(context, ("datasets", index), entry, dataset)
    for index, step in context.draft.steps.items():
        loc: Loc = ("steps", index)
        if step.name in context.registry.steps:
            _each(context, (*loc, "options"), context.registry.steps[step.name].options, step.options)
        if step.dataset is not None and step.dataset.name in context.registry.datasets:
            found = context.registry.datasets[step.dataset.name]
            _dataset(context, (*loc, "dataset"), step.dataset, found)
    for name, options in context.draft.runner_options.items():
        _runtime(context, name, options)
    for name, options in context.draft.executor_options.items():
        executor = context.registry.executors.get(name)
        if executor is not None or name == LOCAL:
            _each(context, ("runtime", "executors", name), executor.options if executor else {}, options)
    for index, analysis in context.draft.analyses.items():
        known = context.registry.analyses.get(analysis.name)
        if known is not None:
            _each(context, ("analyses", index, "options"), known.options, analysis.options, named=False)


def _dataset(context: Context, loc: Loc, entry: DatasetEntry, dataset: Dataset) -> None:
    if _each(context, (*loc, "options"), dataset.options, entry.options):
        _task(context, loc, entry, dataset)
    if dataset.needs_root and entry.root is None and context.draft.sound((*loc, "root")):
        context.error(
            "root",
            (*loc, "name"),
            f"dataset {entry.name!r} has no root",
            cause="it is read from files" + (f"; {dataset.how_to_get}" if dataset.how_to_get else ""),
            fix=f'write {{name: {entry.name}, root: "${{SEGTRIAL_DATA:-data}}/{entry.name}"}}',
        )


def _runtime(context: Context, name: str, options: Mapping[str, Any]) -> None:
    runner = context.registry.runners.get(name)
    if runner is None:
        return
    loc: Loc = ("runtime", "runners", name)
    if runner.protocol == "shared":
        _each(context, loc, runner.options, options)
        return
    for option in options:
        context.error(
            "option",
            (*loc, option),
            f"{option} would have no effect here",
            cause=f"runner {name!r} has a procedure of its own, whose settings count for identity",
            fix="move it into the `options` of the models that it runs",
            key=True,
        )


def _each(
    context: Context,
    loc: Loc,
    declared: Mapping[str, Option],
    given: Mapping[str, Any],
    *,
    named: bool = True,
) -> bool:
    """Check options one by one; with `named` false another check knows which names there are."""
    sound = True
    for name, value in given.items():
        try:
            complete_options(declared, {name: value})
        except ValueError as error:
            sound = False
            meaning = f"{name}: {declared[name].help}" if name in declared else None
            fix = None if name in declared else "correct the name, or remove it"
            context.error(
                "option", (*loc, name), str(error), cause=meaning, fix=fix, key=name not in declared
            )
        else:
            sound = (not named or _names(context, (*loc, name), declared[name], value)) and sound
    return sound


def _names(context: Context, loc: Loc, option: Option, value: Any) -> bool:
    """Check what must be the name of something that a plugin declares."""
    sound = True
    for name in value if isinstance(value, (list, tuple)) else [value]:
        if option.names == "metric" and name is not None:
            try:
                context.registry.metric(str(name))
            except UnknownNameError as error:
                sound = False
                context.error("option", loc, error.message, cause=error.cause, fix=error.fix)
    return sound


def _task(context: Context, loc: Loc, entry: DatasetEntry, dataset: Dataset) -> None:
    try:
        task = dataset.task_for(complete_options(dataset.options, entry.options))
    except ValueError as error:
        # Options that are required together stand nowhere: point at the entry then.
        where = (*loc, "options") if entry.options else (*loc, "name")
        context.error("option", where, f"options of {entry.name!r} do not fit: {error}")
    except BenchError as error:
        fix = error.fix or "report it to the plugin's author"
        context.error("option", (*loc, "name"), error.message, cause=error.cause, fix=fix)
    else:
        where = (*loc, "options", "classes") if "classes" in entry.options else (*loc, "name")
        for name in task.classes:
            mistake = _name_mistake(name)
            if mistake is not None:
                context.error(
                    "name",
                    where,
                    f"the class name {shown(name)} {mistake}",
                    cause="class names stand in tables, pages and files",
                    fix="write a short word, or a few",
                )


def _name_mistake(name: Any) -> str | None:
    if not isinstance(name, str):
        return "is not text"
    if not name.strip() or name != name.strip():
        return "is empty, or starts or ends with a space"
    if len(name) > LONGEST_CLASS:
        return f"is longer than {LONGEST_CLASS} characters"
    hidden = hidden_in(name, name=True)
    return f"holds {hidden}" if hidden is not None else None
