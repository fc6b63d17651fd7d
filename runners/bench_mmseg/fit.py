"""MMEngine around the contract: its runner owns the loop and the device, the contract every decision."""

from __future__ import annotations

from dataclasses import replace

import torch

from bench_core.protocol.contract import Contract, RunOptions
from bench_core.protocol.devices import deterministic, open_device
from bench_core.protocol.failures import explain_failures
from bench_core.protocol.outcome import Outcome
from bench_mmseg.isolation import isolated
from bench_mmseg.logs import LogSettings
from bench_mmseg.runner import ContractRunner


def fit(contract: Contract, options: RunOptions) -> Outcome:
    """Train, choose and test the contract's model on one device, or this process's share of it.

    Of several processes, which MMEngine learns of and wraps nothing for, only the first writes logs.
    Goes on from the contract's saved state where there is one. Raises TrainingError, naming what to change,
    when memory runs out, the loss is not finite, or the compiler that `compile` needs is not there, and
    MissingDependencyError for a visual backend whose package is not installed.
    """
    device = open_device(options.device)
    settings = LogSettings.of(options if contract.ranks.first else replace(options, folder=None))
    torch.set_num_threads(options.threads)
    with isolated(), deterministic(device), explain_failures(contract.job, options):
        runner = ContractRunner(contract, device, options, settings)
        try:
            contract.prepare(device, channels_last=options.channels_last)
            runner.train()
            runner.test()
            return runner.outcome
        finally:
            runner.close()
