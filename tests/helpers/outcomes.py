"""What must be equal in two equal jobs."""

from __future__ import annotations

import torch
from torch import nn

from bench_core.protocol.contract import Outcome


def numbers(outcome: Outcome) -> str:
    """What must be equal in two equal jobs, in full and with NaN equal to NaN: everything but times."""
    history = [(stats.epoch, stats.learning_rate, stats.loss, stats.validation) for stats in outcome.history]
    cases = [(case.id, case.rank, case.dice, case.prediction.tobytes()) for case in outcome.cases]
    chosen = (outcome.epochs_run, outcome.stopped_early, outcome.chosen_epoch, outcome.best_value)
    return repr([history, cases, chosen, outcome.counts.ids, outcome.counts.values.tolist()])


def assert_same_weights(one: nn.Module, other: nn.Module) -> None:
    assert one.state_dict().keys() == other.state_dict().keys()
    for name, tensor in one.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name]), name
