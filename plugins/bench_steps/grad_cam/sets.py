"""Which test images are looked at: a model's worst ones, the worst of all models together, random ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench_core.data.loader import Split
from bench_core.labels import count
from bench_core.metrics.counts import mean_defined, per_image
from bench_core.protocol.session import Session
from bench_core.records import Predictions
from bench_core.seeds import derive_seed
from bench_steps.grad_cam.options import COMMON, RANDOM


def chosen(session: Session, options: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the ids of a job's set, the worst first, at most as many as its options say.

    A score is the Dice of an image, the mean over its classes; of the common set the mean of all models'.
    Images without a score, which have no structure and for which none is predicted, are in no set of worst
    ones. Equal scores come in the order of ids.
    """
    split = session.test
    (name,) = options["sets"]
    if name == RANDOM:
        drawn = sorted(
            split.ids, key=lambda sample: (derive_seed("grad-cam", session.job.seed, sample), sample)
        )
        return tuple(drawn[: options["random"]])
    sources = session.peers if name == COMMON else (session.source("weights"),)
    truths = [truth for _, truth in session.truth(split)]
    scores = np.stack([dice(source.predictions(), split, truths, session) for source in sources], axis=-1)
    return worst(split.ids, mean_defined(scores), options["worst"])


def worst(ids: Sequence[str], scores: NDArray[np.float64], most: int) -> tuple[str, ...]:
    """Return the ids of the lowest scores [N], without those that have none."""
    known = [(score, sample) for score, sample in zip(scores.tolist(), ids, strict=True) if score == score]
    return tuple(sample for _, sample in sorted(known)[:most])


def dice(
    found: Predictions, split: Split, truths: Sequence[NDArray[np.uint8]], session: Session
) -> NDArray[np.float64]:
    """Return the Dice [N] of each image's label map, in the order of the split; NaN where undefined."""
    rows = {sample: row for row, sample in enumerate(found.ids)}
    classes = len(session.task.classes)
    counts = [
        count(found.labels[rows[sample]], truth, classes)
        for sample, truth in zip(split.ids, truths, strict=True)
    ]
    return per_image(np.stack(counts))["mdsc"]


def part_of(split: Split, ids: Sequence[str]) -> Split:
    """Return some images of a split, in their own order."""
    rows = {sample: row for row, sample in enumerate(split.ids)}
    return Split(split.arrays, split.indices[[rows[sample] for sample in ids]], split.channels)
