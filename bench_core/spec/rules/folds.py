"""Folds: those named must exist, and some must be left to train on; a dataset's own folds must fit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bench_core.fold_files import GivenFolds
from bench_core.spec.nodes import Loc
from bench_core.spec.protocol import Evaluate, Search
from bench_core.spec.rules import Breach

COUNT: Loc = ("protocol", "evaluate", "folds")
ONLY: Loc = ("protocol", "evaluate", "only")
LAYOUT: Loc = ("protocol", "evaluate", "layout")
REPEATS: Loc = ("protocol", "evaluate", "repeats")
RESHUFFLE: Loc = ("protocol", "evaluate", "reshuffle")
SEARCHED: Loc = ("protocol", "search", "folds")
NESTED: Loc = ("protocol", "search", "nested")


def fold_breaches(search: Search | None, evaluate: Evaluate) -> Iterator[Breach]:
    """Yield what is wrong with search.folds, evaluate.only and evaluate.folds under the layout."""
    nested = search is not None and search.nested
    if evaluate.reshuffle and evaluate.repeats == 1:
        yield Breach(
            "fold",
            RESHUFFLE,
            "`reshuffle` has no effect without repeats",
            cause="it deals other folds at each repeat after the first",
            fix="add `repeats: 3`, or remove `reshuffle`",
            key=True,
            about=(REPEATS,),
        )
    if evaluate.only is not None:
        yield from _listed(ONLY, evaluate.only, evaluate.folds)
    if search is not None and nested and "folds" in search.model_fields_set:
        yield Breach(
            "fold",
            SEARCHED,
            "`folds` has no meaning with `nested: true`",
            cause="a nested search runs inside of every evaluate fold",
            fix="remove `folds` or `nested`",
            key=True,
            about=(NESTED,),
        )
    elif search is not None and not nested:
        yield from _listed(SEARCHED, search.folds, evaluate.folds)
    if evaluate.folds < (3 if evaluate.layout == "rotate" or nested else 2):
        why = "layout rotate takes one fold to validate and another to test"
        if evaluate.layout == "holdout":
            why = "a nested search takes one fold to validate, and holdout another"
        yield Breach(
            "fold",
            COUNT,
            f"{evaluate.folds} folds leave none to train on",
            cause=why,
            fix="use at least 3 folds" + ("" if nested else ", or `layout: holdout`"),
            about=(LAYOUT, NESTED),
        )


def given_breaches(
    loc: Loc, given: GivenFolds, search: Search | None, evaluate: Evaluate
) -> Iterator[Breach]:
    """Yield what is wrong with a dataset's own folds, named at `loc`, under the protocol's."""
    if evaluate.reshuffle:
        yield Breach(
            "folds-file",
            loc,
            "`reshuffle` deals new folds, and this dataset has its own",
            fix="remove `reshuffle` or `folds`",
            about=(RESHUFFLE,),
        )
    if not given.roles:
        if given.count != evaluate.folds:
            yield Breach(
                "folds-file",
                loc,
                f"the file holds {given.count} folds, protocol.evaluate.folds is {evaluate.folds}",
                cause="all datasets of a study have as many folds, unless they have a fixed split",
                fix=f"set `evaluate: {{folds: {given.count}}}`, or write {evaluate.folds} folds",
                about=(COUNT,),
            )
        return
    if evaluate.only is not None and evaluate.only != [0]:
        yield Breach(
            "folds-file",
            loc,
            "a fixed split is fold 0 and has no other",
            cause=f"protocol.evaluate.only asks for {', '.join(map(str, evaluate.only))}",
            fix="remove `only`, or leave that dataset out",
            about=(ONLY,),
        )
    if given.count != 2:
        return
    if evaluate.layout != "holdout":
        yield Breach(
            "folds-file",
            loc,
            "the fixed split has no test images",
            cause="layout rotate tests other images than it validates on",
            fix="give it test images, or set `layout: holdout`",
            about=(LAYOUT,),
        )
    elif search is not None and search.nested:
        yield Breach(
            "folds-file",
            loc,
            "a nested search would choose the learning rate on the images that are tested",
            cause="the fixed split has training and validation images only",
            fix="give the split test images, too",
            about=(NESTED,),
        )


def _listed(loc: Loc, folds: Sequence[int], count: int) -> Iterator[Breach]:
    seen: dict[int, int] = {}
    for index, fold in enumerate(folds):
        if not 0 <= fold < count:
            yield Breach(
                "fold",
                (*loc, index),
                f"fold {fold} does not exist",
                cause=f"protocol.evaluate.folds is {count}, and folds are numbered from 0",
                fix=f"write a fold from 0 to {count - 1}",
                about=(COUNT,),
            )
        elif fold in seen:
            yield Breach(
                "fold",
                (*loc, index),
                f"fold {fold} is listed twice",
                cause="it would train the same jobs twice",
                fix="remove one",
            )
        seen.setdefault(fold, index)
