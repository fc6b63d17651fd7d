"""From logits on the grid to label maps at an image's original size."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate

from bench_core.declarations import Task
from bench_core.protocol.evaluator import predict_labels
from bench_core.spec.training import Pixels, Scoring


def labels_at_size(
    logits: Tensor, size: tuple[int, int], task: Task, pixels: Pixels, scoring: Scoring
) -> NDArray[np.uint8]:
    """Return the label map [H, W] of logits [1, K, S, S] at an image's original size.

    Logits are resized bilinearly, as half-pixel centers have it, and the padding that brought the image to a
    square is cut off; where the size is that of the grid, nothing changes.
    """
    height, width = size
    side = max(size)
    padded = pixels.resize == "pad-square"
    # One channel at a time: the padded square of a large image would not fit with all of them.
    planes = []
    for channel in range(logits.shape[1]):
        plane = logits[:, channel : channel + 1].float()
        target = (side, side) if padded else size
        full = interpolate(plane, size=target, mode="bilinear", align_corners=False)
        top, left = ((side - height) // 2, (side - width) // 2) if padded else (0, 0)
        planes.append(full[:, :, top : top + height, left : left + width])
    found = predict_labels(torch.cat(planes, dim=1), task, scoring)
    return found[0].to(torch.uint8).cpu().numpy()
