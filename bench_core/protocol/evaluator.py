"""From logits to exact pixel counts, on the logits' device."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench_core.data.loader import Split
from bench_core.declarations import IGNORE, Task
from bench_core.errors import DivergedError, TrainingError
from bench_core.records import Predictions
from bench_core.spec.training import Scoring


def predict_labels(logits: Tensor, task: Task, scoring: Scoring) -> Tensor:
    """Return the predicted class [B, H, W] (int64, 0 = background) of logits [B, K, H, W].

    Binary tasks: 1 where the logit, or its sigmoid, is above the threshold. Otherwise the class with the
    largest logit, the first of equal ones.
    """
    if task.binary:
        return (logits[:, 0].float() > logit_threshold(scoring)).long()
    # Far faster on a CPU than argmax, with the same indices.
    labels: Tensor = logits.max(dim=1).indices
    return labels


def count(logits: Tensor, masks: Tensor, task: Task, scoring: Scoring) -> Tensor:
    """Return true positives, false positives, false negatives [B, K, 3] (int64) of each foreground class.

    Logits are [B, K, H, W], masks [B, H, W] hold class indices, or IGNORE where a pixel counts nowhere. Whole
    numbers are counted, so nothing is rounded.
    """
    labels = predict_labels(logits, task, scoring)
    images, classes = masks.shape[0], len(task.classes) + 1
    # Ignored pixels get a row of their own, which is left out: on a GPU their number is then not asked for.
    rows = classes + 1
    truth = torch.where(masks == IGNORE, classes, masks.long())
    offset = torch.arange(images, device=masks.device)[:, None, None] * rows
    pairs = (offset + truth) * classes + labels
    table = torch.bincount(pairs.flatten(), minlength=images * rows * classes)
    confusion = table.view(images, rows, classes)[:, :classes]
    hits = confusion.diagonal(dim1=1, dim2=2)
    counts = torch.stack([hits, confusion.sum(1) - hits, confusion.sum(2) - hits], dim=-1)
    return counts[:, 1:]


class Evaluator:
    """Counts of a split, gathered batch by batch in any order and read by sample id."""

    def __init__(self, task: Task, scoring: Scoring) -> None:
        self._task = task
        self._scoring = scoring
        self._ids: list[str] = []
        self._counts: list[Tensor] = []
        self._undefined: list[Tensor] = []

    def add(self, ids: tuple[str, ...], logits: Tensor, masks: Tensor) -> None:
        """Count a batch; nothing leaves the device yet."""
        self._ids.extend(ids)
        self._counts.append(count(logits, masks, self._task, self._scoring))
        self._undefined.append(logits.isnan().flatten(1).any(dim=1))

    @property
    def undefined(self) -> list[str]:
        """The samples with a NaN among their logits."""
        flags = torch.cat(self._undefined).tolist() if self._undefined else []
        return [sample for sample, flag in zip(self._ids, flags, strict=True) if flag]

    def values(self, ids: tuple[str, ...]) -> NDArray[np.int64]:
        """Return the counts [N, K, 3] of these samples, in their order.

        Raises DivergedError if any logit was NaN, which would otherwise pass for background, TrainingError
        if a sample was counted twice or not at all.
        """
        refuse_undefined(self.undefined, len(ids))
        rows = {sample: row for row, sample in enumerate(self._ids)}
        if len(self._ids) != len(ids) or rows.keys() != set(ids):
            raise TrainingError(
                f"{len(self._ids)} predictions for {len(ids)} images",
                cause="every image of a split is counted exactly once",
            )
        counts = torch.cat(self._counts).cpu().numpy()
        ordered: NDArray[np.int64] = counts[[rows[sample] for sample in ids]]
        return ordered


def defined(
    batches: Iterable[tuple[tuple[str, ...], Tensor]], images: int
) -> Iterator[tuple[tuple[str, ...], Tensor]]:
    """Yield ids and logits of each batch; raise DivergedError at the end where a logit was NaN."""
    undefined: list[str] = []
    yield from noting(batches, undefined)
    refuse_undefined(undefined, images)


def noting(
    batches: Iterable[tuple[tuple[str, ...], Tensor]], undefined: list[str]
) -> Iterator[tuple[tuple[str, ...], Tensor]]:
    """Yield ids and logits of each batch, and add to `undefined` the ids of images where one is NaN."""
    for ids, logits in batches:
        flags = logits.isnan().flatten(1).any(dim=1).tolist()
        undefined += [sample for sample, flag in zip(ids, flags, strict=True) if flag]
        yield ids, logits


def label_maps(
    batches: Iterable[tuple[tuple[str, ...], Tensor]],
    split: Split,
    task: Task,
    scoring: Scoring,
    heard: Callable[[int], None] = lambda done: None,
) -> Predictions:
    """Return the label maps of a split from the logits of its batches, which come in its order.

    `heard` gets the number of images done.
    """
    labels = np.empty((len(split), *split.arrays.masks.shape[1:]), dtype=np.uint8)
    done = 0
    for ids, logits in batches:
        found = predict_labels(logits, task, scoring)
        labels[done : done + len(ids)] = found.to(torch.uint8).cpu().numpy()
        done += len(ids)
        heard(done)
    return Predictions(split.ids, labels)


def refuse_undefined(broken: Sequence[str], images: int) -> None:
    """Raise DivergedError if an image has NaN among its logits, which would otherwise pass for background."""
    if broken:
        raise DivergedError(
            f"the model predicts NaN for {len(broken)} of {images} images, {broken[0]} for one",
            cause="a value in the network overflowed, or its weights are not finite",
            fix="try a smaller learning rate, or a wider `precision` where it is not fp32 yet",
        )


def logit_threshold(scoring: Scoring) -> float:
    """Return the logit above which a pixel of a binary task belongs to the structure."""
    if scoring.threshold_space == "logit":
        return scoring.threshold
    if scoring.threshold <= 0.0:
        return -math.inf
    if scoring.threshold >= 1.0:
        return math.inf
    return math.log(scoring.threshold) - math.log1p(-scoring.threshold)
