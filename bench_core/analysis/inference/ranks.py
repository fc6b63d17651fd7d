"""Tests and effects that look at the order of groups only, and the correction for many tests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from bench_core.analysis.inference.distributions import scipy_part

WILCOXON = "zeros dropped, normal approximation without continuity correction"
"""How the signed-rank test is done, whatever scipy's defaults are."""

Key = TypeVar("Key")


def wilcoxon(differences: NDArray[np.float64]) -> float | None:
    """Return the p-value of Wilcoxon's signed-rank test of differences [G]; None where all are zero.

    Zeros are dropped (Wilcoxon's own rule): Pratt's finds a difference where there is none if many groups are
    equal. Ties get mean ranks; the p-value is that of the normal approximation at every number of groups.
    """
    if not np.any(differences):
        return None
    found = scipy_part("stats").wilcoxon(
        differences, zero_method="wilcox", correction=False, alternative="two-sided", method="asymptotic"
    )
    return float(found.pvalue)


def improvement(gains: NDArray[np.float64]) -> float:
    """Return the share of groups [G] with a gain, groups without any difference counted half.

    Source: the probability of improvement of Agarwal et al., NeurIPS 2021, for paired data. NaN of no group.
    """
    return float(np.mean((gains > 0) + 0.5 * (gains == 0))) if len(gains) else float("nan")


def holm(values: Mapping[Key, float]) -> dict[Key, float]:
    """Return p-values adjusted for their number: alpha bounds the chance that any of them misleads.

    Source: Holm, Scandinavian Journal of Statistics 6, 1979.
    """
    adjusted: dict[Key, float] = {}
    largest = 0.0
    for place, (key, value) in enumerate(sorted(values.items(), key=lambda item: item[1])):
        largest = max(largest, min(1.0, value * (len(values) - place)))
        adjusted[key] = largest
    return adjusted
