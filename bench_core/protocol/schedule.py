"""The learning rate over a stage: REX, cosine, polynomial decay and constant."""

from __future__ import annotations

import math

from bench_core.spec.protocol import Constant, Cosine, Poly, Schedule


def learning_rate(
    schedule: Schedule, base: float, epoch: int, step: int, epochs: int, steps_per_epoch: int
) -> float:
    """Return the learning rate at optimizer step `step` of `epoch` (both from 0): max(min_lr, base f(t/T)).

    With `step: epoch` t is the epoch and T the number of epochs, so that the rate is constant within an
    epoch; with `step: step` t counts optimizer steps and T is epochs x steps_per_epoch. Both agree exactly
    where an epoch starts, because a quotient of integers is rounded correctly.
    """
    if isinstance(schedule, Constant):
        return base
    if schedule.step == "epoch":
        progress = epoch / epochs
    else:
        progress = (epoch * steps_per_epoch + step) / (epochs * steps_per_epoch)
    return max(schedule.min_lr, base * factor(schedule, progress))


def factor(schedule: Schedule, progress: float) -> float:
    """Return f at `progress` = t/T in [0, 1].

    rex: (1 - t/T) / (alpha + beta (1 - t/T)), which starts at 1 / (alpha + beta); Chen, Wolfe and
    Kyrillidis, "REX: Revisiting Budgeted Training with an Improved Schedule", 2021. cosine: (1 + cos(pi
    t/T)) / 2; Loshchilov and Hutter, "SGDR", 2017, without restarts. poly: (1 - t/T) ** power. constant: 1.
    """
    left = 1.0 - progress
    if isinstance(schedule, Constant):
        return 1.0
    if isinstance(schedule, Cosine):
        return 0.5 * (1.0 + math.cos(math.pi * progress))
    if isinstance(schedule, Poly):
        return float(left**schedule.power)
    return left / (schedule.alpha + schedule.beta * left)
