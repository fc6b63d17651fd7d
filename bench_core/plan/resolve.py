"""From a spec's entries to what a job holds: names looked up, options completed, deviations applied."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from bench_core.declarations import Architecture, Dataset, RunnerDeclaration, Step, without_network
from bench_core.errors import PluginError
from bench_core.fold_files import GivenFolds, read_folds
from bench_core.options import Option, complete_options, differing
from bench_core.plan.errors import PlanError, refuse
from bench_core.plan.job import JobDataset, JobDeviation
from bench_core.plugins.registry import Registry
from bench_core.spec.model import DatasetEntry, Deviations, ModelEntry, StepEntry
from bench_core.spec.nodes import Loc
from bench_core.spec.protocol import DEVIATING_FIELDS, Protocol
from bench_core.spec.rules.labels import label_of, own_files_breaches
from bench_core.spec.rules.pretrained import pretrained_breaches, start_of


@dataclass(frozen=True)
class ModelChoice:
    """A model entry with its architecture: everything about it that no dataset changes."""

    label: str
    name: str
    architecture: Architecture
    runner: RunnerDeclaration
    pretrained: str
    weights: str | None
    options: Mapping[str, Any]
    settings: Mapping[str, Any]
    """Complete options of a runner with a protocol of its own; empty for others."""
    changes: Mapping[str, tuple[Any, str]]
    """Protocol field to the value that this model takes instead, and the reason."""
    pretrained_deviation: JobDeviation | None


@dataclass(frozen=True)
class DatasetChoice:
    """A dataset entry with its declaration, and the job's view of both."""

    entry: DatasetEntry
    declared: Dataset
    job: JobDataset
    given: GivenFolds | None = None
    """The user's own folds."""


def choose_model(
    entry: ModelEntry, registry: Registry, protocol: Protocol, loc: Loc = ("models",)
) -> ModelChoice:
    """Look up and complete the model entry at `loc`; raises PlanError, UnknownNameError or PluginError."""
    architecture = registry.model(entry.name)
    label = label_of(entry)
    runner = registry.runner(entry.runner or architecture.runner)
    deviation = None
    if entry.pretrained is None and without_network(architecture, runner):
        pretrained = "none"
    else:
        refuse(pretrained_breaches(loc, entry, architecture, protocol.pretrained))
        start = start_of(entry, architecture, protocol.pretrained)
        pretrained = start.source
        if pretrained != protocol.pretrained:
            deviation = JobDeviation("pretrained", protocol.pretrained, pretrained, start.because)
    given, settings = split_options(entry.options, architecture, runner)
    return ModelChoice(
        label=label,
        name=architecture.name,
        architecture=architecture,
        runner=runner,
        pretrained=pretrained,
        weights=entry.weights,
        options=complete(architecture.options, given, (*loc, "options")),
        settings=complete(runner.options, settings, (*loc, "options")) if runner.protocol == "own" else {},
        changes={**_declared_changes(architecture), **_changes(entry.deviations)},
        pretrained_deviation=deviation,
    )


def choose_dataset(entry: DatasetEntry, registry: Registry, loc: Loc = ("datasets",)) -> DatasetChoice:
    """Look up and complete the entry at `loc`; raises PlanError, UnknownNameError or, of folds, DataError."""
    declared = registry.dataset(entry.name)
    refuse(own_files_breaches(loc, entry, declared))
    options = complete(declared.options, entry.options, (*loc, "options"))
    try:
        task = declared.task_for(options)
    except ValueError as error:
        where = (*loc, "options")
        raise PlanError("the dataset's options do not fit", loc=where, cause=str(error)) from error
    given = None if entry.folds is None else read_folds(Path(entry.folds))
    job = JobDataset(
        label=label_of(entry),
        name=entry.name,
        version=declared.version,
        task=task,
        root=entry.root,
        options=options,
        content=entry.label or "" if declared.own_files else "",
        chosen=differing(declared.options, options),
        folds=entry.folds,
        folds_content=given.content if given is not None else "",
        duplicates=entry.duplicates.policy,
        duplicates_rule=entry.duplicates.rule,
        stratify=tuple(dict.fromkeys(entry.stratify or ())),
    )
    return DatasetChoice(entry, declared, job, given)


def split_options(
    given: Mapping[str, Any], architecture: Architecture, runner: RunnerDeclaration
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return which of a model entry's options are the network's and which its own runner's settings."""
    if runner.protocol != "own":
        return dict(given), {}
    mine = {name for name in given if name in runner.options and name not in architecture.options}
    network = {name: value for name, value in given.items() if name not in mine}
    return network, {name: given[name] for name in mine}


def step_options(step: Step, entry: StepEntry, registry: Registry, loc: Loc) -> dict[str, Any]:
    """Return the options of the step at `loc` that count; raises PlanError if they do not fit."""
    options = complete(step.options, entry.options, (*loc, "options"))
    try:
        return step.resolved(options, registry.metrics)
    except ValueError as error:
        raise PlanError(str(error), loc=(*loc, "options")) from error


def complete(declared: Mapping[str, Option], given: Mapping[str, Any], loc: Loc) -> dict[str, Any]:
    """Return complete options; raises PlanError if one of those at `loc` is not valid."""
    try:
        return complete_options(declared, given)
    except ValueError as error:
        raise PlanError("an option is not valid", loc=loc, cause=str(error)) from error


def _declared_changes(architecture: Architecture) -> dict[str, tuple[Any, str]]:
    changes: dict[str, tuple[Any, str]] = {}
    for setting, deviation in architecture.deviations.items():
        if setting == "pretrained":
            continue
        if setting not in DEVIATING_FIELDS:
            raise PluginError(
                f"model {architecture.name!r} declares a deviation of {setting!r}",
                cause=f"a model may deviate in: {', '.join(DEVIATING_FIELDS)}",
            )
        try:
            # The spec's own section checks the value, so that both kinds of deviation mean the same.
            checked = Deviations.model_validate({"because": deviation.because, setting: deviation.value})
        except ValidationError as error:
            raise PluginError(
                f"model {architecture.name!r} declares a deviation of {setting!r} that is not valid",
                cause=error.errors()[0]["msg"],
            ) from error
        changes.update(_changes(checked))
    return changes


def _changes(deviations: Deviations | None) -> dict[str, tuple[Any, str]]:
    if deviations is None:
        return {}
    values = ((setting, getattr(deviations, setting, None)) for setting in DEVIATING_FIELDS)
    return {setting: (value, deviations.because) for setting, value in values if value is not None}
