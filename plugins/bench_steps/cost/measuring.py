"""What a network takes on a device, inference and training: time, memory and energy of passes."""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from bench_core.declarations import Task
from bench_core.errors import TrainingError
from bench_core.execute.provenance import device_name
from bench_core.metrics.costs import MEASURING, Measured, Setting
from bench_core.protocol.devices import deterministic
from bench_core.protocol.precision import autocast, check_precision
from bench_core.spec.training import Training
from bench_steps.cost.clock import Effort, quartiles, timed, wait
from bench_steps.cost.energy import Meter, UnknownEnergyError, meter_of
from bench_steps.cost.memory import Peak, allocated, watching
from bench_steps.cost.training import training_step

TOO_LARGE = "out of memory"
LONG_ENOUGH = 0.5
"""Seconds over which energy is read at least: some counters move every tenth of a second."""
_SEED = 7


@dataclass(frozen=True)
class Subject:
    """What is measured: how its network is built, and on which inputs."""

    build: Callable[[], nn.Module]
    training: Training
    task: Task
    channels: int
    size: int
    device: torch.device

    def images(self, batch: int) -> Tensor:
        """Return drawn images [batch, channels, size, size] on the device."""
        random = torch.Generator().manual_seed(_SEED)
        return torch.randn(batch, self.channels, self.size, self.size, generator=random).to(self.device)

    def masks(self, batch: int) -> Tensor:
        """Return drawn masks [batch, size, size] on the device, of all classes."""
        random, most = torch.Generator().manual_seed(_SEED), len(self.task.classes) + 1
        return torch.randint(0, most, (batch, self.size, self.size), generator=random).to(self.device)


@dataclass(frozen=True)
class Wanted:
    """What is asked for."""

    batches: tuple[int, ...]
    """Of inference; energy is read at the last."""
    training: bool
    energy: bool
    effort: Effort


def measurements(subject: Subject, wanted: Wanted) -> Iterator[Measured]:
    """Yield what is measured: of each batch of inference, then of a training step at the protocol's batch.

    All runs under deterministic algorithms, as jobs do.
    """
    subject = _possible(subject)
    setting = setting_of(subject.device, subject.training.precision)
    passes = [("inference", batch, batch == wanted.batches[-1]) for batch in wanted.batches]
    passes += [("training", subject.training.batch_size, True)] if wanted.training else []
    for phase, batch, last in passes:
        with deterministic(subject.device):
            found = list(_measured(subject, setting, phase, batch, wanted.effort, wanted.energy and last))
        yield from found


def how_many(wanted: Wanted) -> int:
    """Return how many measurements are made."""
    kinds = len(wanted.batches) + wanted.training
    return 2 * kinds + wanted.energy * (1 + wanted.training)


def setting_of(device: torch.device, precision: str) -> Setting:
    """Return under what is measured on a device."""
    software = [f"torch {torch.__version__}"]
    threads = 0
    if device.type == "cuda":
        cudnn = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
        software += [f"CUDA {torch.version.cuda}", f"cuDNN {cudnn}"]
    else:
        threads = torch.get_num_threads()
    name = device_name(str(device))
    return Setting(MEASURING, device.type, name, ", ".join(software), threads, precision)


def _possible(subject: Subject) -> Subject:
    """Return the subject in fp32 where the device does not have the protocol's precision."""
    try:
        check_precision(subject.training.precision, subject.device)
    except TrainingError:
        training = subject.training.model_copy(update={"precision": "fp32"})
        return Subject(**{**vars(subject), "training": training})
    return subject


def _measured(
    subject: Subject, setting: Setting, phase: str, batch: int, effort: Effort, energy: bool
) -> Iterator[Measured]:
    facts: dict[str, Any] = {"phase": phase, "batch": batch, "setting": setting}
    gc.collect()
    base = allocated(subject.device)
    try:
        act, held = _pass(subject, phase, batch)
        with watching(subject.device, held, base) as peak:
            # The second step has the optimizer's state, and memory that the first kept for it.
            act()
            act()
        yield _memory(peak, facts)
        middle, low, high = quartiles(times := timed(act, subject.device, effort))
        yield Measured("time", value=middle, low=low, high=high, runs=len(times), how="wall clock", **facts)
        if energy:
            yield _energy(act, subject.device, middle, batch, effort, facts)
    except torch.OutOfMemoryError:
        yield _unknown("memory", TOO_LARGE, facts)
        yield _unknown("time", TOO_LARGE, facts)


def _pass(subject: Subject, phase: str, batch: int) -> tuple[Callable[[], object], list[Tensor]]:
    """Return a function that does one pass, and the tensors that are there before it."""
    network, images = subject.build().to(subject.device), subject.images(batch)
    held = [images, *chain(network.parameters(), network.buffers())]
    if phase == "training":
        masks = subject.masks(batch)
        return training_step(network, subject.training, subject.task, images, masks), [*held, masks]
    network.eval()

    def predict() -> Tensor:
        with torch.no_grad(), autocast(subject.training.precision, subject.device):
            logits: Tensor = network(images)
        return logits

    return predict, held


def _memory(peak: Peak, facts: Mapping[str, Any]) -> Measured:
    if math.isnan(peak.bytes):
        return _unknown("memory", peak.how, facts)
    return _once("memory", peak.bytes, 1, peak.how, facts)


def _energy(
    act: Callable[[], object],
    device: torch.device,
    seconds: float,
    batch: int,
    effort: Effort,
    facts: Mapping[str, Any],
) -> Measured:
    """Return the joules of one image over as many passes as are timed, and over long enough."""
    times = max(1, min(effort.repeats, int(effort.seconds / seconds)), int(LONG_ENOUGH / seconds) + 1)
    try:
        meter: Meter = meter_of(device)
        for _ in range(times):
            act()
        wait(device)
        joules = meter.joules() / (times * batch)
        if not joules > 0:
            raise UnknownEnergyError(f"{meter.how}: the counter did not move")
    except UnknownEnergyError as error:
        return _unknown("energy", str(error), facts)
    return _once("energy", joules, times, meter.how, facts)


def _unknown(what: str, why: str, facts: Mapping[str, Any]) -> Measured:
    return _once(what, math.nan, 0, why, facts)


def _once(what: str, value: float, runs: int, how: str, facts: Mapping[str, Any]) -> Measured:
    return Measured(what, value=value, low=value, high=value, runs=runs, how=how, **facts)
