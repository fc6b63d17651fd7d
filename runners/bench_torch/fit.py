"""The native PyTorch loop: owns the device, the loop and its failures, and decides nothing else."""

from __future__ import annotations

import torch
from torch import Tensor

from bench_core.protocol.contract import Contract, RunOptions
from bench_core.protocol.devices import deterministic, open_device
from bench_core.protocol.failures import explain_failures
from bench_core.protocol.outcome import Outcome


def fit(contract: Contract, options: RunOptions) -> Outcome:
    """Train, choose and test the contract's model on one device.

    Goes on from the contract's saved state where there is one. Raises TrainingError, naming what to change,
    when memory runs out, the loss is not finite, or the compiler that `compile` needs is not there.
    """
    device = open_device(options.device)
    torch.set_num_threads(options.threads)
    with deterministic(device), explain_failures(contract.job, options):
        contract.model.to(device)
        if options.channels_last:
            contract.model.to(memory_format=torch.channels_last)
        network = torch.compile(contract.model) if options.compile else contract.model
        contract.prepare(device, channels_last=options.channels_last)

        def predict(images: Tensor) -> Tensor:
            with contract.autocast():
                logits: Tensor = network(images)
            return logits

        for epoch in contract.epochs():
            for step, batch in enumerate(contract.train_batches(epoch)):
                contract.begin_step(epoch, step)
                loss = contract.loss(predict(batch.images), batch.masks)
                contract.optimize(loss)
                contract.end_step(batch, loss)
            contract.end_epoch(epoch, predict)
        return contract.finish(predict)
