"""What passes between a contract, its runner and whoever keeps its state."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from bench_core.protocol.run_options import RunOptions

__all__ = ["DeviceBatch", "Predict", "RunOptions", "StateKeeper"]


class StateKeeper(Protocol):
    """Where a contract keeps its state between epochs; writes are atomic.

    What is handed over changes with the next step, so it is written or copied before a call returns. All of
    it is tensors, numbers, strings, lists and dicts: readable with torch.load(weights_only=True).
    """

    def load(self) -> dict[str, Any] | None:
        """Return the last saved training state, or None; raise WeightsError if it is truncated."""

    def save(self, state: dict[str, Any]) -> None:
        """Replace the training state."""

    def load_best(self) -> dict[str, Any]:
        """Return what `save_best` kept at the time of the loaded or last saved state."""

    def save_best(self, weights: dict[str, Any]) -> None:
        """Keep the chosen epoch so far, as `epoch` and `state_dict`; a `save` of that epoch follows."""


@dataclass(frozen=True)
class DeviceBatch:
    """A batch on its device: images [B, C, H, W] float32 normalized, masks [B, H, W] int64 class indices."""

    ids: tuple[str, ...]
    images: Tensor
    masks: Tensor


Predict = Callable[[Tensor], Tensor]
"""Images [B, C, H, W] to logits [B, K, H, W], as the runner computes it."""
