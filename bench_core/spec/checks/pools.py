"""Tracks and pools: what they name must be there, and leave somebody to rank."""

from __future__ import annotations

import re

from bench_core.spec.checks.context import Context
from bench_core.spec.nodes import Loc
from bench_core.spec.pools import ALL, AnyPool, Selection, selection, several
from bench_core.spec.rules.labels import label_of
from bench_core.spec.rules.pools import Candidate, members, track_of
from bench_core.spec.rules.pretrained import start_of
from bench_core.spec.words import join, nearest, shown

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")
_MOST_NAMED = 30


def candidates(context: Context) -> tuple[Candidate, ...] | None:
    """Return what decides about pools of each model; None where an entry is not sound enough to tell."""
    protocol = context.draft.protocol
    given = context.draft.data.get("models")
    if protocol is None or not isinstance(given, list):
        return None
    found = []
    for index, entry, architecture in context.models():
        runner = context.registry.runners.get(entry.runner or architecture.runner)
        if runner is None or not context.draft.sound(("models", index)):
            return None
        start = start_of(entry, architecture, protocol.pretrained).source
        if entry.pretrained is None and runner.protocol == "own" and architecture.build is None:
            start = "none"
        found.append(
            Candidate(label_of(entry), architecture.family, start, runner.name, track_of(entry, runner))
        )
    return tuple(found) if len(found) == len(given) else None


def check_tracks(context: Context) -> None:
    """A declared track must be one that the model's runner allows."""
    for index, entry, architecture in context.models():
        if entry.track is None:
            continue
        own = context.own_runner(entry, architecture) is not None
        if own == (entry.track == "shared"):
            protocol = "a procedure of its own" if own else "the shared protocol"
            context.error(
                "track",
                ("models", index, "track"),
                f"{label_of(entry)!r} cannot be in track {entry.track!r}",
                cause=f"its runner follows {protocol}",
                fix="write own-protocol, zero-shot/auto or zero-shot/oracle" if own else "remove `track`",
            )


def check_pools(context: Context) -> None:
    """Each pool names what there is, and holds at least two models."""
    models = candidates(context)
    for name, pool in context.draft.pools.items():
        loc: Loc = ("pools", name)
        _name(context, loc, name, pool)
        if models is None or not context.draft.sound(loc):
            continue
        before = len(context.found)
        _named(context, loc, selection(pool), models, listed=isinstance(pool, list))
        if len(context.found) == before:
            _size(context, loc, name, pool, models)


def _name(context: Context, loc: Loc, name: str, pool: AnyPool) -> None:
    if not _NAME.fullmatch(name):
        context.error(
            "pool",
            loc,
            f"the pool's name {shown(name)} is not a name",
            cause="names are letters, digits and . _ + -, and start with a letter or digit (they name files)",
            fix="write for example under-50M",
            key=True,
        )
    elif name == ALL and pool != ALL:
        context.error(
            "pool",
            loc,
            "the pool `all` is every model",
            cause="it is there whether it is written or not, and reports show it first",
            fix="write `all: all`, or give this pool another name",
            key=True,
        )
    elif any(label_of(entry) == name for entry in context.draft.models.values()):
        context.error(
            "pool",
            loc,
            f"a model is called {name!r}, too",
            cause="claims name models and pools alike",
            fix="give the pool another name",
            key=True,
        )


def _named(
    context: Context, loc: Loc, chosen: Selection, models: tuple[Candidate, ...], listed: bool
) -> None:
    fields = (
        ("models", "model", {model.label for model in models}),
        ("family", "family", {model.family for model in models}),
        ("pretrained", "weights", {"any", "none", *(model.pretrained for model in models)}),
        ("runner", "runner", {model.runner for model in models}),
        ("track", "track", {model.track for model in models}),
    )
    for key, what, known in fields:
        value = getattr(chosen, key)
        for place, name in enumerate(several(value) or ()):
            if name in known:
                continue
            where: Loc = loc if listed else (*loc, key)
            many = len(known) > _MOST_NAMED
            context.error(
                "pool",
                (*where, place) if isinstance(value, list) else where,
                f"no model of this spec has the {what} {name!r}"
                if what != "model"
                else f"no model of this spec is called {name!r}",
                cause="there are others" if many else f"there {_are(len(known))} {join(sorted(known))}",
                fix=nearest(str(name), sorted(known)) or "correct the name, or remove it",
            )
    bounds = chosen.parameters
    low, high = (bounds.least, bounds.below) if bounds is not None else (None, None)
    if low is not None and high is not None and low >= high:
        context.error(
            "pool",
            (*loc, "parameters"),
            f"no number is at least {low:g} and below {high:g}",
            fix="correct one of the bounds",
        )


def _are(number: int) -> str:
    return "is" if number == 1 else "are"


def _size(context: Context, loc: Loc, name: str, pool: AnyPool, models: tuple[Candidate, ...]) -> None:
    found = members(pool, models)
    if found.unknown or len(found.models) > 1:
        return
    one = len(found.models) == 1
    context.error(
        "pool",
        loc,
        f"the pool {name!r} holds one model only, {found.models[0]!r}"
        if one
        else f"the pool {name!r} is empty",
        cause="nobody is ranked against nobody" if one else "no model has all that it asks for",
        fix="name it directly where a claim is about it, or widen the pool"
        if one
        else "widen it, or remove it",
        key=True,
        severity="warning" if one else "error",
    )


def check_pool_options(context: Context) -> None:
    """A part of the report that shows one pool must find it."""
    if not context.draft.sound(("pools",)):
        return
    known = [ALL, *(name for name in context.draft.pools if name != ALL)]
    for index, analysis in context.draft.analyses.items():
        part = context.registry.analyses.get(analysis.name)
        for option, declared in (part.options if part is not None else {}).items():
            value = analysis.options.get(option)
            if declared.names == "pool" and isinstance(value, str) and value not in known:
                context.error(
                    "pool",
                    ("analyses", index, "options", option),
                    f"there is no pool {value!r}",
                    cause=f"the spec has {join(known)}",
                    fix=nearest(value, known) or "add it under `pools:`",
                )
