"""Losses: fit for the tasks of the datasets they are used on, with weights for classes that exist."""

from __future__ import annotations

from collections.abc import Sequence

from bench_core.declarations import Task
from bench_core.spec.checks.context import Context
from bench_core.spec.loss import Losses
from bench_core.spec.nodes import Loc
from bench_core.spec.rules.labels import label_of
from bench_core.spec.words import join, nearest

Tasks = Sequence[tuple[str, Task]]
"""Labels of datasets with their tasks."""


def check_losses(context: Context) -> None:
    """Check the protocol's loss, the datasets' own ones and the models' deviating ones."""
    tasks = [(label_of(context.draft.datasets[index]), index, task) for index, task in context.tasks.items()]
    usual = [(name, task) for name, index, task in tasks if context.draft.datasets[index].loss is None]
    protocol = context.draft.protocol
    if protocol is not None:
        _check(context, ("protocol", "loss"), protocol.loss, usual)
    for name, index, task in tasks:
        _check(context, ("datasets", index, "loss"), context.draft.datasets[index].loss, [(name, task)])
    for index, entry in context.draft.models.items():
        if entry.deviations is not None:
            everywhere = [(name, task) for name, _, task in tasks]
            _check(context, ("models", index, "deviations", "loss"), entry.deviations.loss, everywhere)


def _check(context: Context, loc: Loc, loss: str | Losses | None, tasks: Tasks) -> None:
    if not context.draft.sound(loc):
        return
    if isinstance(loss, str):
        _fit(context, loc, loss, tasks)
    elif loss is not None:
        terms = dict(loss.terms())
        if not terms:
            context.error(
                "loss", loc, "the loss is a sum of nothing", cause="a mapping gives each loss its weight",
                fix="write for example {bce: 0.5, dice: 0.5}",
            )  # fmt: skip
        for name, term in terms.items():
            _fit(context, (*loc, name), name, tasks)
            weights = getattr(term, "weights", None)
            if isinstance(weights, dict):
                _classes(context, (*loc, name, "weights"), weights, tasks)


def _classes(context: Context, loc: Loc, weights: dict[str, float], tasks: Tasks) -> None:
    """Each class that has a weight is one of every dataset that the loss is used on."""
    for label in weights:
        lacking = [(name, task) for name, task in tasks if label not in (*task.classes, "background")]
        if lacking:
            name, task = lacking[0]
            context.error(
                "loss",
                (*loc, label),
                f"there is no class {label!r} in {join([name for name, _ in lacking])}",
                cause=f"the classes of {name} are {join(['background', *task.classes])}",
                fix=nearest(label, ("background", *task.classes))
                or "give the dataset whose class it is a `loss` of its own",
                key=True,
            )


def _fit(context: Context, loc: Loc, loss: str, tasks: Tasks) -> None:
    wrong = [(name, task) for name, task in tasks if loss == ("cross-entropy" if task.binary else "bce")]
    if not wrong:
        return
    binary = loss == "cross-entropy"
    counts = "one foreground class" if binary else "several foreground classes"
    context.error(
        "loss",
        loc,
        f"loss {loss!r} does not fit {join([name for name, _ in wrong])}, with {counts}",
        cause="bce is for one foreground class (one logit channel), cross-entropy for several",
        fix=f"use {'bce' if binary else 'cross-entropy'!r} or 'dice' there, or `loss: auto` for both",
        key=loc[-1] == loss,
    )
