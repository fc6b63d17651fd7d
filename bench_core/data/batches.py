"""Batches of samples, and how they come from a loader process to the one that trains."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Batch:
    """Samples on the CPU, not yet normalized."""

    ids: tuple[str, ...]
    images: Tensor
    """uint8 [B, C, H, W]"""
    masks: Tensor
    """uint8 [B, H, W] class indices"""

    def pin_memory(self) -> Batch:
        """Return the batch in page-locked memory, from which copies to a GPU run alongside computation."""
        return Batch(self.ids, self.images.pin_memory(), self.masks.pin_memory())


@dataclass(frozen=True)
class Piped:
    """A batch on its way through a pipe, where shared memory has no room for it: slower, but of any size."""

    ids: tuple[str, ...]
    images: NDArray[np.uint8]
    masks: NDArray[np.uint8]

    def batch(self) -> Batch:
        """Return the batch."""
        return Batch(self.ids, torch.from_numpy(self.images), torch.from_numpy(self.masks))

    def pin_memory(self) -> Batch:
        """Return the batch in page-locked memory."""
        return self.batch().pin_memory()


def blank(ids: tuple[str, ...], channels: int, height: int, width: int) -> Batch:
    """Return a batch whose numbers are still to be written."""
    count = len(ids)
    images = torch.empty(count, channels, height, width, dtype=torch.uint8)
    return Batch(ids, images, torch.empty(count, height, width, dtype=torch.uint8))


def blank_shared(ids: tuple[str, ...], channels: int, height: int, width: int) -> Batch | None:
    """Return one in shared memory, by which it reaches the main process without a copy; None without room.

    A DataLoader moves tensors there by itself, but too late: where it then fails, the main process waits for
    that batch for ever.
    """
    count = len(ids)
    try:
        return Batch(ids, _shared(count, channels, height, width), _shared(count, height, width))
    except (RuntimeError, OSError) as error:
        size = f"{count * (channels + 1) * height * width / 2**20:.1f} MB"
        _tell(size, str(error).partition("<")[0])
    return None


def _shared(*shape: int) -> Tensor:
    # As PyTorch's own collation does it: a tensor's share_memory_ would copy what is not yet written.
    storage = torch.UntypedStorage._new_shared(math.prod(shape))  # type: ignore[no-untyped-call]
    return torch.empty(0, dtype=torch.uint8).set_(storage, 0, shape)  # type: ignore[call-overload,no-any-return]


@cache
def _tell(size: str, error: str) -> None:
    """Say it once in each process."""
    log.warning("no room for %s in shared memory (%s): batches take a slower way", size, error)
