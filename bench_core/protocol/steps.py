"""The steps of one epoch: their losses stay on the device and are fetched once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from bench_core.errors import DivergedError, TrainingError
from bench_core.protocol.ranks import ALONE, Ranks
from bench_core.protocol.trace import TraceStep


class StepLog:
    """Collects an epoch's steps without waiting for the device, and then those of all processes."""

    def __init__(self, ranks: Ranks = ALONE) -> None:
        self._ranks = ranks
        self._steps: list[tuple[list[tuple[str, ...]], float, Tensor]] = []
        self._parts: list[tuple[tuple[str, ...], Tensor]] = []

    def add(self, ids: tuple[str, ...], rate: float, loss: Tensor, last: bool = True) -> None:
        """Note one optimizer step, or a part of one: its samples and losses are added up to the `last`."""
        self._parts.append((ids, loss.detach()))
        if last:
            samples = [part for part, _ in self._parts]
            losses = [value for _, value in self._parts]
            total = losses[0] if len(losses) == 1 else torch.stack(losses).sum()
            self._steps.append((samples, rate, total))
            self._parts = []

    def close(self, epoch: int, expected: int) -> list[TraceStep]:
        """Return the steps as numbers and forget them; raise TrainingError unless `expected` were made.

        Where there are several processes each part of a step has the images of all of them in their order,
        and its loss is the sum of theirs.
        """
        made: list[Any] = [[samples, rate] for samples, rate, _ in self._steps]
        if self._steps:
            losses = torch.stack([loss for _, _, loss in self._steps]).tolist()
            made = [[*step, loss] for step, loss in zip(made, losses, strict=True)]
        self._steps = []
        everywhere = self._ranks.tell(self._ranks.collect_values(made)) if self._ranks.several else [made]
        for steps in everywhere:
            if len(steps) != expected:
                raise TrainingError(f"the runner ended epoch {epoch} after {len(steps)} of {expected} steps")
        return [_joined(epoch, step, shares) for step, shares in enumerate(zip(*everywhere, strict=True))]


def _joined(epoch: int, step: int, shares: Sequence[Sequence[Any]]) -> TraceStep:
    """Return a step from each process's samples by part, rate and loss."""
    parts = zip(*(samples for samples, _, _ in shares), strict=True)
    ids = tuple(sample for part in parts for of_rank in part for sample in of_rank)
    return TraceStep(epoch, step, ids, shares[0][1], sum(loss for _, _, loss in shares))


def mean_loss(steps: Sequence[TraceStep]) -> float:
    """Return the mean over the epoch's samples of the steps' losses."""
    samples = [len(step.ids) for step in steps]
    return math.fsum(step.loss * count for step, count in zip(steps, samples, strict=True)) / sum(samples)


def check_losses(steps: Sequence[TraceStep], precision: str) -> None:
    """Raise DivergedError for the first step whose loss is not finite."""
    broken = next((step for step in steps if not math.isfinite(step.loss)), None)
    if broken is not None:
        raise DivergedError(
            f"the loss is {broken.loss} at step {broken.step} of epoch {broken.epoch}",
            cause=f"training diverged or overflowed (learning rate {broken.lr:g}, precision {precision})",
            fix="try a smaller learning rate, `gradient_clipping: 1.0`" + _wider(precision),
        )


def _wider(precision: str) -> str:
    """Return in words which precisions hold larger numbers than this one."""
    return {"fp16": ", or `precision: bf16` or `fp32`", "bf16": ", or `precision: fp32`"}.get(precision, "")
