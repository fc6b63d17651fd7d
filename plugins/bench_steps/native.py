"""The step `native`: pixel counts at each image's original size, since a small grid flatters.

The network sees what it was tested on. Its logits are resized to the original size (bilinearly, as
half-pixel centers have it), the padding is cut off, and the label of each original pixel is compared with
the original mask.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate

from bench_core.labels import count
from bench_core.metrics.counts import micro
from bench_core.metrics.tables import NATIVE_COUNTS, count_rows
from bench_core.protocol.evaluator import predict_labels
from bench_core.protocol.outcome import Outcome
from bench_core.protocol.session import ImageBatch, Session


def run(session: Session, options: Mapping[str, Any]) -> Outcome:
    """Count each image at its original size; leave the table and the pooled metrics."""
    network, split, classes = session.network(), session.test, session.task.classes

    def forward(batch: ImageBatch) -> Tensor:
        logits: Tensor = network(batch.images)
        return logits

    masks = session.originals(split)
    values = np.zeros((len(split), len(classes), 3), dtype=np.int64)
    sizes: list[tuple[int, int]] = []
    for ids, logits in session.logits(split, forward):
        for place, sample in enumerate(ids):
            known, truth = next(masks)
            if known != sample:
                raise RuntimeError(f"the mask of {known} came for {sample}")
            size = truth.shape[0], truth.shape[1]
            labels = _labels(session, logits[place : place + 1], size)
            values[len(sizes)] = count(labels, truth, len(classes))
            sizes.append(size)
        session.progress(len(sizes), len(split))
    session.records(NATIVE_COUNTS, list(count_rows(split.ids, classes, sizes, values)))
    return Outcome(values=micro(values))


def _labels(session: Session, logits: Tensor, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return the label map [H, W] of logits [1, K, S, S] at an image's original size."""
    height, width = size
    side = max(size)
    padded = session.job.pixels.resize == "pad-square"
    # One channel at a time: the padded square of a large image would not fit with all of them.
    planes = []
    for channel in range(logits.shape[1]):
        plane = logits[:, channel : channel + 1].float()
        target = (side, side) if padded else size
        full = interpolate(plane, size=target, mode="bilinear", align_corners=False)
        top, left = ((side - height) // 2, (side - width) // 2) if padded else (0, 0)
        planes.append(full[:, :, top : top + height, left : left + width])
    found = predict_labels(torch.cat(planes, dim=1), session.task, session.job.scoring)
    return found[0].to(torch.uint8).cpu().numpy()
