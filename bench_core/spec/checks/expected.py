"""Published scores: the models, datasets, classes and metrics that they are of must be in the spec."""

from __future__ import annotations

from bench_core.spec.checks.context import Context
from bench_core.spec.checks.measured import check_metric
from bench_core.spec.nodes import Loc
from bench_core.spec.rules.labels import label_of
from bench_core.spec.words import join, nearest


def check_expected(context: Context) -> None:
    """Look up what each published table is about."""
    draft = context.draft
    models = [label_of(entry) for entry in draft.models.values()]
    datasets = {label_of(entry): index for index, entry in draft.datasets.items()}
    whole = draft.sound(("models",), ("datasets",))
    for index, table in draft.expected.items():
        loc: Loc = ("expected", index)
        if draft.sound((*loc, "metric")):
            check_metric(context, "expected", (*loc, "metric"), table.metric)
        if not whole or not draft.sound((*loc, "scores")):
            continue
        for model, row in table.scores.items():
            if model not in models:
                _unknown(context, (*loc, "scores", model), "model", model, models)
            for dataset in row:
                where: Loc = (*loc, "scores", model, dataset)
                if dataset not in datasets:
                    _unknown(context, where, "dataset", dataset, list(datasets))
                elif table.of_class is not None:
                    _class(context, loc, where, table.of_class, dataset, datasets[dataset])


def _class(context: Context, loc: Loc, where: Loc, name: str, dataset: str, index: int) -> None:
    task = context.tasks.get(index)
    if task is not None and name not in task.classes:
        context.error(
            "expected",
            where,
            f"{dataset} has no class {name!r}",
            cause=f"its classes are {join(task.classes)}" if len(task.classes) <= 30 else None,
            fix=nearest(name, task.classes) or "correct `class`, or remove this dataset",
            key=True,
        )


def _unknown(context: Context, loc: Loc, what: str, name: str, known: list[str]) -> None:
    context.error(
        "expected",
        loc,
        f"no {what} of this spec is called {name!r}",
        cause=f"there are {join(known)}" if len(known) <= 30 else None,
        fix=nearest(name, known) or "correct the name, or remove it",
        key=True,
    )
