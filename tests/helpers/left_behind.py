"""All that a job leaves behind under one runner, and whether two left the same bits."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench_core.protocol.contract import Contract, Outcome, RunOptions
from tests.helpers.tiny_jobs import MemoryKeeper, tiny_contract

Fit = Callable[[Contract, RunOptions], Outcome]


class Left:
    """All that a job leaves behind under one runner."""

    def __init__(self, fit: Fit, trace: Path, options: RunOptions | None = None, **settings: Any) -> None:
        self.keeper = MemoryKeeper()
        contract = tiny_contract(keeper=self.keeper, trace=trace, **settings)
        self.outcome = fit(contract, options or RunOptions())
        self.trace = trace.read_bytes()
        self.tested = contract.model.state_dict()


def same_bits(left: Any, right: Any) -> bool:
    """Whether two nested states hold the same bits."""
    if isinstance(left, Tensor):
        return isinstance(right, Tensor) and left.dtype == right.dtype and torch.equal(left, right)
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same_bits(left[key], right[key]) for key in left)
    if isinstance(left, (list, tuple)):
        return len(left) == len(right) and all(map(same_bits, left, right))
    return bool(left == right)


def untimed(state: dict[str, Any] | None) -> dict[str, Any]:
    """Return a saved state without the seconds that its epochs took."""
    assert state is not None
    history = [{k: v for k, v in epoch.items() if "seconds" not in k} for epoch in state["history"]]
    # As text, in which a metric that is not a number equals itself.
    return state | {"history": json.dumps(history)}


def assert_equal(ours: Left, theirs: Left) -> None:
    assert ours.trace == theirs.trace
    assert same_bits(untimed(ours.keeper.state), untimed(theirs.keeper.state))
    assert same_bits(ours.keeper.best, theirs.keeper.best)
    assert same_bits(ours.tested, theirs.tested)
    for name in ("planned_epochs", "epochs_run", "stopped_early", "chosen_epoch", "best_value"):
        assert getattr(ours.outcome.training, name) == getattr(theirs.outcome.training, name), name
    assert ours.outcome.tested == theirs.outcome.tested
    assert ours.outcome.predictions.ids == theirs.outcome.predictions.ids
    np.testing.assert_array_equal(ours.outcome.predictions.labels, theirs.outcome.predictions.labels)
