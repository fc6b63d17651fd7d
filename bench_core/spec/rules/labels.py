"""Labels: entries are told apart by them, and so are the files of a user's own."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from bench_core.declarations import Dataset
from bench_core.spec.model import DatasetEntry, ModelEntry, StepEntry
from bench_core.spec.nodes import Loc
from bench_core.spec.rules import Breach

STAGES = ("search", "evaluate")
"""Labels that no step can have, since jobs of these stages are called by them."""


def label_of(entry: ModelEntry | DatasetEntry | StepEntry) -> str:
    """Return how tables name an entry."""
    return entry.label or entry.name


def label_breaches(
    kind: str,
    entries: Mapping[int, ModelEntry] | Mapping[int, DatasetEntry] | Mapping[int, StepEntry],
    reserved: Collection[str] = (),
) -> Iterator[Breach]:
    """Yield the entries of a list (by their index in it) whose label is taken or `reserved`."""
    first: dict[str, int] = {}
    for index, entry in entries.items():
        label = label_of(entry)
        loc: Loc = (kind, index, "label" if entry.label else "name")
        if label in reserved:
            yield Breach(
                "label",
                loc,
                f"no step can be called {label!r}",
                cause="a stage of the protocol has this name, and jobs are called by it",
                fix="give it another `label`",
            )
        elif first.setdefault(label, index) != index:
            yield Breach(
                "label",
                loc,
                f"two entries of {kind} are called {label!r}",
                cause="tables tell them apart by label",
                fix="give one of them a `label` of its own",
                earlier=(kind, first[label]),
            )


def part_breaches(stages: Mapping[int, Sequence[str]]) -> Iterator[Breach]:
    """Yield the step entries (by index) a part of which is called like another entry or a part of it."""
    taken: dict[str, int] = {}
    for index, names in stages.items():
        for name in names:
            first = taken.setdefault(name, index)
            if first != index:
                yield Breach(
                    "label",
                    ("steps", index),
                    f"two steps have jobs called {name!r}",
                    cause="the parts of a step are called LABEL-PART",
                    fix="give one of the two entries another `label`",
                    earlier=("steps", first),
                )


def own_files_breaches(loc: Loc, entry: DatasetEntry, dataset: Dataset) -> Iterator[Breach]:
    """Yield the breach of an entry at `loc` whose files are the user's own and that has no label."""
    if dataset.own_files and entry.label is None:
        yield Breach(
            "label",
            (*loc, "name"),
            f"dataset {entry.name!r} needs a label",
            cause="its files are your own, and the label tells their results from those of other files",
            fix=f"add one: {{name: {entry.name}, label: my-images, ...}}",
            about=((*loc, "label"),),
        )
