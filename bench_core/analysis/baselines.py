"""What needs no network: the scores of predicting one class everywhere, from the truth in the counts."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from bench_core.analysis.evidence import Evidence, Finished
from bench_core.analysis.quantity import Quantity
from bench_core.analysis.scores import Score, fold_score
from bench_core.metrics.counts import micro

BACKGROUND = "background"


def constant_counts(values: NDArray[np.int64], pixels: int, label: int) -> NDArray[np.int64]:
    """Return the counts [N, K, 3] of painting every image's `pixels` with one label, 0 = background.

    TP + FN of the given counts is the truth, whoever predicted.
    """
    truth = values[..., 0] + values[..., 2]
    painted = np.zeros_like(values)
    painted[..., 2] = truth
    if label:
        mine = truth[:, label - 1]
        painted[:, label - 1] = np.stack([mine, pixels - mine, np.zeros_like(mine)], axis=-1)
    return painted


def baselines(evidence: Evidence, dataset: str, quantity: Quantity) -> Mapping[str, Score]:
    """Return the score of background alone, and of each class alone, over the folds that any model finished.

    Only background where padding is ignored: how many pixels an image has is not in its counts then.
    """
    cells = [cell for (_, label), cell in evidence.cells.items() if label == dataset and cell.folds]
    folds: dict[int, Finished] = {}
    for cell in cells:
        for fold in cell.folds:
            folds.setdefault(fold.index, fold)
    found: dict[str, Score] = {}
    for label, name in enumerate((BACKGROUND, *evidence.dataset(dataset).classes)):
        values = {
            index: micro(constant_counts(fold.counts.values, fold.job.pixels.image_size**2, label))
            for index, fold in folds.items()
            if label == 0 or fold.job.pixels.padding == "background"
        }
        numbers = {index: value[quantity.metric.name] for index, value in values.items()}
        score = fold_score(cells[0], quantity, numbers) if numbers else None
        if score is not None:
            # A class may be called background, too.
            found[name if name not in found else f"{name} (label {label})"] = score
    return found
