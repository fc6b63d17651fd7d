"""Many studies with known truth: how often intervals hold it, and how often tests are wrong.

`python -m tests.helpers.simulated [RUNS]` prints the figures of docs/statistics.md.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from scipy import stats

from bench_core.analysis.inference.cells import intervals
from bench_core.analysis.inference.compare import Compared, Settings, judge, rank_test
from bench_core.analysis.inference.field import Field
from bench_core.analysis.inference.folds import corrected_resampled_t
from bench_core.analysis.inference.paired import View
from tests.helpers.known_truth import planted_field, truth

SETTINGS = Settings(samples=1_000)
TESTS = (
    "exchange, pooled",
    "exchange, images",
    "t of groups, images",
    "signed ranks of groups",
    "t of images (ignores groups)",
)


def held(runs: int, groups: int, seed: int, gain: float = 0.01) -> Mapping[str, float]:
    """Return the share of runs in which each interval of 95 % holds the true value."""
    counted: Counter[str] = Counter()
    pooled, images = truth(gain)
    for run in range(runs):
        field = planted_field(np.random.default_rng((seed, run)), groups, [gain, 0.0])
        cell = intervals(field, SETTINGS)[0]
        assert cell.pooled is not None
        for name, interval, value in (
            ("pooled score", cell.pooled.interval, pooled),
            ("mean of images", cell.images.interval, images),
            ("pooled difference", _pair(field, "pooled").interval, gain),
            ("mean difference of images", _pair(field, "images").interval, gain),
        ):
            assert interval is not None
            counted[name] += interval.holds(value)
    return {name: number / runs for name, number in counted.items()}


def wrong(
    runs: int, groups: int, seed: int, noise: Sequence[float] = (0.03, 0.03), gain: float = 0.0
) -> Mapping[str, float]:
    """Return the share of runs in which each test of two models finds a difference at 5 %."""
    counted: Counter[str] = Counter()
    for run in range(runs):
        field = planted_field(np.random.default_rng((seed, run)), groups, [gain, 0.0], noise=noise)
        pooled, images = _pair(field, "pooled"), _pair(field, "images")
        rank = rank_test(field, "images", "m0", "m1")
        # What ignores groups: a paired t-test over images.
        naive = stats.ttest_rel(field.models["m0"].scores, field.models["m1"].scores).pvalue
        assert pooled.p is not None and images.p is not None and images.p_false is not None
        values = (pooled.p, images.p, 2 * images.p_false, 1.0 if rank is None else rank, float(naive))
        for name, p in zip(TESTS, values, strict=True):
            counted[name] += p < 0.05
    return {name: counted[name] / runs for name in TESTS}


def called_equivalent(runs: int, groups: int, seed: int, gain: float) -> float:
    """Return the share of runs in which two models this far apart are proven equivalent at one point."""
    found = 0
    for run in range(runs):
        field = planted_field(np.random.default_rng((seed, run)), groups, [gain, 0.0])
        p = _pair(field, "pooled").p_equivalent
        assert p is not None
        found += p < 0.05
    return found / runs


def any_wrong(runs: int, groups: int, models: int, seed: int) -> float:
    """Return the share of runs in which any pair of equal models is called different."""
    found = 0
    for run in range(runs):
        field = planted_field(np.random.default_rng((seed, run)), groups, [0.0] * models)
        judged = judge(field, "pooled", SETTINGS)
        assert judged is not None
        found += any(pair.verdict == "different" for pair in judged.pairs.values())
    return found / runs


def false_claims(runs: int, groups: int, seed: int) -> list[tuple[float, float, int]]:
    """Return (mean stated probability, share of false claims, runs) by ranges of the stated probability.

    True gains are drawn flat from a range much wider than what can be told apart, as the prior assumes.
    """
    stated, false = [], []
    for run in range(runs):
        random = np.random.default_rng((seed, run))
        gain = float(random.uniform(-0.03, 0.03))
        pair = _pair(planted_field(random, groups, [gain, 0.0]), "images")
        assert pair.p_false is not None
        stated.append(pair.p_false)
        false.append(pair.difference * gain < 0)
    known, wrong_ones = np.array(stated), np.array(false)
    rows = []
    for low, high in ((0, 0.02), (0.02, 0.1), (0.1, 0.25), (0.25, 0.5)):
        inside = (known >= low) & (known < high)
        rows.append((float(known[inside].mean()), float(wrong_ones[inside].mean()), int(inside.sum())))
    return rows


def folds_wrong(runs: int, seed: int, images: int = 200, ratio: float = 1 / 3) -> tuple[float, float]:
    """Return how often the corrected and the usual t-test over 5 folds part two equal learners at 5 %.

    Both predict the mean of their own training values of an unseen one; three folds train, one tests.
    """
    corrected = usual = 0
    for run in range(runs):
        values = np.random.default_rng((seed, run)).normal(0, 1, (2, 5, images // 5))
        differences = []
        for fold in range(5):
            train = [(fold + step) % 5 for step in (2, 3, 4)]
            known = values[:, train].reshape(2, -1).mean(axis=1)
            errors = ((values[:, fold] - known[:, None]) ** 2).mean(axis=1)
            differences.append(float(errors[0] - errors[1]))
        for kind, share in (("corrected", ratio), ("usual", 0.0)):
            found = corrected_resampled_t(differences, share)
            assert found is not None
            corrected += kind == "corrected" and found.p < 0.05
            usual += kind == "usual" and found.p < 0.05
    return corrected / runs, usual / runs


def _pair(field: Field, view: View) -> Compared:
    found = judge(field, view, SETTINGS)
    assert found is not None
    return found.pair("m0", "m1")


def main(runs: int) -> None:
    for groups in (20, 50, 200):
        print("held", groups, held(runs, groups, 11))
    for groups in (12, 20, 50, 200):
        print("wrong", groups, wrong(runs, groups, 12))
    print("wrong, unequal noise", 50, wrong(runs, 50, 13, noise=(0.01, 0.05)))
    print("equivalent at the margin", 200, called_equivalent(runs, 200, 14, 0.01))
    print("equivalent at zero", 200, called_equivalent(runs, 200, 14, 0.0))
    print("any of 55 pairs", 60, any_wrong(runs // 2, 60, 11, 15))
    print("false claims", 50, false_claims(2 * runs, 50, 16))
    print("folds", folds_wrong(5 * runs, 17))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2_000)
