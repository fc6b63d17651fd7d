"""The step `cost`: what a network is by formula, and what it takes on the device at hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from bench_core.errors import TrainingError
from bench_core.metrics.costs import (
    MEASURED,
    OPERATIONS,
    Done,
    measured_rows,
    operation_rows,
    operation_values,
    read_operations,
)
from bench_core.plan.job import Train
from bench_core.protocol.devices import open_device
from bench_core.protocol.outcome import Outcome
from bench_core.protocol.session import Session
from bench_steps.cost.clock import Effort
from bench_steps.cost.counting import count
from bench_steps.cost.measuring import Subject, Wanted, how_many, measurements


def run(session: Session, options: Mapping[str, Any]) -> Outcome:
    """Count parameters and operations, measure time, memory and energy; leave both tables.

    Raises PluginError for a network whose operations cannot be counted, TrainingError for a device that is
    not there.
    """
    subject = _subject(session, options)
    wanted = Wanted(
        batches=tuple(options["batches"]) or tuple(sorted({1, subject.training.batch_size})),
        training=options["training"],
        energy=options["energy"],
        effort=Effort(options["warm_up"], options["repeats"], options["seconds"]),
    )
    total = 1 + how_many(wanted)
    values, operations = _counted(session, options)
    session.progress(1, total, "counted")
    found = []
    for item in measurements(subject, wanted):
        found.append(item)
        session.progress(min(1 + len(found), total), total, f"{item.phase}: {item.what} of {item.batch}")
    _leave(session, operations)
    session.records(MEASURED, list(measured_rows(found)))
    return Outcome(values=values)


def again(session: Session, options: Mapping[str, Any]) -> Outcome:
    """Count again where there is a network, else take the count that is there; nothing is measured."""
    if session.drawn is not None:
        values, operations = _counted(session, options)
        _leave(session, operations)
        return Outcome(values=values)
    values = {name: float(value) for name, value in session.kept_values().items() if name in PARAMETERS}
    if options["operations"]:
        operations = read_operations(session.kept_records(OPERATIONS))
        values |= operation_values(operations)
        _leave(session, operations)
    return Outcome(values=values)


PARAMETERS = ("parameters", "trainable")


def _subject(session: Session, options: Mapping[str, Any]) -> Subject:
    source = session.source("weights")
    work = source.job.work
    if not isinstance(work, Train):
        raise TypeError(f"{source.job.name} does not train")
    device = session.device if options["device"] == "run" else _asked_for(options["device"])
    pixels, task = session.job.pixels, session.predicted
    channels = 3 if pixels.channels == "rgb" else task.channels
    return Subject(source.network, work.training, task, channels, pixels.image_size, device)


def _asked_for(name: str) -> torch.device:
    """Return a device that an option names; raise TrainingError where this machine has none."""
    try:
        return open_device(name)
    except TrainingError as error:
        fix = "leave out the option `device`, or run where there is one"
        raise TrainingError(error.message, cause=error.cause, fix=fix) from error


def _counted(session: Session, options: Mapping[str, Any]) -> tuple[dict[str, float], Sequence[Done]]:
    """Return parameters and operations, as values and one by one."""
    subject = _subject(session, {"device": "run"})
    network: nn.Module = subject.build()
    sizes = [(item.numel(), item.requires_grad) for item in network.parameters()]
    values = dict(zip(PARAMETERS, (float(sum(n for n, _ in sizes)),
                                   float(sum(n for n, trains in sizes if trains))), strict=True))  # fmt: skip
    if not options["operations"]:
        return values, ()
    found = [
        Done(item.name, item.calls, item.done.macs, item.done.other)
        for item in count(network, subject.channels, subject.size)
    ]
    return {**values, **operation_values(found)}, found


def _leave(session: Session, operations: Sequence[Done]) -> None:
    if operations:
        session.records(OPERATIONS, list(operation_rows(operations)))
