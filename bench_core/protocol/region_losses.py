"""Losses of regions: overlap of predicted and true pixels over a batch; pixels of IGNORE are left out."""

from __future__ import annotations

import torch
from torch import Tensor

from bench_core.declarations import IGNORE

SMOOTHING = 1.0
"""In pixels: gives a class that the batch lacks a loss near 0 where it is not predicted."""
_PIXELS = (0, 2, 3)


def region_sums(logits: Tensor, masks: Tensor) -> Tensor:
    """Return sum(p g), sum(p) and sum(g) over all pixels [3, foreground classes]; g is the one-hot mask.

    p is the sigmoid of the one channel, or the softmax over all channels, of which background is then left
    out.
    """
    probabilities, targets = _foreground(logits, masks)
    return torch.stack(
        [(probabilities * targets).sum(_PIXELS), probabilities.sum(_PIXELS), targets.sum(_PIXELS)]
    )


def dice(sums: Tensor) -> Tensor:
    """Return soft Dice loss: 1 - mean over foreground classes of (2 sum(p g) + s) / (sum(p) + sum(g) + s).

    Sums are those of `region_sums`, over all pixels of the batch; s = 1 pixel. After Milletari et al.,
    "V-Net", 2016, with the unsquared denominator of Sudre et al., "Generalised Dice overlap", 2017.
    """
    overlap, predicted, true = sums.unbind()
    loss: Tensor = 1.0 - ((2.0 * overlap + SMOOTHING) / (predicted + true + SMOOTHING)).mean()
    return loss


def tversky(sums: Tensor, alpha: float, beta: float) -> Tensor:
    """Return Tversky loss: 1 - mean over foreground classes of (TP + s) / (TP + alpha FP + beta FN + s).

    TP = sum(p g), FP = sum(p (1 - g)), FN = sum((1 - p) g) over all pixels of the batch, s = 1/2 pixel, so
    that alpha = beta = 1/2 is Dice loss. Salehi et al., "Tversky loss function for image segmentation", 2017.
    """
    hits, predicted, true = sums.unbind()
    false, missed = predicted - hits, true - hits
    smoothing = SMOOTHING / 2.0
    loss: Tensor = 1.0 - ((hits + smoothing) / (hits + alpha * false + beta * missed + smoothing)).mean()
    return loss


def _foreground(logits: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    """Return probabilities and one-hot masks [B, foreground classes, H, W], both 0 at pixels of IGNORE."""
    counted = (masks != IGNORE)[:, None]
    if logits.shape[1] == 1:
        probabilities = torch.sigmoid(logits)
        targets = masks[:, None] == 1
    else:
        probabilities = torch.softmax(logits, dim=1)[:, 1:]
        labels = torch.arange(1, logits.shape[1], device=masks.device)
        targets = masks[:, None] == labels[None, :, None, None]
    return torch.where(counted, probabilities, 0.0), targets.to(logits.dtype)
