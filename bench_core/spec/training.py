"""The protocol of one job after stage, dataset and deviations have been applied: nothing left to decide."""

from __future__ import annotations

from typing import Any, Literal

from bench_core.spec.loss import Losses
from bench_core.spec.protocol import (
    Checkpoint,
    EarlyStopping,
    Metrics,
    Normalization,
    Optimizer,
    Schedule,
    Section,
)


class Training(Section):
    """Resolved settings of one job; every field is part of the job's identity."""

    epochs: int
    image_size: int
    resize: Literal["pad-square", "stretch"]
    channels: Literal["rgb", "native"]
    normalization: Normalization
    optimizer: Optimizer
    schedule: Schedule
    batch_size: int
    precision: Literal["fp32", "fp16", "bf16"]
    loss: Losses
    augmentation: tuple[tuple[str, dict[str, Any]], ...]
    """(torchvision.transforms.v2 name, arguments) in order."""
    gradient_clipping: float | None
    early_stopping: EarlyStopping | None
    checkpoint: Checkpoint
    metrics: Metrics
