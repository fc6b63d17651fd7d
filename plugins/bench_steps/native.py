"""The step `native`: pixel counts at each image's original size, since a small grid flatters.

The network sees what it was tested on. Its logits are resized to the original size (bilinearly, as
half-pixel centers have it), the padding is cut off, and the label of each original pixel is compared with
the original mask.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from bench_core.data.loader import Split
from bench_core.labels import count
from bench_core.metrics.counts import micro
from bench_core.metrics.tables import NATIVE_COUNTS, count_rows
from bench_core.protocol.original_size import labels_at_size
from bench_core.protocol.outcome import Outcome
from bench_core.protocol.session import Session
from bench_core.protocol.site import ImageBatch
from bench_steps.native_maps import MapWriter, read_maps

MOST_STRANGE = 1e-3
"""Share of an image's pixels that may differ where a network's logits lie within rounding of the border."""


def run(session: Session, options: Mapping[str, Any]) -> Outcome:
    """Count each image at its original size; leave label maps, the table and the pooled metrics."""
    network, split, classes = session.network(), session.test, session.task.classes

    def forward(batch: ImageBatch) -> Tensor:
        logits: Tensor = network(batch.images)
        return logits

    masks = session.originals(split)
    values = np.zeros((len(split), len(classes), 3), dtype=np.int64)
    sizes: list[tuple[int, int]] = []
    maps = MapWriter(session.artifact)
    for ids, logits in session.logits(split, forward):
        for place, sample in enumerate(ids):
            known, truth = next(masks)
            if known != sample:
                raise RuntimeError(f"the mask of {known} came for {sample}")
            size = truth.shape[0], truth.shape[1]
            labels = _labels(session, logits[place : place + 1], size)
            maps.add(labels)
            values[len(sizes)] = count(labels, truth, len(classes))
            sizes.append(size)
        session.progress(len(sizes), len(split))
    maps.close()
    session.records(NATIVE_COUNTS, list(count_rows(split.ids, classes, sizes, values)))
    return Outcome(values=micro(values))


def again(session: Session, options: Mapping[str, Any]) -> Outcome:
    """Count the kept label maps against the original masks once more; leave the same table and metrics.

    Raises ValueError where they are not of the images' sizes, or not what logits with the label maps on the
    grid can give: an original pixel whose neighbors on the grid have one label has that label, since each of
    its logits lies between theirs.
    """
    split, classes = session.test, session.task.classes
    grid = session.source("weights").predictions()
    rows = {sample: row for row, sample in enumerate(grid.ids)}
    values = np.zeros((len(split), len(classes), 3), dtype=np.int64)
    sizes: list[tuple[int, int]] = []
    maps = read_maps(session.kept, len(split))
    for (sample, truth), labels in zip(session.originals(split), maps, strict=True):
        if labels.shape != truth.shape[:2] or labels.max(initial=0) > len(classes):
            raise ValueError(f"its label map of {sample} is {labels.shape}, the image {truth.shape[:2]}")
        strange = _strange(labels, grid.labels[rows[sample]], session.job.pixels.resize == "pad-square")
        if strange > MOST_STRANGE * labels.size:
            raise ValueError(
                f"{strange} of {labels.size} pixels of its label map of {sample} have another label than the "
                "label map on the grid has all around them"
            )
        values[len(sizes)] = count(labels, truth, len(classes))
        sizes.append((truth.shape[0], truth.shape[1]))
        session.progress(len(sizes), len(split))
    if session.drawn is not None:
        _predict_again(session, session.drawn, sizes)
    session.records(NATIVE_COUNTS, list(count_rows(split.ids, classes, sizes, values)))
    return Outcome(values=micro(values))


def _predict_again(session: Session, drawn: Split, sizes: Sequence[tuple[int, int]]) -> None:
    """Predict some images once more; raise ValueError where the kept label maps are others."""
    network, split = session.network(), session.test
    wanted = {split.ids.index(sample): sample for sample in drawn.ids}
    kept = {
        wanted[place]: labels
        for place, labels in enumerate(read_maps(session.kept, len(split)))
        if place in wanted
    }
    places = {sample: place for place, sample in wanted.items()}
    for ids, logits in session.logits(drawn, lambda batch: network(batch.images)):
        for row, sample in enumerate(ids):
            labels = _labels(session, logits[row : row + 1], sizes[places[sample]])
            share = float((labels != kept[sample]).mean())
            if share > MOST_STRANGE:
                raise ValueError(f"the weights give {share:.2%} of the pixels of {sample} another label")


def _strange(labels: NDArray[np.uint8], grid: NDArray[np.uint8], padded: bool) -> int:
    """Return how many pixels [H, W] have another label than all their neighbors on the grid [S, S]."""
    height, width = labels.shape
    side = max(labels.shape)
    down, across = (_neighbors(size, side if padded else size, grid.shape[0]) for size in (height, width))
    corners = [grid[rows][:, columns] for rows in down for columns in across]
    first = corners[0]
    settled = np.logical_and.reduce([first == other for other in corners[1:]])
    return int((settled & (labels != first)).sum())


def _neighbors(size: int, resized: int, grid: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the two places on the grid between which each of `size` pixels was interpolated.

    They are the middle ones of `resized` pixels, to which `grid` values were brought.
    """
    pixels = np.arange(size) + (resized - size) // 2
    place = np.clip((pixels + 0.5) * grid / resized - 0.5, 0, None)
    low = np.minimum(np.floor(place).astype(np.int64), grid - 1)
    return low, np.minimum(low + 1, grid - 1)


def _labels(session: Session, logits: Tensor, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return the label map [H, W] of logits [1, K, S, S] at an image's original size."""
    return labels_at_size(logits, size, session.task, session.job.pixels, session.job.scoring)
