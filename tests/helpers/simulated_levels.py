"""Many studies in which a difference does or does not depend on an attribute: how often the test says so.

`python -m tests.helpers.simulated_levels [RUNS]` prints the figures of docs/statistics.md.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bench_core.analysis.inference.field import Field
from bench_core.analysis.subgroup_tests import dependences
from bench_core.analysis.subgroups import Levels
from tests.helpers.known_truth import field_of_models, tested

Kind = Literal["images", "groups", "unequal"]
"""Levels that images of one group may share or not; that whole groups share; of unequal size and scatter."""


def planted(
    random: np.random.Generator,
    groups: int,
    kind: Kind,
    gain: float = 0.01,
    more: float = 0.0,
    models: int = 2,
) -> tuple[Field, Levels]:
    """Return models of which the first is better by `gain`, and by `more` beyond that in the last level."""
    of_image = np.repeat(np.arange(groups), random.integers(1, 5, groups))
    total = len(of_image)
    shares = [0.7, 0.2, 0.1] if kind == "unequal" else [1 / 3] * 3
    if kind == "images":
        level = random.choice(3, total, p=shares)
    else:
        # At least five groups in each: fewer are not tested.
        least = np.repeat(np.arange(3), 5)
        level = random.permutation(np.concatenate([least, random.choice(3, groups - 15, p=shares)]))[of_image]
    spread = np.array([1.0, 1.0, 4.0 if kind == "unequal" else 1.0])[level]
    area = np.round(4000 * np.exp(random.normal(0, 0.7, total))).astype(np.int64) + 1
    shared = 0.7 + random.normal(0, 0.04, groups)[of_image] + random.normal(0, 0.03, total)
    made = {}
    for place in range(models):
        error = spread * (random.normal(0, 0.02, groups)[of_image] + random.normal(0, 0.02, total))
        ahead = gain + more * (level == 2) if place == 0 else np.zeros(total)
        made[f"m{place}"] = tested(area, np.clip(shared + ahead + error, 0, 1), of_image)
    ids = tuple(f"i{number}" for number in range(total))
    field = replace(field_of_models(made, of_image, groups), ids=ids)
    of_sample = dict(zip(ids, map(int, level), strict=True))
    return field, Levels("level", ("a", "b", "c"), of_sample, {})


def called(runs: int, groups: int, kind: Kind, seed: int, more: float = 0.0) -> float:
    """Return the share of runs in which two models' difference is said to depend on the level, at 5 %."""
    found = 0
    for run in range(runs):
        field, levels = planted(np.random.default_rng((seed, run)), groups, kind, more=more)
        (test,) = dependences(field, [levels])
        assert test.p is not None
        found += test.p < 0.05
    return found / runs


def any_called(runs: int, groups: int, models: int, seed: int) -> float:
    """Return the share of runs in which any of all models is said to depend on either of two attributes."""
    found = 0
    for run in range(runs):
        random = np.random.default_rng((seed, run))
        field, levels = planted(random, groups, "groups", models=models)
        other: NDArray[np.int64] = random.integers(0, 2, len(field.ids))
        second = Levels("other", ("x", "y"), dict(zip(field.ids, map(int, other), strict=True)), {})
        found += any(test.verdict == "depends" for test in dependences(field, [levels, second]))
    return found / runs


def main(runs: int) -> None:
    for groups in (20, 50, 200):
        for kind in ("images", "groups", "unequal"):
            print(groups, kind, called(runs, groups, kind, 31), flush=True)
    for groups in (50, 200):
        print("one point more", groups, called(runs // 2, groups, "groups", 32, 0.01), flush=True)
        print("two points more", groups, called(runs // 2, groups, "groups", 33, 0.02), flush=True)
    print("any of 20", any_called(runs // 2, 60, 11, 34))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2_000)
