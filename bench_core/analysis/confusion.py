"""Which class is predicted for which: counted from masks and label maps, or as far as counts tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench_core.analysis.evidence import Cell, Evidence, Finished
from bench_core.analysis.packed_maps import box_of
from bench_core.analysis.pictured import opened_data
from bench_core.declarations import IGNORE
from bench_core.errors import BenchError


@dataclass(frozen=True, eq=False)
class Confusion:
    """Pixels of all tested images of a cell by true and predicted class; index 0 is background.

    `low` and `high` [K + 1, K + 1] are equal where label maps were held against masks. Background that is
    background in both is never counted (-1).
    """

    classes: tuple[str, ...]
    low: NDArray[np.int64]
    high: NDArray[np.int64]

    @property
    def exact(self) -> bool:
        """Whether every entry is known."""
        return bool((self.low == self.high).all())

    def total(self, place: int) -> int:
        """Return the pixels of a foreground class (from 1), which are known in any case: TP + FN."""
        return int(self.low[place, place] + self._missed[place - 1])

    @property
    def _missed(self) -> NDArray[np.int64]:
        # Without a limit, all that is missed may be background.
        return self.low[1:].sum(axis=1) - self.low.diagonal()[1:] if self.exact else self.high[1:, 0]


def confusion(evidence: Evidence, cell: Cell) -> Confusion | None:
    """Return a cell's confusion, exact where the evidence opens the data; None without a finished fold.

    Where an image was tested under several repeats, each is counted. Raises what `opened_data` raises.
    """
    if not cell.folds:
        return None
    found = counted(evidence, cell) if evidence.arrays is not None else None
    return bounds(cell.folds) if found is None else found


def bounds(folds: Sequence[Finished]) -> Confusion:
    """Return what true positives, false positives and false negatives of each image leave possible.

    Of one image, pixels of class i that are predicted as another foreground class j are at most
    min(FN[i], FP[j]), and may be none, since what is missed may be background. The rest of FN[i] and of FP[j]
    must be background. With one foreground class all is known.
    """
    classes = folds[0].counts.classes
    size = len(classes) + 1
    low, high = np.zeros((size, size), np.int64), np.zeros((size, size), np.int64)
    own = np.arange(size - 1)
    for fold in folds:
        hits, extra, missed = np.moveaxis(fold.counts.values, -1, 0)
        most = np.minimum(missed[:, :, None], extra[:, None, :])
        most[:, own, own] = 0
        high[1:, 1:] += most.sum(axis=0)
        low[1:, 0] += np.maximum(missed - most.sum(axis=2), 0).sum(axis=0)
        low[0, 1:] += np.maximum(extra - most.sum(axis=1), 0).sum(axis=0)
        high[1:, 0] += missed.sum(axis=0)
        high[0, 1:] += extra.sum(axis=0)
        for matrix in (low, high):
            matrix[own + 1, own + 1] += hits.sum(axis=0)
    low[0, 0] = high[0, 0] = -1
    return Confusion(classes, low, high)


def counted(evidence: Evidence, cell: Cell) -> Confusion | None:
    """Return the pixels of label maps held against masks; None where a job left no readable label maps.

    Raises what `opened_data` raises.
    """
    size = len(cell.folds[0].counts.classes) + 1
    found = np.zeros((size, size), np.int64)
    for fold in cell.folds:
        arrays = opened_data(evidence, fold)
        rows = {sample: row for row, sample in enumerate(arrays.ids)}
        try:
            for sample, labels in fold.each_prediction():
                truth = np.asarray(arrays.masks[rows[sample]])
                # What both call background is not counted, and that is most of an image.
                box = box_of(truth | labels)
                seen = truth[box] != IGNORE
                pairs = truth[box][seen].astype(np.int64) * size + labels[box][seen]
                found += np.bincount(pairs, minlength=size * size).reshape(size, size)
        except BenchError:
            return None
    found[0, 0] = -1
    return Confusion(cell.folds[0].counts.classes, found, found)
