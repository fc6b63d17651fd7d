"""Settings of the protocol and of deviations: image size, normalization, optimizer, schedule, threshold."""

from __future__ import annotations

import math
from typing import Any

from pydantic import ValidationError

from bench_core.declarations import Architecture
from bench_core.spec.change import strays
from bench_core.spec.checks.context import Context
from bench_core.spec.model import Deviations
from bench_core.spec.nodes import Loc
from bench_core.spec.protocol import DEVIATING_FIELDS, Falling, Normalization, Protocol
from bench_core.spec.section import Section, word_of
from bench_core.spec.sections import owners_at
from bench_core.spec.words import join


def check_settings(context: Context) -> None:
    """Check the protocol's own settings, and each model's deviations."""
    _rate_source(context)
    for index, entry in context.draft.models.items():
        if entry.deviations is not None and context.draft.sound(("models", index, "deviations")):
            _deviations(context, ("models", index, "deviations"), entry.deviations)
    protocol = context.draft.protocol
    if protocol is None:
        return
    for index, _, architecture in context.models():
        _declared(context, ("models", index, "name"), architecture, protocol)
    if context.draft.sound(("protocol", "schedule")):
        _floor(context, protocol)
    _rates(context, protocol)
    metrics = protocol.metrics
    probability = metrics.threshold_space == "probability"
    if context.draft.sound(("protocol", "metrics")) and probability and not 0 <= metrics.threshold <= 1:
        context.error(
            "threshold",
            ("protocol", "metrics", "threshold"),
            f"a probability is never above {metrics.threshold:g}"
            if metrics.threshold > 1
            else f"every probability is above {metrics.threshold:g}",
            cause="the threshold is a probability, in [0, 1]",
            fix="write a value in [0, 1], or `threshold_space: logit`",
        )


def _rate_source(context: Context) -> None:
    given = context.given(("protocol",))
    if not isinstance(given, dict):
        return
    has_search, has_rate = given.get("search") is not None, given.get("learning_rate") is not None
    if has_search and has_rate:
        context.error(
            "rate-source",
            ("protocol", "learning_rate"),
            "both a fixed `learning_rate` and a `search` are given",
            cause="the rate is either fixed or searched",
            fix="remove one (`search: null` removes what a base spec gave)",
            key=True,
        )
    elif not has_search and not has_rate:
        context.error(
            "rate-source",
            ("protocol",),
            "neither a `search` nor a fixed `learning_rate` is given",
            cause="the optimizer needs a learning rate",
            fix="add `search: {learning_rate: [1e-4, 5e-5, 1e-5], epochs: 100}` or `learning_rate: 1e-4`",
            key=True,
        )


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


def _declared(context: Context, loc: Loc, architecture: Architecture, protocol: Protocol) -> None:
    """A deviation that comes with the model must fit the protocol's section, too."""
    for name in ("optimizer", "schedule"):
        deviation = architecture.deviations.get(name)
        if deviation is None or not context.draft.sound(("protocol", name)):
            continue
        change = _change(name, deviation.value)
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


def _change(name: str, value: Any) -> Section | None:
    try:
        change: Section = getattr(Deviations.model_validate({"because": "declared", name: value}), name)
    except ValidationError:
        return None  # The planner refuses the plugin that declares it.
    return change


def _floor(context: Context, protocol: Protocol) -> None:
    rates = [protocol.learning_rate] if protocol.learning_rate is not None else []
    if protocol.search is not None:
        rates += protocol.search.learning_rate
    sound = context.draft.sound(("protocol", "search"), ("protocol", "learning_rate"))
    schedule = protocol.schedule
    if sound and rates and isinstance(schedule, Falling) and schedule.min_lr >= min(rates):
        context.error(
            "schedule",
            ("protocol", "schedule", "min_lr"),
            f"the floor {schedule.min_lr!r} is not below the learning rate {min(rates)!r}",
            cause="the rate could never fall (the floor is absolute, not a factor)",
            fix="lower min_lr",
        )


def _rates(context: Context, protocol: Protocol) -> None:
    loc: Loc = ("protocol", "search", "learning_rate")
    if protocol.search is None or not context.draft.sound(loc):
        return
    rates = protocol.search.learning_rate
    seen: set[float] = set()
    for index, rate in enumerate(rates):
        if rate in seen:
            context.error(
                "learning-rate",
                (*loc, index),
                f"learning rate {rate!r} is listed twice",
                cause="it would train the same job twice",
                fix="remove one",
            )
        seen.add(rate)


def check_image_size(context: Context) -> None:
    """Every model must be able to take the protocol's image size."""
    protocol = context.draft.protocol
    loc: Loc = ("protocol", "image_size")
    if protocol is None or not context.draft.sound(loc):
        return
    size = protocol.image_size
    refusing, needs = [], []
    for _, entry, architecture in context.models():
        multiple, least = architecture.size_multiple, architecture.size_minimum
        if size % multiple == 0 and size >= least:
            continue
        refusing.append((multiple, least))
        wants = [f"a multiple of {multiple}"] * (multiple > 1) + [f"at least {least}"] * (least > 1)
        needs.append(f"{entry.label or entry.name} needs {' and '.join(wants)}")
    if not refusing:
        return
    fits = [(a.size_multiple, a.size_minimum) for _, _, a in context.models()]
    step, floor = math.lcm(*(multiple for multiple, _ in fits)), max(least for _, least in fits)
    lower = size // step * step
    upper = max(lower + step, math.ceil(floor / step) * step)
    sizes = [str(value) for value in (lower, upper) if value >= floor and value > 0]
    context.error(
        "image-size",
        loc,
        f"image_size {size} does not fit {len(refusing)} of the models",
        cause="; ".join(dict.fromkeys(needs)),
        fix=f"use {join(sizes)}" + (", which fits all models" if len(fits) > 1 else ""),
    )


def check_normalization(context: Context) -> None:
    """Mean and standard deviation are one value, or one a channel of what the models see."""
    protocol = context.draft.protocol
    if protocol is None:
        return
    sections: list[tuple[Loc, Normalization]] = [(("protocol", "normalization"), protocol.normalization)]
    for index, entry in context.draft.models.items():
        if entry.deviations is not None and entry.deviations.normalization is not None:
            sections.append(
                (("models", index, "deviations", "normalization"), entry.deviations.normalization)
            )
    for loc, section in sections:
        for key in ("mean", "std"):
            value = getattr(section, key)
            misfits = sorted(
                count for count in context.image_channels if isinstance(value, list) and len(value) != count
            )
            if misfits and context.draft.sound((*loc, key)):
                context.error(
                    "normalization",
                    (*loc, key),
                    f"{key} has {len(value)} values for images of {join(list(map(str, misfits)))} channels",
                    cause=f"protocol.channels is {protocol.channels}: one value for all, or one a channel",
                    fix="write one value, or as many as there are channels",
                )
