"""Paths that cannot name a file: unknown home folders, names that are too long, links in a circle."""

from __future__ import annotations

from bench_core.errors import BenchError
from bench_core.files.paths import check_path, expand
from bench_core.spec.checks.context import Context
from bench_core.spec.nodes import Loc


def check_paths(context: Context) -> None:
    """Look at roots and folds of datasets and weights files of models, but not at whether they exist."""
    for index, dataset in context.draft.datasets.items():
        _check(context, ("datasets", index, "root"), dataset.root)
        _check(context, ("datasets", index, "folds"), dataset.folds)
    for index, model in context.draft.models.items():
        _check(context, ("models", index, "weights"), model.weights)
    for index, step in context.draft.steps.items():
        if step.dataset is not None:
            _check(context, ("steps", index, "dataset", "root"), step.dataset.root)


def _check(context: Context, loc: Loc, text: str | None) -> None:
    if text is None or not context.draft.sound(loc):
        return
    try:
        check_path(context.base / expand(text), "the path")
    except BenchError as error:
        context.error("path", loc, error.message, cause=error.cause, fix=error.fix)
