"""Steps: which dataset each looks at, on the jobs of which datasets it works, and which go together."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from bench_core.declarations import Step
from bench_core.spec.model import DatasetEntry, StepEntry
from bench_core.spec.nodes import Loc
from bench_core.spec.rules import Breach
from bench_core.spec.rules.labels import label_of


def step_breaches(loc: Loc, entry: StepEntry, step: Step) -> Iterator[Breach]:
    """Yield what is wrong with the dataset of the entry at `loc`."""
    if step.dataset == "other" and entry.dataset is None:
        yield Breach(
            "step",
            (*loc, "name"),
            f"step {entry.name!r} needs a dataset of its own, and none is named",
            cause=step.help,
            fix="add `dataset: {name: ..., root: ...}`",
            about=((*loc, "dataset"),),
        )
    elif step.dataset == "same" and entry.dataset is not None:
        yield Breach(
            "step",
            (*loc, "dataset"),
            f"step {entry.name!r} does not take a dataset of its own",
            cause="it looks at the images that each finished job tested",
            fix="remove `dataset`",
            key=True,
        )


def of_breaches(loc: Loc, entry: StepEntry, datasets: Collection[DatasetEntry]) -> Iterator[Breach]:
    """Yield what in the `of` of the entry at `loc` names no dataset of the spec, or one twice."""
    labels = [label_of(item) for item in datasets]
    known = {*labels, *(item.name for item in datasets)}
    for place, name in enumerate(entry.of or ()):
        if name not in known:
            yield Breach(
                "step",
                (*loc, "of", place),
                f"no dataset of the spec is called {name!r}",
                cause="`of` lists the datasets on whose jobs the step works",
                fix=f"choose from {', '.join(dict.fromkeys(labels))}",
            )
        elif name in (entry.of or ())[:place]:
            yield Breach(
                "step", (*loc, "of", place), f"{name!r} is listed twice", fix="remove one of the two"
            )


def wanted_of(entry: StepEntry, dataset: DatasetEntry) -> bool:
    """Say whether a step is to work on the jobs of a dataset of the spec."""
    return entry.of is None or bool({label_of(dataset), dataset.name} & set(entry.of))


def step_data_breaches(
    datasets: Mapping[int, DatasetEntry], steps: Mapping[int, StepEntry]
) -> Iterator[Breach]:
    """Yield the datasets of steps that are called like another one and are not the same."""
    first: dict[str, tuple[Loc, DatasetEntry]] = {}
    entries: list[tuple[Loc, DatasetEntry]] = [
        (("datasets", index), item) for index, item in datasets.items()
    ]
    entries += [
        (("steps", index, "dataset"), item.dataset)
        for index, item in steps.items()
        if item.dataset is not None
    ]
    for loc, entry in entries:
        at, known = first.setdefault(label_of(entry), (loc, entry))
        if loc[0] == "steps" and _samples(entry) != _samples(known):
            yield Breach(
                "label",
                (*loc, "label" if entry.label else "name"),
                f"two datasets are called {label_of(entry)!r}, and are not the same",
                cause="tables tell them apart by label",
                fix="give this one a `label` of its own",
                earlier=at,
            )


def _samples(entry: DatasetEntry) -> tuple[object, ...]:
    """Return what decides which samples an entry has, and how they are grouped."""
    return entry.name, entry.root, entry.options, entry.duplicates, entry.folds
