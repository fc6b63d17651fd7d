"""Pretrained sources, their reasons, and weights files."""

from __future__ import annotations

from bench_core.declarations import without_network
from bench_core.spec.checks.context import Context
from bench_core.spec.model import ModelEntry
from bench_core.spec.nodes import Loc
from bench_core.spec.rules.pretrained import USUAL, pretrained_breaches, start_of


def check_weights(context: Context) -> None:
    """What each model starts from must be on offer, and explained where it is not the protocol's."""
    for index, entry, architecture in context.models():
        loc: Loc = ("models", index)
        if entry.pretrained is None and without_network(
            architecture, context.own_runner(entry, architecture)
        ):
            continue
        if not context.draft.sound((*loc, "pretrained"), USUAL) or context.draft.protocol is None:
            continue
        usual = context.draft.protocol.pretrained
        if context.report(pretrained_breaches(loc, entry, architecture, usual)):
            _idle_reason(context, loc, entry, usual)
        _file(context, loc, entry, start_of(entry, architecture, usual).source)


def _idle_reason(context: Context, loc: Loc, entry: ModelEntry, usual: str) -> None:
    if entry.because and entry.pretrained in (None, usual):
        context.error(
            "deviation",
            (*loc, "because"),
            "the reason stands beside no deviation",
            cause="`because` of an entry explains its `pretrained`, which is the protocol's",
            fix="move it into `deviations`, or remove it",
            severity="warning",
        )


def _file(context: Context, loc: Loc, entry: ModelEntry, chosen: str) -> None:
    if entry.weights is None:
        return
    if chosen == "none":
        context.error(
            "weights",
            (*loc, "weights"),
            "nothing would load these weights",
            cause="the model starts from scratch (`pretrained` is none)",
            fix="remove `weights`, or choose a pretrained source",
        )
    elif (file := context.path(entry.weights)) is not None and not file.is_file():
        context.error(
            "weights",
            (*loc, "weights"),
            f"there is no file {entry.weights}",
            cause=f"paths are relative to the spec's folder, {context.base}",
            fix="correct the path, or get the file before the run",
            severity="warning",
        )
