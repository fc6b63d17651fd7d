"""Which folds train, validate and test in each job, under a protocol that keeps the rules of folds."""

from __future__ import annotations

from dataclasses import replace

from bench_core.fold_files import GivenFolds
from bench_core.plan.job import JobFold
from bench_core.spec.protocol import Evaluate, Search


def evaluate_folds(evaluate: Evaluate, given: GivenFolds | None = None) -> dict[int, JobFold]:
    """Return the split of each evaluate fold that is run, by its index.

    `given` are the user's own folds of a dataset; a fixed split among them is fold 0.
    """
    if given is not None and given.roles:
        return {0: _fixed(given)}
    chosen = range(evaluate.folds) if evaluate.only is None else evaluate.only
    return {index: _evaluate_fold(index, evaluate) for index in chosen}


def search_folds(search: Search, evaluate: Evaluate, given: GivenFolds | None = None) -> dict[int, JobFold]:
    """Return the split of each search fold, by its index; no search job tests.

    With `nested` these are the evaluate folds' own: their training and validation images alone. `given` is as
    for `evaluate_folds`; a fixed split is searched on its validation images.
    """
    if given is not None and given.roles:
        return {0: replace(_fixed(given), test=())}
    if search.nested:
        chosen = tuple(evaluate_folds(evaluate))
        return {index: _nested_fold(index, evaluate) for index in chosen}
    splits = {index: _evaluate_fold(index, evaluate) for index in search.folds}
    return {
        index: JobFold(index, split.count, split.layout, split.train, split.validation, ())
        for index, split in splits.items()
    }


def _fixed(given: GivenFolds) -> JobFold:
    return JobFold(0, given.count, "fixed", (0,), (1,), (given.count - 1,))


def _evaluate_fold(index: int, evaluate: Evaluate) -> JobFold:
    if evaluate.layout == "holdout":
        return _fold(index, evaluate, validation=index, test=index)
    return _fold(index, evaluate, validation=index, test=(index + 1) % evaluate.folds)


def _nested_fold(index: int, evaluate: Evaluate) -> JobFold:
    outer = _evaluate_fold(index, evaluate)
    if evaluate.layout == "rotate":
        return JobFold(index, outer.count, outer.layout, outer.train, outer.validation, ())
    # Holdout tests the fold it validates on, so a search needs another one to validate on.
    inner = _fold(index, evaluate, validation=(index + 1) % evaluate.folds, test=index)
    return JobFold(index, inner.count, inner.layout, inner.train, inner.validation, ())


def _fold(index: int, evaluate: Evaluate, *, validation: int, test: int) -> JobFold:
    train = tuple(fold for fold in range(evaluate.folds) if fold not in (validation, test))
    return JobFold(index, evaluate.folds, evaluate.layout, train, (validation,), (test,))
