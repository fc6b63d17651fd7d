"""Losses: known, and fit for the tasks of the datasets they are used on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench_core.declarations import Task
from bench_core.spec.checks.context import Context, label_of
from bench_core.spec.nodes import Loc
from bench_core.spec.words import join, nearest

LOSSES = ("bce", "cross-entropy", "dice")


def check_losses(context: Context) -> None:
    """Check the protocol's loss, the datasets' own ones and the models' deviating ones."""
    tasks = [(label_of(context.draft.datasets[index]), index, task) for index, task in context.tasks.items()]
    _check(
        context,
        ("protocol", "loss"),
        [(name, task) for name, index, task in tasks if context.draft.datasets[index].loss is None],
    )
    for name, index, task in tasks:
        _check(context, ("datasets", index, "loss"), [(name, task)])
    for index in context.draft.models:
        _check(context, ("models", index, "deviations", "loss"), [(name, task) for name, _, task in tasks])


def _check(context: Context, loc: Loc, tasks: Sequence[tuple[str, Task]]) -> None:
    loss: Any = context.given(loc)
    if isinstance(loss, str):
        if loss in LOSSES:
            _fit(context, loc, loss, tasks)
        return
    if not isinstance(loss, dict):
        return
    if not loss:
        context.error(
            "loss", loc, "the loss is a sum of nothing", cause="a mapping gives each loss its weight",
            fix="write for example {bce: 0.5, dice: 0.5}",
        )  # fmt: skip
    for name in loss:
        if name in LOSSES:
            _fit(context, (*loc, name), name, tasks)
            continue
        fix = nearest(name, LOSSES) or f"use {join(LOSSES)}"
        if name == "auto":
            fix = "name the loss; `auto` stands alone"
        context.error(
            "loss",
            (*loc, name),
            f"unknown loss {name!r}",
            cause=f"losses are {join(LOSSES)}",
            fix=fix,
            key=True,
        )


def _fit(context: Context, loc: Loc, loss: str, tasks: Sequence[tuple[str, Task]]) -> None:
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
