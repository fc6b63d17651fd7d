"""Images from bytes to the numbers that a network sees, on its device."""

from __future__ import annotations

import torch
from torch import Tensor

from bench_core.data.loader import Batch
from bench_core.declarations import Task
from bench_core.errors import DataError, TrainingError
from bench_core.protocol.interfaces import DeviceBatch
from bench_core.spec import protocol as spec


class Normalize:
    """Images uint8 [B, C, H, W] to float32 (image / 255 - mean) / std, on the images' device.

    Images of one channel where there should be more are gray and stand for equal channels.

    Raises TrainingError if mean or std is a list of another length than `channels`.
    """

    def __init__(self, settings: spec.Normalization, channels: int) -> None:
        self._channels = channels
        self._mean = _per_channel("mean", settings.mean, channels)
        self._std = _per_channel("std", settings.std, channels)

    def __call__(self, images: Tensor) -> Tensor:
        """Return new, normalized images [B, C, H, W]."""
        mean, std = self._mean.to(images.device), self._std.to(images.device)
        scaled = images.to(torch.float32).div_(255.0)
        if scaled.shape[1] == 1 < self._channels:
            scaled = scaled.repeat(1, self._channels, 1, 1)
        return scaled.sub_(mean).div_(std)


class Transfer:
    """Brings batches to a device: bytes travel, and are normalized there."""

    def __init__(
        self, normalize: Normalize, task: Task, device: torch.device, memory_format: torch.memory_format
    ) -> None:
        self._normalize = normalize
        self._task = task
        self._device = device
        self._memory_format = memory_format

    def __call__(self, batch: Batch) -> DeviceBatch:
        """Return the batch on the device; raise DataError for a mask with a class that the task lacks."""
        # One more than IGNORE is 0 in a byte, so that no pass over the mask is spent on leaving it out.
        largest = int((batch.masks + 1).max()) - 1
        if largest > len(self._task.classes):
            raise DataError(
                f"a mask holds class {largest}, but the task's classes are 0 to {len(self._task.classes)}",
                place=", ".join(batch.ids),
                fix="map the mask's values in the dataset's options, or correct its reader",
            )
        images = self._normalize(batch.images.to(self._device, non_blocking=True))
        masks = batch.masks.to(self._device, non_blocking=True).long()
        return DeviceBatch(batch.ids, images.contiguous(memory_format=self._memory_format), masks)


def _per_channel(name: str, value: float | list[float], channels: int) -> Tensor:
    values = value if isinstance(value, list) else [value]
    if len(values) not in (1, channels):
        raise TrainingError(
            f"normalization {name} has {len(values)} values for images with {channels} channel(s)",
            place="protocol.normalization",
            fix="give one value, or one per channel",
        )
    return torch.tensor(values, dtype=torch.float32).view(1, -1, 1, 1)
