"""When training stops, and which epoch's weights are tested."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from bench_core.spec import protocol as spec


class EarlyStopping:
    """Stop after `patience` epochs in a row without a rise of the monitored value by more than min_delta.

    A value above best + min_delta sets the counter to zero, any other raises it by one; the best itself
    always advances to the larger of the two. So a value that creeps up by less than min_delta an epoch
    moves the bar with it and stops in the end. NaN is not a rise. Without a rule training never stops early.
    """

    def __init__(self, rule: spec.EarlyStopping | None) -> None:
        self.rule = rule
        self.best = -math.inf
        self.waited = 0

    @property
    def stopped(self) -> bool:
        """True once the patience is used up."""
        return self.rule is not None and self.waited >= self.rule.patience

    def update(self, metrics: Mapping[str, float]) -> bool:
        """Take one epoch's validation metrics and return whether training stops after it."""
        if self.rule is None:
            return False
        value = metrics[self.rule.monitor]
        self.waited = 0 if value > self.best + self.rule.min_delta else self.waited + 1
        if value > self.best:
            self.best = value
        return self.stopped

    def state_dict(self) -> dict[str, Any]:
        """Return what `load_state_dict` needs to resume."""
        return {"best": self.best, "waited": self.waited}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from `state_dict`'s data."""
        self.best, self.waited = float(state["best"]), int(state["waited"])


class BestCheckpoint:
    """Choose the epoch whose weights are tested.

    `best`: the epoch with the largest monitored value, the earliest of equal ones; the first epoch counts
    even if its value is NaN, a later NaN never wins, and any number wins over NaN. `last`: the last epoch
    that ran.
    """

    def __init__(self, rule: spec.Checkpoint) -> None:
        self.rule = rule
        self.epoch = -1
        self.value = math.nan

    def update(self, epoch: int, metrics: Mapping[str, float]) -> bool:
        """Take one epoch's validation metrics and return whether this epoch is the chosen one so far."""
        value = metrics[self.rule.monitor]
        first = self.epoch < 0
        better = value > self.value or (math.isnan(self.value) and not math.isnan(value))
        if first or better or self.rule.choose == "last":
            self.epoch, self.value = epoch, value
            return True
        return False

    def state_dict(self) -> dict[str, Any]:
        """Return what `load_state_dict` needs to resume."""
        return {"epoch": self.epoch, "value": self.value}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from `state_dict`'s data."""
        self.epoch, self.value = int(state["epoch"]), float(state["value"])
