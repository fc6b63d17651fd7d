"""What must be equal in two equal jobs."""

from __future__ import annotations

import torch
from torch import nn

from bench_core.data.arrays import CachedArrays
from bench_core.declarations import Task
from bench_core.labels import count_all
from bench_core.protocol.contract import Outcome
from bench_core.records import Counts
from tests.helpers.tiny_jobs import BINARY


def numbers(outcome: Outcome) -> str:
    """What must be equal in two equal jobs, in full and with NaN equal to NaN: everything but times."""
    history = [
        (stats.epoch, stats.learning_rate, stats.loss, stats.validation) for stats in outcome.training.history
    ]
    chosen = (
        outcome.training.epochs_run,
        outcome.training.stopped_early,
        outcome.training.chosen_epoch,
        outcome.training.best_value,
    )
    return repr([history, chosen, outcome.predictions.ids, outcome.predictions.labels.tolist()])


def counts_of(outcome: Outcome, arrays: CachedArrays, task: Task = BINARY) -> Counts:
    """Count an outcome's label maps against the masks of its images."""
    rows = [arrays.ids.index(sample) for sample in outcome.predictions.ids]
    groups = tuple(arrays.groups[row] for row in rows)
    return count_all(outcome.predictions, (arrays.masks[row] for row in rows), groups, task.classes)


def assert_same_weights(one: nn.Module, other: nn.Module) -> None:
    assert one.state_dict().keys() == other.state_dict().keys()
    for name, tensor in one.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name]), name
