"""The contract: what a runner receives for one job. The runner owns loop and devices, this owns decisions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor


@dataclass(frozen=True)
class RunOptions:
    """How a job is executed; nothing in here is part of its identity, all of it is recorded."""

    device: str = "cpu"
    """A torch device, already chosen: cpu, cuda:0, mps."""
    threads: int = 1
    loader_workers: int = 0
    channels_last: bool = False
    compile: bool = False


class StateKeeper(Protocol):
    """Where a contract keeps its state between epochs; writes are atomic."""

    def load(self) -> dict[str, Any] | None:
        """Return the last saved training state, or None; raise WeightsError if it is truncated."""

    def save(self, state: dict[str, Any]) -> None:
        """Replace the training state."""

    def load_best(self) -> dict[str, Any]:
        """Return the weights kept by `save_best`."""

    def save_best(self, weights: dict[str, Any]) -> None:
        """Keep the weights of the best epoch so far."""


@dataclass(frozen=True)
class DeviceBatch:
    """A batch on its device: images [B, C, H, W] float32 normalized, masks [B, H, W] int64 class indices."""

    ids: tuple[str, ...]
    images: Tensor
    masks: Tensor


Predict = Callable[[Tensor], Tensor]
"""Images [B, C, H, W] to logits [B, K, H, W], as the runner's engine computes it."""
