"""Which folds train, validate and test in each job."""

from __future__ import annotations

from dataclasses import replace

from bench_core.plan.errors import PlanError
from bench_core.plan.job import JobFold
from bench_core.spec.protocol import Evaluate, Search


def evaluate_folds(evaluate: Evaluate, deal: int = 0) -> dict[int, JobFold]:
    """Return the split of each evaluate fold that is run, by its index; `deal` is that of `JobFold`."""
    chosen = range(evaluate.folds) if evaluate.only is None else evaluate.only
    _check(chosen, evaluate.folds, "protocol.evaluate.only")
    return {index: replace(_evaluate_fold(index, evaluate), deal=deal) for index in chosen}


def search_folds(search: Search, evaluate: Evaluate) -> dict[int, JobFold]:
    """Return the split of each search fold, by its index; no search job tests.

    With `nested` these are the evaluate folds' own: their training and validation images alone.
    """
    if search.nested:
        chosen = tuple(evaluate_folds(evaluate))
        return {index: _nested_fold(index, evaluate) for index in chosen}
    _check(search.folds, evaluate.folds, "protocol.search.folds")
    splits = {index: _evaluate_fold(index, evaluate) for index in search.folds}
    return {
        index: JobFold(index, split.count, split.layout, split.train, split.validation, ())
        for index, split in splits.items()
    }


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
    if not train:
        raise PlanError(
            f"{evaluate.folds} folds leave none to train on",
            place="protocol.evaluate.folds",
            cause=f"layout {evaluate.layout!r} takes one fold to validate and another to test",
            fix="use at least 3 folds",
        )
    return JobFold(index, evaluate.folds, evaluate.layout, train, (validation,), (test,))


def _check(chosen: range | list[int], count: int, place: str) -> None:
    for index in chosen:
        if not 0 <= index < count:
            raise PlanError(
                f"fold {index} does not exist",
                place=place,
                cause=f"protocol.evaluate.folds is {count}",
                fix=f"folds are 0 to {count - 1}",
            )
    if len(set(chosen)) < len(chosen):
        raise PlanError("a fold is listed twice", place=place, fix="list each fold once")
