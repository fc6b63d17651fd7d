"""Resampling of groups: bootstrap weights, exchanges of two models, intervals and p-values from them.

Sources: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 14 (BCa); Hesterberg,
The American Statistician 69, 2015, section 4.2 (the expansion for few groups); Phipson and Smyth,
Statistical Applications in Genetics and Molecular Biology 9:39, 2010 (the +1 of a p-value from random draws).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from bench_core.analysis.inference.distributions import normal_below, normal_quantile, t_quantile

EXACT_GROUPS = 13
"""Up to so many groups all 2**G exchanges are computed, 8,192 of them, which is fewer than are drawn."""
PERMUTATIONS = 9_999
MOST_PERMUTATIONS = 99_999
FEW_GROUPS = 100
"""Below it what BCa corrects is estimated too badly to correct it."""
MOST_UNDEFINED = 0.05
"""Share of resamples that may be undefined; beyond it there is no interval."""
_CHUNK = 2_000_000
"""Numbers of a chunk of weights: 16 MB, however many groups there are."""
_KEPT = 2 * _CHUNK
"""Numbers of weights that are kept for the next sums over as many groups: means of maps are thousands."""
_ROUNDING = 1e-9
"""Relative difference below which a resampled value counts as equal to the observed one."""


@dataclass(frozen=True)
class Interval:
    """A range that holds the true value with the stated confidence."""

    low: float
    high: float

    def holds(self, value: float) -> bool:
        """Say whether a value lies within."""
        return self.low <= value <= self.high


def resampled(sums: NDArray[np.float64], samples: int, seed: int) -> NDArray[np.float64]:
    """Return sums [samples, D] over groups drawn with replacement, as many as there are, from sums [G, D].

    All columns share their draws, so that models side by side are resampled in pairs.
    """
    count = len(sums)
    known = _kept_weights if samples * count <= _KEPT else _weights
    return np.concatenate([weights @ sums for weights in known(samples, count, seed)])


def _weights(samples: int, count: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """Yield blocks [B, G]: how often each group is drawn."""
    random = np.random.default_rng(seed)
    for size in _chunks(samples, count):
        drawn = random.integers(0, count, (size, count)) + count * np.arange(size)[:, None]
        weights = np.bincount(drawn.ravel(), minlength=size * count).reshape(size, count)
        yield weights.astype(np.float64)


@lru_cache(maxsize=2)
def _kept_weights(samples: int, count: int, seed: int) -> tuple[NDArray[np.float64], ...]:
    return tuple(_weights(samples, count, seed))


def exchanges(count: int, seed: int, permutations: int = PERMUTATIONS) -> Iterator[NDArray[np.float64]]:
    """Yield blocks [B, G] of zeros and ones: in which groups two models change places.

    All of them for few groups (the first is none), else `permutations` random ones.
    """
    if count <= EXACT_GROUPS:
        numbers = np.arange(2**count)
        yield ((numbers[:, None] >> np.arange(count)) & 1).astype(np.float64)
        return
    random = np.random.default_rng(seed)
    for size in _chunks(permutations, count):
        drawn = np.frombuffer(random.bytes((size * count + 7) // 8), dtype=np.uint8)
        yield np.unpackbits(drawn, count=size * count).reshape(size, count).astype(np.float64)


def permutations_for(tests: int, alpha: float) -> int:
    """Return how many exchanges to draw, so that many tests' correction leaves p-values far below alpha."""
    return min(max(PERMUTATIONS, math.ceil(10 * tests / alpha) - 1), MOST_PERMUTATIONS)


def least_p(groups: int, permutations: int) -> float:
    """Return the smallest p-value that the exchange test can give."""
    # Of all exchanges, none and all of them give the observed difference.
    return 2.0 ** (1 - groups) if groups <= EXACT_GROUPS else 1 / (permutations + 1)


def p_value(observed: float, found: NDArray[np.float64], groups: int) -> float:
    """Return the two-sided p-value of an observed difference among differences under exchange.

    Exact where `found` holds all exchanges; else (1 + those at least as large) / (1 + all), which is valid at
    any number of draws. Undefined differences count as large.
    """
    bound = abs(observed) * (1 - _ROUNDING)
    extreme = int(np.sum(~(np.abs(found) < bound)))
    if groups <= EXACT_GROUPS:
        return extreme / len(found)
    return (1 + extreme) / (1 + len(found))


def bootstrap_interval(
    observed: float, found: NDArray[np.float64], jackknife: NDArray[np.float64], confidence: float = 0.95
) -> Interval | None:
    """Return the interval of resampled values [B], given the leave-one-out values [G].

    BCa from FEW_GROUPS groups on, below it the expanded percentile interval, which holds the true value
    more often there. Undefined resamples are left out; None where they are more than MOST_UNDEFINED, or the
    observed value or a leave-one-out value is undefined: then the data do not carry an interval. Where all
    resamples are equal, the interval is that value.
    """
    defined, count = found[~np.isnan(found)], len(jackknife)
    few = count < 2 or len(defined) < (1 - MOST_UNDEFINED) * len(found)
    if few or np.isnan(observed) or np.isnan(jackknife).any():
        return None
    if np.ptp(defined) <= _ROUNDING * abs(observed):
        return Interval(float(defined.min()), float(defined.max()))
    if count < FEW_GROUPS:
        return expanded_percentile(defined, count, confidence)
    return bca(observed, defined, jackknife, confidence)


def bca(
    observed: float, found: NDArray[np.float64], jackknife: NDArray[np.float64], confidence: float = 0.95
) -> Interval:
    """Return the bias-corrected and accelerated interval of resampled [B] and leave-one-out values [G]."""
    tolerance = _ROUNDING * abs(observed)
    below = np.sum(found < observed - tolerance) + 0.5 * np.sum(np.abs(found - observed) <= tolerance)
    # All resamples on one side would put the correction at infinity.
    bias = normal_quantile(np.clip(below / len(found), 0.5 / len(found), 1 - 0.5 / len(found)))
    apart = jackknife.mean() - jackknife
    spread = float(np.sum(apart**2))
    acceleration = float(np.sum(apart**3)) / (6 * spread**1.5) if spread > 0 else 0.0
    half = float(normal_quantile(0.5 + confidence / 2))
    reach = bias + np.array([-half, half])
    return _between(found, bias + reach / np.maximum(1 - acceleration * reach, 1e-6))


def expanded_percentile(found: NDArray[np.float64], groups: int, confidence: float = 0.95) -> Interval:
    """Return the percentile interval of resampled values [B], widened for few groups.

    The scatter of resamples falls short by sqrt((G - 1) / G), and it has no tails of Student's t.
    """
    half = math.sqrt(groups / (groups - 1)) * t_quantile(0.5 + confidence / 2, groups - 1)
    return _between(found, np.array([-half, half]))


def _between(found: NDArray[np.float64], ends: NDArray[np.float64]) -> Interval:
    low, high = np.quantile(found, normal_below(ends))
    return Interval(float(low), float(high))


def _chunks(total: int, width: int) -> Iterator[int]:
    size = max(1, _CHUNK // max(width, 1))
    for start in range(0, total, size):
        yield min(size, total - start)
