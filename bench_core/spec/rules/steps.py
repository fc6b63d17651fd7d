"""Steps: the dataset that each looks at is its own or that of the finished job, as it declares."""

from __future__ import annotations

from collections.abc import Iterator

from bench_core.declarations import Step
from bench_core.spec.model import StepEntry
from bench_core.spec.nodes import Loc
from bench_core.spec.rules import Breach


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
