"""The optimizer that a protocol names."""

from __future__ import annotations

import torch
from torch import nn

from bench_core.errors import TrainingError
from bench_core.spec import protocol as spec


def build_optimizer(
    settings: spec.Optimizer, model: nn.Module, learning_rate: float
) -> torch.optim.Optimizer:
    """Return adamw, adam or sgd over one group of all trainable parameters, otherwise with torch's defaults.

    adam's weight decay is the L2 penalty of its paper, adamw's is decoupled. Raises TrainingError for a model
    without a trainable parameter.
    """
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not parameters:
        raise TrainingError(
            "the model has no trainable parameter",
            cause="every parameter has requires_grad = False",
            fix="unfreeze what is to be trained in the model's builder",
        )
    decay = settings.weight_decay
    if isinstance(settings, spec.SGD):
        return torch.optim.SGD(parameters, lr=learning_rate, momentum=settings.momentum, weight_decay=decay)
    kind = torch.optim.AdamW if isinstance(settings, spec.AdamW) else torch.optim.Adam
    return kind(parameters, lr=learning_rate, betas=settings.betas, weight_decay=decay)
