"""On the jobs of which datasets a step works: those that are asked for and go with what it looks at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench_core.declarations import Side, Step
from bench_core.plan.errors import PlanError, refuse
from bench_core.plan.folds import evaluate_folds
from bench_core.plan.resolve import DatasetChoice, ModelChoice
from bench_core.spec.model import StepEntry
from bench_core.spec.nodes import Loc
from bench_core.spec.protocol import Protocol
from bench_core.spec.rules.steps import of_breaches, wanted_of


@dataclass(frozen=True)
class PassedOver:
    """A dataset or a model (label) on whose jobs a step (label) does not work, and why."""

    step: str
    dataset: str
    """Empty where it is a model."""
    because: str
    model: str = ""

    @property
    def whose(self) -> str:
        """The label of the dataset or model."""
        return self.dataset or self.model


@dataclass(frozen=True)
class Fitting:
    """The datasets (labels) on whose jobs a step works, and why it works on no others."""

    works_on: frozenset[str]
    passed_over: Mapping[str, str]
    """Label to the reason; those that `of` leaves out have none and are not in it."""
    adapted: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Label to the options that count on the dataset, where they depend on it."""


def fitting(
    entry: StepEntry,
    step: Step,
    options: Mapping[str, object],
    other: DatasetChoice | None,
    datasets: Sequence[DatasetChoice],
    protocol: Protocol,
    loc: Loc,
    whole: bool = True,
) -> Fitting:
    """Return on which of the spec's datasets the step at `loc` works.

    Raises PlanError for one that `of` names and that does not go with the step's own dataset, and where none
    goes with it; `whole` is whether `datasets` are all of the spec's.
    """
    if whole:
        refuse(of_breaches(loc, entry, [item.entry for item in datasets]))
    asked = [item for item in datasets if wanted_of(entry, item.entry)]
    adapted: dict[str, Mapping[str, Any]] = {}
    if other is not None:
        found = {item.job.label: misfit(step, options, item, other, protocol) for item in asked}
        what = f"take networks that were trained on %s to {other.job.label}"
    elif step.adapt is not None or step.siblings is not None:
        found = {
            item.job.label: _alone(step, options, item, protocol) or _adapt(step, options, item, adapted)
            for item in asked
        }
        what = "work on %s"
    else:
        return Fitting(frozenset(item.job.label for item in asked), {})
    wrong = {label: because for label, because in found.items() if because}
    if wrong and (entry.of is not None or (whole and len(wrong) == len(found))):
        labels = list(wrong)
        named = labels[0] if len(labels) == 1 else f"any of {', '.join(labels)}"
        given = (*loc, "options") if entry.options else (*loc, "name")
        raise PlanError(
            f"step {entry.name!r} cannot {what % named}",
            loc=(*loc, "of") if entry.of is not None else given,
            cause="; ".join(dict.fromkeys(wrong.values())),
            fix="correct its options, name other datasets in `of`, or remove the step",
        )
    return Fitting(frozenset(found) - set(wrong), wrong, adapted)


@dataclass(frozen=True)
class Suiting:
    """The models (labels) on whose networks a step cannot work, and why."""

    unsuited: Mapping[str, str] = field(default_factory=dict)
    left_open: Mapping[str, str] = field(default_factory=dict)
    """Of others: what only the network can tell."""


def suiting(
    entry: StepEntry,
    step: Step,
    options: Mapping[str, object],
    models: Sequence[ModelChoice],
    loc: Loc,
    whole: bool = True,
) -> Suiting:
    """Return on which models' networks the step at `loc` cannot work.

    Raises PlanError where it works on none; `whole` is whether `models` are all of the spec's.
    """
    looked = [model for model in models if step.needs == "weights" and model.runner.protocol != "own"]
    found = {model.label: step.unsuited(options, model.architecture) for model in looked}
    unsuited = {label: because for label, (because, _) in found.items() if because}
    if unsuited and whole and len(unsuited) == len(found):
        raise PlanError(
            f"step {entry.name!r} cannot work on {'the network' if len(found) == 1 else 'any network'}",
            loc=(*loc, "options") if entry.options else (*loc, "name"),
            cause="; ".join(f"{label}: {because}" for label, because in unsuited.items()),
            fix="correct its options, or remove the step",
        )
    return Suiting(unsuited, {label: text for label, (_, text) in found.items() if text})


def _adapt(
    step: Step, options: Mapping[str, Any], data: DatasetChoice, adapted: dict[str, Mapping[str, Any]]
) -> str:
    """Keep the options that count on a dataset, and return why the step cannot work on it; empty: it can."""
    if step.adapt is None:
        return ""
    try:
        adapted[data.job.label] = step.adapted(options, _side(data))
    except ValueError as error:
        return str(error)
    return ""


def _alone(step: Step, options: Mapping[str, Any], data: DatasetChoice, protocol: Protocol) -> str:
    """Return why there are no other folds whose networks a step could look at; empty: there are, or it asks
    for none."""
    if not step.across(options) or len(evaluate_folds(protocol.evaluate, data.given)) > 1:
        return ""
    return f"{data.job.label} is tested in one fold alone, and networks of several folds are asked for"


def misfit(
    step: Step,
    options: Mapping[str, object],
    trained: DatasetChoice,
    other: DatasetChoice,
    protocol: Protocol,
) -> str:
    """Return why a step cannot take networks that were trained on one dataset to another; empty: it can."""
    if step.unseen:
        shared = _same(trained, other) or declared_overlap(trained, other)
        if shared:
            return shared
    mine, there = trained.job.task.channels, other.job.task.channels
    if step.needs == "weights" and protocol.channels == "native" and mine != there:
        return f"{trained.job.label} has images of {mine} channels, {other.job.label} of {there}"
    return step.misfit(options, _side(trained), _side(other))


def declared_overlap(trained: DatasetChoice, other: DatasetChoice) -> str:
    """Return which images two datasets declare to share, empty where they declare none.

    The user's own files are known by their label, whatever its case, spaces and dashes.
    """
    for one, there in ((other, trained), (trained, other)):
        shared = {_plain(name): which for name, which in one.declared.same_images.items()}
        names = [there.declared.name, *([there.job.label] if there.declared.own_files else [])]
        found = next((shared[_plain(name)] for name in names if _plain(name) in shared), None)
        if found is not None:
            return f"{one.declared.display} and {there.job.label} share images: {found}"
    return ""


def _plain(name: str) -> str:
    return "".join(filter(str.isalnum, name.lower()))


def _same(one: DatasetChoice, other: DatasetChoice) -> str:
    mine, there = one.job, other.job
    if (mine.name, mine.root, mine.options) == (there.name, there.root, there.options):
        return f"{mine.label} and {there.label} are one dataset"
    return ""


def _side(choice: DatasetChoice) -> Side:
    title = choice.entry.label or choice.declared.display
    modality = choice.declared.modality_for(choice.job.options)
    return Side(title=title, task=choice.job.task, modality=modality)
