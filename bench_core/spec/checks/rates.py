"""Learning rates: one source, each once, above their floor, with a warm-up that ends."""

from __future__ import annotations

from bench_core.spec.checks.context import Context
from bench_core.spec.nodes import Loc
from bench_core.spec.protocol import Falling, Protocol
from bench_core.spec.schedule import WarmupEpochs


def check_rates(context: Context) -> None:
    """Check where learning rates come from, and what the schedule makes of them."""
    _rate_source(context)
    protocol = context.draft.protocol
    if protocol is None:
        return
    if context.draft.sound(("protocol", "schedule")):
        _floor(context, protocol)
        _warmup(context, protocol)
    _rates(context, protocol)


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


def _warmup(context: Context, protocol: Protocol) -> None:
    warmup = protocol.schedule.warmup
    if not isinstance(warmup, WarmupEpochs):
        return  # How many steps an epoch has is known with the data.
    stages = [("evaluate", protocol.evaluate.epochs)]
    if protocol.search is not None:
        stages.append(("search", protocol.search.epochs))
    for stage, epochs in stages:
        if context.draft.sound(("protocol", stage)) and warmup.epochs >= epochs:
            context.error(
                "schedule",
                ("protocol", "schedule", "warmup", "epochs"),
                f"a warm-up of {warmup.epochs} epochs does not end within the {epochs} of the {stage} stage",
                cause="the rate would never reach the schedule's",
                fix="shorten the warm-up, or train for more epochs",
            )
