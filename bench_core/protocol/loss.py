"""Losses on full-resolution logits, in float32."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from bench_core.declarations import Task
from bench_core.errors import TrainingError

Loss = Callable[[Tensor, Tensor], Tensor]
"""Logits [B, K, H, W] float32 and masks [B, H, W] int64 to a scalar."""
DICE_SMOOTHING = 1.0
"""In pixels: gives a class that the batch lacks a loss near 0 where it is not predicted."""


def build_loss(weights: Mapping[str, float], task: Task) -> Loss:
    """Return the weighted sum of bce, cross-entropy and dice; raise TrainingError where it can't be."""
    for name in weights:
        if name not in LOSSES:
            raise TrainingError(f"unknown loss {name!r}", fix=f"use one of {', '.join(sorted(LOSSES))}")
        if name == ("cross-entropy" if task.binary else "bce"):
            usual = "bce" if task.binary else "cross-entropy"
            raise TrainingError(
                f"the loss {name!r} does not fit a task with {task.logit_channels} logit channel(s)",
                cause="bce is for one foreground class, cross-entropy for several",
                fix=f"use {usual!r}, 'dice' or a sum of the two",
            )
    # Sorted, so that two specs that write the same sum in another order add in the same order.
    terms = [(weights[name], LOSSES[name]) for name in sorted(weights)]

    def total(logits: Tensor, masks: Tensor) -> Tensor:
        parts = [value * loss(logits, masks) for value, loss in terms]
        return parts[0] if len(parts) == 1 else torch.stack(parts).sum()

    return total


def binary_cross_entropy(logits: Tensor, masks: Tensor) -> Tensor:
    """Return the mean over pixels of -g log p - (1 - g) log(1 - p), p = sigmoid(logit)."""
    return F.binary_cross_entropy_with_logits(logits[:, 0], masks.to(logits.dtype))


def cross_entropy(logits: Tensor, masks: Tensor) -> Tensor:
    """Return the mean over pixels of -log softmax(logits)[class], all classes weighted equally."""
    return F.cross_entropy(logits, masks)


def dice(logits: Tensor, masks: Tensor) -> Tensor:
    """Return soft Dice loss: 1 - mean over foreground classes of (2 sum(p g) + s) / (sum(p) + sum(g) + s).

    Sums run over all pixels of the batch; g is the one-hot mask, s = 1 pixel. p is the sigmoid of the one
    channel, or the softmax over all channels, of which background is then left out. After Milletari et al.,
    "V-Net", 2016, with the unsquared denominator of Sudre et al., "Generalised Dice overlap", 2017.
    """
    if logits.shape[1] == 1:
        probabilities = torch.sigmoid(logits)
        targets = masks[:, None].to(logits.dtype)
    else:
        probabilities = torch.softmax(logits, dim=1)[:, 1:]
        labels = torch.arange(1, logits.shape[1], device=masks.device)
        targets = (masks[:, None] == labels[None, :, None, None]).to(logits.dtype)
    pixels = (0, 2, 3)
    overlap = (probabilities * targets).sum(pixels)
    total = probabilities.sum(pixels) + targets.sum(pixels)
    return 1.0 - ((2.0 * overlap + DICE_SMOOTHING) / (total + DICE_SMOOTHING)).mean()


LOSSES: Mapping[str, Loss] = {"bce": binary_cross_entropy, "cross-entropy": cross_entropy, "dice": dice}


def check_logits(logits: Tensor, masks: Tensor, task: Task) -> None:
    """Raise TrainingError unless logits are [B, K, H, W] for masks [B, H, W] and the task's K."""
    expected = (masks.shape[0], task.logit_channels, *masks.shape[1:])
    if tuple(logits.shape) != expected:
        raise TrainingError(
            f"the model returned logits of shape {list(logits.shape)} instead of {list(expected)}",
            cause="logits are [B, K, H, W] at the masks' resolution; K is 1 for a binary task, otherwise "
            "classes with background",
            fix="correct the model's builder: its head's channels (request.num_classes) or its upsampling",
        )
