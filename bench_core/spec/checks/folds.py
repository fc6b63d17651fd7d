"""Folds: those named must exist, and some must be left to train on."""

from __future__ import annotations

from collections.abc import Sequence

from bench_core.errors import BenchError
from bench_core.fold_files import read_folds
from bench_core.paths import expand
from bench_core.spec.checks.context import Context
from bench_core.spec.nodes import Loc
from bench_core.spec.protocol import Evaluate

_COUNT: Loc = ("protocol", "evaluate", "folds")


def check_folds(context: Context) -> None:
    """Check search.folds and evaluate.only against evaluate.folds and the layout."""
    protocol = context.draft.protocol
    if protocol is None or not context.draft.sound(_COUNT):
        return
    search, evaluate = protocol.search, protocol.evaluate
    _files(context, evaluate)
    if evaluate.only is not None:
        _listed(context, ("protocol", "evaluate", "only"), evaluate.only, evaluate.folds)
    nested = search is not None and search.nested and context.draft.sound(("protocol", "search", "nested"))
    if search is not None and "folds" in search.model_fields_set:
        loc: Loc = ("protocol", "search", "folds")
        if nested:
            context.error(
                "fold",
                loc,
                "`folds` has no meaning with `nested: true`",
                cause="a nested search runs inside of every evaluate fold",
                fix="remove `folds` or `nested`",
                key=True,
            )
        else:
            _listed(context, loc, search.folds, evaluate.folds)
    needed = 3 if evaluate.layout == "rotate" or nested else 2
    if evaluate.folds < needed and context.draft.sound(("protocol", "evaluate", "layout")):
        why = "layout rotate takes one fold to validate and another to test"
        if evaluate.layout == "holdout":
            why = "a nested search takes one fold to validate, and holdout another"
        context.error(
            "fold",
            _COUNT,
            f"{evaluate.folds} folds leave none to train on",
            cause=why,
            fix="use at least 3 folds" + ("" if nested else ", or `layout: holdout`"),
        )


def _files(context: Context, evaluate: Evaluate) -> None:
    """Check the datasets' own folds."""
    for index, entry in context.draft.datasets.items():
        loc: Loc = ("datasets", index, "folds")
        if entry.folds is None or not context.draft.sound(loc):
            continue
        try:
            given = read_folds(context.base / expand(entry.folds))
        except BenchError as error:
            where = "" if error.place is None else f"{error.place}: "
            context.error("folds-file", loc, f"{where}{error.message}", cause=error.cause, fix=error.fix)
            continue
        if evaluate.reshuffle and context.draft.sound(("protocol", "evaluate", "reshuffle")):
            context.error(
                "folds-file",
                loc,
                "`reshuffle` deals new folds, and this dataset has its own",
                fix="remove `reshuffle` or `folds`",
            )
        if given.roles and given.count == 2 and evaluate.layout != "holdout":
            context.error(
                "folds-file",
                loc,
                "the fixed split has no test images",
                cause="layout rotate tests other images than it validates on",
                fix="give it test images, or set `layout: holdout`",
            )
        if not given.roles and given.count != evaluate.folds:
            context.error(
                "folds-file",
                loc,
                f"the file holds {given.count} folds, protocol.evaluate.folds is {evaluate.folds}",
                cause="all datasets of a study have as many folds, unless they have a fixed split",
                fix=f"set `evaluate: {{folds: {given.count}}}`, or write {evaluate.folds} folds",
            )


def _listed(context: Context, loc: Loc, folds: Sequence[int], count: int) -> None:
    if not context.draft.sound(loc):
        return
    seen: set[int] = set()
    for index, fold in enumerate(folds):
        if fold >= count:
            context.error(
                "fold",
                (*loc, index),
                f"fold {fold} does not exist",
                cause=f"protocol.evaluate.folds is {count}, and folds are numbered from 0",
                fix=f"write a fold from 0 to {count - 1}",
            )
        elif fold in seen:
            context.error(
                "fold",
                (*loc, index),
                f"fold {fold} is listed twice",
                cause="it would train the same jobs twice",
                fix="remove one",
            )
        seen.add(fold)
