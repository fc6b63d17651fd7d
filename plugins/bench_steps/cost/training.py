"""A training step as the protocol has it, on images and masks that are drawn."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from bench_core.declarations import Task
from bench_core.protocol.loss import build_loss
from bench_core.protocol.optimizer import build_optimizer
from bench_core.protocol.parts import part_sizes
from bench_core.protocol.precision import autocast, build_scaler
from bench_core.spec.training import Training

RATE = 1e-6
"""So small that no network leaves what it has learned, and no loss becomes undefined."""


def training_step(
    network: nn.Module, training: Training, task: Task, images: Tensor, masks: Tensor
) -> Callable[[], None]:
    """Return a function that does one optimizer step on a batch: images [B, C, S, S], masks [B, S, S].

    Loss, precision, parts of batches, clipping and optimizer are those of the protocol.
    """
    network.train()
    device = images.device
    # Rates by layer change neither time nor memory, and need what only the model's declaration says.
    settings = training.optimizer.model_copy(update={"encoder_factor": 1.0, "layer_decay": 1.0})
    optimizer = build_optimizer(settings, network, RATE)
    scaler = build_scaler(training.precision, device)
    criterion = build_loss(training.loss, task, lambda: [1] * (len(task.classes) + 1))
    sizes = part_sizes(len(images), training.micro_batch)
    parts = list(zip(torch.split(images, sizes), torch.split(masks, sizes), strict=True))

    def step() -> None:
        for part, truth in parts:
            with autocast(training.precision, device):
                logits = network(part)
            with torch.autocast(device.type, enabled=False):
                loss = criterion(logits.float(), truth, masks)
            scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        if training.gradient_clipping is not None:
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(network.parameters(), training.gradient_clipping)
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad(set_to_none=True)

    return step
