"""Models whose true differences are known, as a field of images in groups, without any store."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bench_core.analysis.inference.field import Field, Tested
from bench_core.analysis.quantity import pooled
from bench_core.declarations import Metric
from bench_core.metrics.counts import dice, per_image
from bench_core.metrics.plugin import bench_metrics

SPREAD = 0.7
"""Standard deviation of the logarithm of areas."""
SLOPE = 0.03
"""By how much Dice grows where the area grows e times."""
BASE = 0.80


def metric(name: str = "mdsc") -> Metric:
    return next(item for item in bench_metrics() if item.name == name)


def truth(gain: float) -> tuple[float, float]:
    """Return the true pooled Dice and the true mean Dice of images of a model with this gain.

    Areas are lognormal with log-mean 0, so that E[a log a] / E[a] = SPREAD**2.
    """
    return BASE + gain + SLOPE * SPREAD**2, BASE + gain


def planted_field(
    random: np.random.Generator,
    groups: int,
    gains: Sequence[float],
    sizes: tuple[int, int] = (1, 4),
    noise: Sequence[float] | None = None,
) -> Field:
    """Return models of these true gains on groups of (least, most) images; Dice varies with group and area.

    Each model has an error of its own in each group, beside the difficulty that all share.
    """
    noise = noise or [0.03] * len(gains)
    counts = random.integers(sizes[0], sizes[1] + 1, groups)
    of_image = np.repeat(np.arange(groups), counts)
    total = len(of_image)
    logs = random.normal(0, SPREAD, total)
    area = np.round(4000 * np.exp(logs)).astype(np.int64) + 1
    shared = random.normal(0, 0.04, groups)[of_image] + random.normal(0, 0.03, total)
    models = {}
    for place, (gain, own) in enumerate(zip(gains, noise, strict=True)):
        error = random.normal(0, own, groups)[of_image] + random.normal(0, own, total)
        score = np.clip(BASE + gain + SLOPE * logs + shared + error, 0, 1)
        models[f"m{place}"] = tested(area, score, of_image)
    return field_of_models(models, of_image, groups)


def tested(area: NDArray[np.int64], score: NDArray[np.float64], of_image: NDArray[np.intp]) -> Tested:
    """Return one class's counts [N, 1, 3] with this Dice: as many pixels too many as too few."""
    hit = np.round(area * score).astype(np.int64)
    counts = np.stack([hit, area - hit, area - hit], axis=-1)[:, None, :]
    folds = {
        (fold, 0): float(dice(counts[of_image % 5 == fold].sum(axis=(0, 1))))
        for fold in range(5)
        if (of_image % 5 == fold).any()
    }
    return Tested(per_image(counts)["mdsc"], counts, folds)


def field_of_models(models: dict[str, Tested], of_image: NDArray[np.intp], groups: int) -> Field:
    return Field(
        dataset="planted",
        quantity=pooled(metric()),
        leader="m0",
        models=models,
        families=dict.fromkeys(models, "SMA"),
        classes=("lesion",),
        groups=tuple(f"g{number}" for number in range(groups)),
        of_image=of_image.astype(np.intp),
        ratio=1 / 3,
        reshuffled=False,
        images=len(of_image),
        cut=5,
    )
