"""Pretrained sources, their reasons, and weights files."""

from __future__ import annotations

from bench_core.declarations import Architecture, without_network
from bench_core.spec.checks.context import Context
from bench_core.spec.model import ModelEntry
from bench_core.spec.nodes import Loc
from bench_core.spec.words import join, nearest


def check_weights(context: Context) -> None:
    """What each model starts from must be on offer, and explained where it is not the protocol's."""
    for index, entry, architecture in context.models():
        loc: Loc = ("models", index)
        if entry.pretrained is None and without_network(
            architecture, context.own_runner(entry, architecture)
        ):
            continue
        if not context.draft.sound((*loc, "pretrained"), ("protocol", "pretrained")):
            continue
        declared = architecture.deviations.get("pretrained")
        chosen = entry.pretrained
        if chosen is None and declared is not None:
            chosen = str(declared.value)
        if chosen is None and context.draft.protocol is not None:
            chosen = context.draft.protocol.pretrained
        if chosen is None:
            continue
        if chosen not in architecture.pretrained:
            _not_offered(context, loc, entry, architecture, chosen)
        elif context.draft.sound((*loc, "because"), (*loc, "deviations")):
            _reason(context, loc, entry, architecture, chosen)
        _file(context, loc, entry, chosen)


def _not_offered(
    context: Context, loc: Loc, entry: ModelEntry, architecture: Architecture, chosen: str
) -> None:
    offered = join(architecture.pretrained)
    by_entry = entry.pretrained is not None
    usual = architecture.pretrained[0] if architecture.pretrained else "none"
    context.error(
        "pretrained",
        (*loc, "pretrained") if by_entry else (*loc, "name"),
        f"{entry.name!r} has no {chosen!r} weights",
        cause=f"it offers {offered}" + ("" if by_entry else f"; the protocol asks for {chosen!r}"),
        fix=nearest(chosen, architecture.pretrained)
        or f'write `pretrained: {usual}` with `because: "the reason"` in the model\'s entry',
    )


def _reason(context: Context, loc: Loc, entry: ModelEntry, architecture: Architecture, chosen: str) -> None:
    protocol = context.draft.protocol
    if protocol is None:
        return
    declared = architecture.deviations.get("pretrained")
    explained = entry.because or entry.deviations or (declared is not None and declared.value == chosen)
    if chosen != protocol.pretrained and not explained:
        context.error(
            "reason",
            (*loc, "pretrained"),
            f"`pretrained: {chosen}` deviates from the protocol without a reason",
            cause=f"the protocol says {protocol.pretrained!r}; deviations are printed with their reason",
            fix='add `because: "the reason"` to the model\'s entry',
        )
    if entry.because and entry.pretrained in (None, protocol.pretrained):
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
