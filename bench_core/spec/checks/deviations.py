"""Deviations of models: they change something, and fit the section of the protocol that they change."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from bench_core.declarations import Architecture
from bench_core.spec.change import strays
from bench_core.spec.checks.context import Context
from bench_core.spec.model import Deviations
from bench_core.spec.nodes import Loc
from bench_core.spec.protocol import DEVIATING_FIELDS, Protocol
from bench_core.spec.section import Section, word_of
from bench_core.spec.sections import owners_at
from bench_core.spec.words import join


def check_deviations(context: Context) -> None:
    """Check each model's deviations, and those that come with it."""
    for index, entry in context.draft.models.items():
        if entry.deviations is not None and context.draft.sound(("models", index, "deviations")):
            _deviations(context, ("models", index, "deviations"), entry.deviations)
    for index, entry, architecture in context.models():
        runner = context.own_runner(entry, architecture)
        if runner is not None and entry.deviations is not None:
            context.error(
                "deviation",
                ("models", index, "deviations"),
                f"{entry.label or entry.name!r} does not follow the protocol from which it would deviate",
                cause=f"runner {runner.name!r} has a procedure of its own",
                fix="remove the deviations; settings of the procedure are `options`",
                key=True,
            )
    protocol = context.draft.protocol
    if protocol is None:
        return
    for index, entry, architecture in context.models():
        _declared(context, ("models", index, "name"), architecture, entry.deviations, protocol)


def _deviations(context: Context, loc: Loc, deviations: Deviations) -> None:
    if not any(getattr(deviations, name, None) is not None for name in DEVIATING_FIELDS):
        context.error(
            "deviation",
            loc,
            "the deviations change nothing",
            cause="there is a reason, but no setting",
            fix=f"add one of {join(list(Deviations.model_fields)[1:])}, or remove the deviations",
        )
    protocol = context.draft.protocol
    for name in ("optimizer", "schedule"):
        change: Section | None = getattr(deviations, name)
        if protocol is None or change is None or not context.draft.sound(("protocol", name)):
            continue
        current: Section = getattr(protocol, name)
        for key in strays(current, change):
            others = join(owners_at(("protocol", name), key))
            context.error(
                name,
                (*loc, name, key),
                f"{key} would have no effect with {word_of(type(current))}",
                cause=f"the {name} is the protocol's, {word_of(type(current))}; {key} belongs to {others}",
                fix=f"remove it, or name the {name} that this model takes instead: {{name: ..., {key}: ...}}",
                key=True,
            )


def _declared(
    context: Context, loc: Loc, architecture: Architecture, own: Deviations | None, protocol: Protocol
) -> None:
    """A deviation that comes with the model must fit the protocol's section, too."""
    for name in ("optimizer", "schedule"):
        deviation = architecture.deviations.get(name)
        replaced = own is not None and getattr(own, name) is not None
        if deviation is None or replaced or not context.draft.sound(("protocol", name)):
            continue
        change = declared_change(name, deviation.value)
        current: Section = getattr(protocol, name)
        wrong = strays(current, change) if change is not None else []
        if wrong:
            context.error(
                name,
                loc,
                f"{architecture.name!r} takes another {join(wrong)}, which {word_of(type(current))} lacks",
                cause=f"its declaration deviates in {name}: {deviation.because}",
                fix=f"give its entry `deviations` that name the {name} as a whole",
            )


def declared_change(name: str, value: Any) -> Section | None:
    """Return what a declaration says of a section, or None where that is not valid."""
    try:
        change: Section = getattr(Deviations.model_validate({"because": "declared", name: value}), name)
    except ValidationError:
        return None  # The planner refuses the plugin that declares it.
    return change
