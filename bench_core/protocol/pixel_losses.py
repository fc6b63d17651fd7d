"""Losses of single pixels, averaged: cross-entropy of one or several classes, and focal loss.

Each takes the sum of the pixels' weights, by which it divides. Pixels of IGNORE add nothing, and no gradient
reaches them.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from bench_core.declarations import IGNORE


def binary_cross_entropy(
    logits: Tensor, masks: Tensor, weights: Tensor | None, total: Tensor, smoothing: float
) -> Tensor:
    """Return the mean over pixels of -g log p - (1 - g) log(1 - p), p = sigmoid(logit).

    Logits [B, 1, H, W], masks [B, H, W], weights [2] of background and foreground. With label smoothing s the
    target is g (1 - s) + s / 2, as Szegedy et al., "Rethinking the Inception Architecture", 2016, for two
    classes.
    """
    counted = masks != IGNORE
    targets = torch.where(counted, masks, 0).to(logits.dtype)
    if smoothing:
        targets = targets * (1.0 - smoothing) + smoothing / 2.0
    # PyTorch's own mean, with the same bits where every pixel counts once.
    mean = F.binary_cross_entropy_with_logits(
        logits[:, 0], targets, weight=_weighted(torch.ones_like(targets), masks, counted, weights)
    )
    return mean * (masks.numel() / total)


def cross_entropy(
    logits: Tensor, masks: Tensor, weights: Tensor | None, total: Tensor, smoothing: float
) -> Tensor:
    """Return the mean over pixels of -log softmax(logits)[class].

    Logits [B, K, H, W], masks [B, H, W], weights [K]. With label smoothing s the target of each class is
    s / K, of the pixel's own 1 - s + s / K (Szegedy et al., "Rethinking the Inception Architecture", 2016),
    and each class's part has its own weight, as PyTorch defines it.
    """
    added = F.cross_entropy(
        logits, masks, weight=weights, ignore_index=IGNORE, reduction="sum", label_smoothing=smoothing
    )
    return added / total


def focal(
    logits: Tensor,
    masks: Tensor,
    weights: Tensor | None,
    total: Tensor,
    gamma: float,
    alpha: float | None,
) -> Tensor:
    """Return the mean over pixels of -a (1 - p) ** gamma log p, p the probability of the pixel's class.

    Lin et al., "Focal Loss for Dense Object Detection", 2017. a is `alpha` for foreground and 1 - alpha for
    background, or 1 for both without it. p is of the sigmoid of one channel, or of the softmax over several.
    log(1 - p) is computed from the other classes' logits, so that gradients stay finite where p rounds to 1.
    """
    counted = masks != IGNORE
    targets = torch.where(counted, masks, 0)
    if logits.shape[1] == 1:
        signed = logits[:, 0] * (2.0 * targets.to(logits.dtype) - 1.0)
        right, wrong = F.logsigmoid(signed), F.logsigmoid(-signed)
    else:
        logs = F.log_softmax(logits, dim=1)
        index = targets[:, None]
        right = logs.gather(1, index)[:, 0]
        wrong = logs.scatter(1, index, -torch.inf).logsumexp(dim=1)
    pixels = -right * torch.exp(gamma * wrong) if gamma else -right
    if alpha is not None:
        pixels = pixels * torch.where(targets > 0, alpha, 1.0 - alpha)
    return _weighted(pixels, masks, counted, weights).sum() / total


def pixel_weights(masks: Tensor, weights: Tensor | None) -> Tensor:
    """Return the sum of the pixels' weights, their number where none has any."""
    counted = masks != IGNORE
    if weights is None:
        return counted.sum()
    return _weighted(torch.ones_like(masks, dtype=weights.dtype), masks, counted, weights).sum()


def divisor(total: Tensor) -> Tensor:
    """Return the sum of weights to divide by: 1 where nothing counts."""
    return torch.where(total > 0, total, torch.ones_like(total))


def _weighted(pixels: Tensor, masks: Tensor, counted: Tensor, weights: Tensor | None) -> Tensor:
    if weights is not None:
        pixels = pixels * weights[torch.where(counted, masks, 0)]
    return torch.where(counted, pixels, 0.0)
