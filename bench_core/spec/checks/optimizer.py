"""Settings of the optimizer that would do nothing, or that a model cannot take."""

from __future__ import annotations

from collections.abc import Iterator

from bench_core.declarations import Architecture
from bench_core.spec.change import applied
from bench_core.spec.checks.context import Context
from bench_core.spec.checks.deviations import declared_change
from bench_core.spec.model import ModelEntry
from bench_core.spec.nodes import Loc
from bench_core.spec.optimizer import Optimizer
from bench_core.spec.rules.labels import label_of
from bench_core.spec.words import join

_OF_ENCODERS = ("encoder_factor", "layer_decay")


def check_optimizer(context: Context) -> None:
    """Check the optimizer of the protocol and of each model that deviates."""
    protocol = context.draft.protocol
    loc: Loc = ("protocol", "optimizer")
    if protocol is None or not context.draft.sound(loc):
        return
    _decay(context, loc, protocol.optimizer)
    lacking: dict[str, list[str]] = {}
    for index, entry, architecture in context.models():
        own: Loc = ("models", index, "deviations", "optimizer")
        if not context.draft.sound(("models", index, "deviations")):
            continue
        optimizer = _taken(protocol.optimizer, entry, architecture)
        deviates = entry.deviations is not None and entry.deviations.optimizer is not None
        if optimizer is None:
            continue
        if deviates:
            _decay(context, own, optimizer)
        for key in _asked(optimizer) if not architecture.encoder else ():
            if deviates and context.given((*own, key)) is not None:
                _refuse(context, (*own, key), key, [label_of(entry)])
            else:
                lacking.setdefault(key, []).append(label_of(entry))
    for key, labels in lacking.items():
        _refuse(context, (*loc, key), key, labels)


def _taken(usual: Optimizer, entry: ModelEntry, architecture: Architecture) -> Optimizer | None:
    """Return the optimizer that a model takes, or None where its deviation does not fit."""
    change = entry.deviations.optimizer if entry.deviations is not None else None
    if change is None and "optimizer" in architecture.deviations:
        change = declared_change("optimizer", architecture.deviations["optimizer"].value)
    if change is None:
        return usual
    try:
        return applied(usual, change)
    except ValueError:
        return None  # Reported with the deviations.


def _asked(optimizer: Optimizer) -> Iterator[str]:
    yield from (key for key in _OF_ENCODERS if getattr(optimizer, key) != 1.0)


def _refuse(context: Context, loc: Loc, key: str, labels: list[str]) -> None:
    declare = "does not" if len(labels) == 1 else "do not"
    context.error(
        "optimizer",
        loc,
        f"{key} is for models that declare their encoder; {join(labels)} {declare}",
        cause="the rate of the encoder is changed by the names that `Architecture.encoder` declares",
        fix=f"remove it, or deviate: {{optimizer: {{{key}: 1}}, because: ...}}",
        key=True,
    )


def _decay(context: Context, loc: Loc, optimizer: Optimizer) -> None:
    if optimizer.decay == "weights-only" and optimizer.weight_decay == 0:
        context.error(
            "optimizer",
            (*loc, "decay"),
            "there is no weight decay that could be for weights only",
            cause="weight_decay is 0",
            fix="remove `decay`, or give a weight_decay",
            key=True,
        )
