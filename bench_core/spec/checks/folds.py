"""Folds: the protocol's, and those that a dataset brings along."""

from __future__ import annotations

from bench_core.errors import BenchError
from bench_core.files.paths import expand
from bench_core.fold_files import read_folds
from bench_core.spec.checks.context import Context
from bench_core.spec.nodes import Loc
from bench_core.spec.rules.folds import COUNT, fold_breaches, given_breaches


def check_folds(context: Context) -> None:
    """Check the folds of search and evaluation, and the datasets' files of folds."""
    protocol = context.draft.protocol
    if protocol is None or not context.draft.sound(COUNT):
        return
    for index, entry in context.draft.datasets.items():
        loc: Loc = ("datasets", index, "folds")
        if entry.folds is None or not context.draft.sound(loc):
            continue
        if entry.stratify is not None:
            context.error(
                "fold",
                ("datasets", index, "stratify"),
                "stratify would have no effect here",
                cause="the folds are those of the file",
                fix="remove one of the two",
                key=True,
            )
        try:
            given = read_folds(context.base / expand(entry.folds))
        except BenchError as error:
            where = "" if error.place is None else f"{error.place}: "
            context.error("folds-file", loc, f"{where}{error.message}", cause=error.cause, fix=error.fix)
            continue
        context.report(given_breaches(loc, given, protocol.search, protocol.evaluate))
    context.report(fold_breaches(protocol.search, protocol.evaluate))
