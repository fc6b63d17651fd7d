"""The learning rate over a stage: REX, cosine, polynomial decay and constant, with or without a warm-up."""

from __future__ import annotations

import math

from bench_core.errors import TrainingError
from bench_core.spec.schedule import Constant, Cosine, Poly, Schedule, WarmupEpochs, WarmupSteps


def learning_rate(
    schedule: Schedule, base: float, epoch: int, step: int, epochs: int, steps_per_epoch: int
) -> float:
    """Return the learning rate at optimizer step `step` of `epoch` (both from 0): w max(min_lr, base f(t/T)).

    With `step: epoch` t is the epoch and T the number of epochs, so that the rate is constant within an
    epoch; with `step: step` t counts optimizer steps and T is epochs x steps_per_epoch. Both agree exactly
    where an epoch starts, because a quotient of integers is rounded correctly. w is that of `warming`, 1
    after a warm-up or without one.

    Raises TrainingError for a warm-up that does not end before the stage.
    """
    made = epoch * steps_per_epoch + step
    if isinstance(schedule, Constant):
        rate = base
    else:
        by_epoch = schedule.step == "epoch"
        progress = epoch / epochs if by_epoch else made / (epochs * steps_per_epoch)
        rate = max(schedule.min_lr, base * factor(schedule, progress))
    if schedule.warmup == "off":
        return rate
    return rate * warming(schedule.warmup, made, epochs, steps_per_epoch)


def warming(warmup: WarmupEpochs | WarmupSteps, made: int, epochs: int, steps_per_epoch: int) -> float:
    """Return the factor of the rate after `made` optimizer steps: linear from `factor` to 1.

    Goyal et al., "Accurate, Large Minibatch SGD", 2017, section 2.2. The schedule runs on below it, so that
    the rate after a warm-up is the one without it.
    """
    length = warmup.steps if isinstance(warmup, WarmupSteps) else warmup.epochs * steps_per_epoch
    if length >= epochs * steps_per_epoch:
        raise TrainingError(
            f"the warm-up takes {length} of the stage's {epochs * steps_per_epoch} optimizer steps",
            place="protocol.schedule.warmup",
            cause="the rate would never reach the schedule's",
            fix="shorten the warm-up, or train for more epochs",
        )
    return 1.0 if made >= length else warmup.factor + (1.0 - warmup.factor) * made / length


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
