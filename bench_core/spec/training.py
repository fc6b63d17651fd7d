"""The protocol of one job after stage, dataset and deviations have been applied: nothing left to decide."""

from __future__ import annotations

from typing import Any, Literal

from bench_core.spec.loss import Losses
from bench_core.spec.protocol import (
    Checkpoint,
    EarlyStopping,
    Normalization,
    Optimizer,
    Schedule,
    Section,
)


class Pixels(Section):
    """The grid on which every model of a study is tested."""

    image_size: int
    resize: Literal["pad-square", "stretch"]
    channels: Literal["rgb", "native"]
    padding: Literal["background", "ignore"] = "background"


class Scoring(Section):
    """From logits to label maps."""

    threshold: float = 0.5
    threshold_space: Literal["probability", "logit"] = "probability"


class Training(Section):
    """How a job trains under the shared protocol."""

    epochs: int
    normalization: Normalization
    optimizer: Optimizer
    schedule: Schedule
    batch_size: int
    micro_batch: int | None = None
    """Images that pass through the network at a time; None: the batch."""
    norm_devices: int | None = None
    """So many devices train the job, and each takes the statistics of batch norm from its own part of a
    batch; None: any number of them, and the statistics are those of the whole batch."""
    precision: Literal["fp32", "fp16", "bf16"]
    loss: Losses
    augmentation: tuple[tuple[str, dict[str, Any]], ...]
    """(torchvision.transforms.v2 name, arguments) in order."""
    gradient_clipping: float | None
    early_stopping: EarlyStopping | None
    checkpoint: Checkpoint
