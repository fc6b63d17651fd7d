"""Which folds train, validate and test in each job."""

from __future__ import annotations

from dataclasses import replace

from bench_core.fold_files import GivenFolds
from bench_core.plan.errors import PlanError
from bench_core.plan.job import JobFold
from bench_core.spec.protocol import Evaluate, Search


def evaluate_folds(evaluate: Evaluate, deal: int = 0, given: GivenFolds | None = None) -> dict[int, JobFold]:
    """Return the split of each evaluate fold that is run, by its index; `deal` is that of `JobFold`.

    `given` are the user's own folds of a dataset; a fixed split among them is fold 0.
    """
    if given is not None and given.roles:
        return {0: _fixed(evaluate, given)}
    _check_given(evaluate, given)
    chosen = range(evaluate.folds) if evaluate.only is None else evaluate.only
    _check(chosen, evaluate.folds, "protocol.evaluate.only")
    return {index: replace(_evaluate_fold(index, evaluate), deal=deal) for index in chosen}


def search_folds(search: Search, evaluate: Evaluate, given: GivenFolds | None = None) -> dict[int, JobFold]:
    """Return the split of each search fold, by its index; no search job tests.

    With `nested` these are the evaluate folds' own: their training and validation images alone. `given` is as
    for `evaluate_folds`; a fixed split is searched on its validation images.
    """
    if given is not None and given.roles:
        fixed = _fixed(evaluate, given)
        if search.nested and fixed.test == fixed.validation:
            raise PlanError(
                "a nested search would choose the learning rate on the images that are tested",
                place="protocol.search.nested",
                cause="the fixed split has training and validation images only",
                fix="give the split test images, too",
            )
        return {0: replace(fixed, test=())}
    _check_given(evaluate, given)
    if search.nested:
        chosen = tuple(evaluate_folds(evaluate))
        return {index: _nested_fold(index, evaluate) for index in chosen}
    _check(search.folds, evaluate.folds, "protocol.search.folds")
    splits = {index: _evaluate_fold(index, evaluate) for index in search.folds}
    return {
        index: JobFold(index, split.count, split.layout, split.train, split.validation, ())
        for index, split in splits.items()
    }


def _fixed(evaluate: Evaluate, given: GivenFolds) -> JobFold:
    if evaluate.only is not None and evaluate.only != [0]:
        raise PlanError(
            "a fixed split is fold 0 and has no other",
            place="protocol.evaluate.only",
            fix="remove `only`, or leave that dataset out",
        )
    if given.count == 2 and evaluate.layout != "holdout":
        raise PlanError(
            "the fixed split has no test images",
            place="protocol.evaluate.layout",
            fix="give it test images, or set `layout: holdout`, which tests the images that it validates on",
        )
    return JobFold(0, given.count, "fixed", (0,), (1,), (given.count - 1,))


def _check_given(evaluate: Evaluate, given: GivenFolds | None) -> None:
    if given is not None and given.count != evaluate.folds:
        raise PlanError(
            f"a dataset's own folds are {given.count}, protocol.evaluate.folds is {evaluate.folds}",
            place="protocol.evaluate.folds",
            fix=f"set it to {given.count}, or divide the dataset into {evaluate.folds} folds",
        )


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
