"""Many studies with known truth: how often intervals hold it, and how often tests are wrong.

`python -m tests.helpers.simulated [RUNS]` prints the figures of docs/statistics.md.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from bench_core.analysis.inference.cells import intervals
from bench_core.analysis.inference.compare import Compared, Settings, judge, rank_test
from bench_core.analysis.inference.detection import detection
from bench_core.analysis.inference.field import Field
from bench_core.analysis.inference.folds import corrected_resampled_t
from bench_core.analysis.inference.paired import View
from bench_core.analysis.inference.power import Aim
from bench_core.analysis.inference.ranking import ranked_field
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


def best_chances(runs: int, groups: int, models: int, seed: int) -> list[tuple[float, float, int]]:
    """Return (mean stated probability to be the best, share of models that are, models) by ranges of it.

    True gains are drawn flat from a range much wider than what can be told apart, as the prior assumes.
    """
    stated, true = [], []
    for run in range(runs):
        random = np.random.default_rng((seed, run))
        gains = random.uniform(-0.03, 0.03, models)
        found = ranked_field(planted_field(random, groups, list(gains)), "pooled", SETTINGS)
        assert found is not None and found.ranks.chances is not None
        stated.append(found.ranks.chances[:, 0])
        true.append(gains == gains.max())
    known, best = np.concatenate(stated), np.concatenate(true)
    rows = []
    for low, high in ((0, 0.05), (0.05, 0.25), (0.25, 0.5), (0.5, 0.75), (0.75, 0.95), (0.95, 1.01)):
        inside = (known >= low) & (known < high)
        rows.append((float(known[inside].mean()), float(best[inside].mean()), int(inside.sum())))
    return rows


def ranks_held(runs: int, groups: int, models: int, seed: int) -> float:
    """Return the share of models whose true rank the interval of 95 % holds, true gains as above."""
    held = 0
    for run in range(runs):
        random = np.random.default_rng((seed, run))
        gains = random.uniform(-0.03, 0.03, models)
        found = ranked_field(planted_field(random, groups, list(gains)), "pooled", SETTINGS)
        assert found is not None
        for place, gain in enumerate(gains):
            ends = found.ranks.interval(place)
            assert ends is not None
            held += ends[0] <= 1 + int((gains > gain).sum()) <= ends[1]
    return held / (runs * models)


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


def detected(runs: int, groups: int, models: int, seed: int, view: View = "pooled") -> tuple[float, float]:
    """Return the smallest detectable difference, and the share of runs that call such a one different.

    It is what 100 studies of equal models print, the median; then the first model is that much better than
    the second one, and half as much than the others.
    """
    aim, printed = Aim(models * (models - 1) // 2), []
    for run in range(100):
        field = planted_field(np.random.default_rng((seed, 1, run)), groups, [0.0] * models)
        judged = judge(field, view, Settings(samples=200))
        assert judged is not None
        found = detection(field, judged, aim)
        assert found is not None and found.smallest is not None
        printed.append(found.smallest.middle)
    gain, number = float(np.median(printed)), 0
    gains = [gain, 0.0, *[gain / 2] * (models - 2)]
    for run in range(runs):
        field = planted_field(np.random.default_rng((seed, 2, run)), groups, gains)
        judged = judge(field, view, Settings(samples=200))
        assert judged is not None
        number += judged.pair("m0", "m1").verdict == "different"
    return gain, number / runs


def folds_wrong(runs: int, seed: int, repeats: int, images: int = 100) -> tuple[float, float]:
    """Return how often the corrected and the usual t-test over folds part two equal learners at 5 %.

    Both fit a linear regression, each to 30 features of its own that explain equal parts of the target. Three
    folds train and one tests; repeats deal the images anew.
    """
    corrected = usual = 0
    for run in range(runs):
        random = np.random.default_rng((seed, run))
        features = random.normal(size=(2, images, 30))
        target = features.sum(axis=(0, 2)) / np.sqrt(30) + 0.5 * random.normal(size=images)
        differences = []
        for _ in range(repeats):
            folds = random.permutation(images).reshape(5, -1)
            differences += [_ahead(features, target, folds, fold) for fold in range(5)]
        tests = [corrected_resampled_t(differences, ratio) for ratio in (1 / 3, 0.0)]
        assert tests[0] is not None and tests[1] is not None
        corrected += tests[0].p < 0.05
        usual += tests[1].p < 0.05
    return corrected / runs, usual / runs


def _ahead(features: NDArray, target: NDArray, folds: NDArray, fold: int) -> float:
    """Return by how much the first learner's error on a fold is larger."""
    train = np.concatenate([folds[(fold + step) % 5] for step in (2, 3, 4)])
    errors = []
    for own in features:
        weights = np.linalg.lstsq(own[train], target[train], rcond=None)[0]
        errors.append(np.mean((own[folds[fold]] @ weights - target[folds[fold]]) ** 2))
    return float(errors[0] - errors[1])


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
    for groups, models in ((30, 2), (50, 5), (50, 11), (200, 2), (200, 11)):
        print("detected", groups, models, detected(runs // 2, groups, models, 18))
    print("detected, images", 50, 5, detected(runs // 2, 50, 5, 18, "images"))
    for groups in (50, 200):
        print("best of five", groups, best_chances(runs, groups, 5, 19))
        print("ranks of five held", groups, ranks_held(runs, groups, 5, 20))
    print("false claims", 50, false_claims(2 * runs, 50, 16))
    for repeats in (1, 5):
        print("folds", repeats, folds_wrong(runs, 17, repeats))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2_000)
