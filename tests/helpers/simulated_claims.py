"""Claims, families and published scores whose truth is known: how often a false word is said of them.

`python -m tests.helpers.simulated_claims [RUNS]` prints the figures of docs/statistics.md.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any, cast
from unittest import mock

import numpy as np
from pydantic import TypeAdapter
from scipy import stats

from bench_core.analysis.evidence import DatasetFacts, Evidence, ModelFacts
from bench_core.analysis.expected import prediction
from bench_core.analysis.inference import compare
from bench_core.analysis.inference.claims import answer
from bench_core.analysis.inference.compare import Settings
from bench_core.analysis.inference.family import family_effect, interaction
from bench_core.analysis.inference.field import Field
from bench_core.metrics.plugin import bench_metrics
from bench_core.spec.claims import AnyClaim, Claim
from tests.helpers.known_truth import planted_field

SETTINGS = Settings(samples=200)
DRAWS = 1_999
_CLAIM: TypeAdapter[Any] = TypeAdapter(AnyClaim)


def claim(**given: Any) -> Claim:
    found: Claim = _CLAIM.validate_python({"name": "claim", **given})
    return found


def evidence_of(fields: Mapping[str, Field], families: Mapping[str, str]) -> Evidence:
    """Return a study that has these fields and nothing else: claims about them need no store."""
    models = tuple(
        ModelFacts(label, label, family, "torch", {}, (), (), (), ()) for label, family in families.items()
    )
    found = Evidence(
        spec=cast(Any, SimpleNamespace(pools={}, claims=[])),
        plan=cast(Any, SimpleNamespace(jobs=())),
        store=None,
        models=models,
        datasets=tuple(DatasetFacts(label, label, "", "", ("lesion",)) for label in fields),
        cells={},
        gaps=(),
        metrics={item.name: item for item in bench_metrics()},
    )
    found.memo["board", "mdsc"] = None
    for label, field in fields.items():
        found.memo["field", "mdsc", "ignore", label, "shared"] = replace(
            field, dataset=label, families={model: families[model] for model in field.models}
        )
    return found


@dataclass(frozen=True)
class Case:
    """A claim about models of known gains."""

    claim: Claim
    gains: Mapping[str, Sequence[float]]
    """Dataset to the gains of m0, m1, ..."""
    families: str
    """One letter for each model."""
    wrong: str
    """The word that would be wrong of it."""


CASES: Mapping[str, Case] = {
    "every of two better than every of three, one pair equal": Case(
        claim(models="A", than="B"), {"x": (0.05, 0.02, 0.02, 0.0, 0.0)}, "AABBB", "supported"
    ),
    "every of two better than most of three, one is better than one and equal to two": Case(
        claim(models="A", than="B", than_share="most"),
        {"x": (0.05, 0.02, 0.02, 0.02, 0.0)},
        "AABBB",
        "supported",
    ),
    "some of two better than some of three, all equal": Case(
        claim(models="A", than="B", share="some", than_share="some"),
        {"x": (0.0, 0.0, 0.0, 0.0, 0.0)},
        "AABBB",
        "supported",
    ),
    "every of two better than every of three, by 0.001 points each": Case(
        claim(models="A", than="B"), {"x": (0.00001, 0.00001, 0.0, 0.0, 0.0)}, "AABBB", "contradicted"
    ),
    "better by more than 1 point, it is 1 point": Case(
        claim(models="m0", than="m1", margin=1.0), {"x": (0.01, 0.0)}, "AB", "supported"
    ),
    "better by more than 1 point on average, it is 1 point": Case(
        claim(models="m0", than="m1", margin=1.0, across="average"),
        {"x": (0.02, 0.0), "y": (0.0, 0.0)},
        "AB",
        "supported",
    ),
    "best of four on two datasets, equal to one on one of them": Case(
        claim(claim="best", model="m0"),
        {"x": (0.03, 0.0, 0.0, 0.0), "y": (0.03, 0.03, 0.0, 0.0)},
        "AAAA",
        "supported",
    ),
    "three equivalent within 1 point, one pair is 1 point apart": Case(
        claim(claim="equivalent", models="all", margin=1.0), {"x": (0.0, 0.005, 0.01)}, "AAA", "supported"
    ),
    "three equivalent within 1 point, two pairs are nearly that far apart": Case(
        claim(claim="equivalent", models="all", margin=1.0),
        {"x": (0.0, 0.0, 0.00999)},
        "AAA",
        "contradicted",
    ),
    "gap largest on one of three datasets, equal on another": Case(
        claim(claim="largest", models="A", than="B", dataset="x"),
        {"x": (0.03, 0.03, 0.0, 0.0), "y": (0.03, 0.03, 0.0, 0.0), "z": (0.0, 0.0, 0.0, 0.0)},
        "AABB",
        "supported",
    ),
}
"""Claims at the edge of what is false, or of what is true: where a test errs most."""
PLANTED: Mapping[str, tuple[Case, str]] = {
    "2 points ahead": (Case(claim(models="A", than="B"), {"x": (0.02, 0.0)}, "AB", ""), "supported"),
    "0.5 points ahead": (Case(claim(models="A", than="B"), {"x": (0.005, 0.0)}, "AB", ""), "supported"),
    "equal, said to be within 1 point": (
        Case(claim(claim="equivalent", models="all", margin=1.0), {"x": (0.0, 0.0)}, "AB", ""),
        "supported",
    ),
    "2 points behind, said to be ahead": (
        Case(claim(models="A", than="B"), {"x": (0.0, 0.02)}, "AB", ""),
        "contradicted",
    ),
    "most of five, 2 points ahead of four": (
        Case(
            claim(models="A", than="B", than_share="most"),
            {"x": (0.02, 0.0, 0.0, 0.0, 0.0, 0.02)},
            "ABBBBB",
            "",
        ),
        "supported",
    ),
}
"""Truths, and the word that they should get."""


def said(case: Case, runs: int, groups: int, seed: int) -> Mapping[str, float]:
    """Return how often each word is said of a claim.

    The exchange test keeps its level at any number of draws: fewer are drawn here than in reports.
    """
    counted: Counter[str] = Counter()
    families = {f"m{place}": letter for place, letter in enumerate(case.families)}
    with mock.patch.object(compare, "permutations_for", lambda tests, alpha: DRAWS):
        for run in range(runs):
            random = np.random.default_rng((seed, run))
            fields = {name: planted_field(random, groups, gains) for name, gains in case.gains.items()}
            counted[answer(evidence_of(fields, families), case.claim, SETTINGS).word] += 1
    return {word: counted[word] / runs for word in ("supported", "contradicted", "not decided")}


def families_wrong(
    runs: int, seed: int, spreads: tuple[float, float] = (1.0, 1.0), sizes: tuple[int, int] = (6, 5)
) -> Mapping[str, float]:
    """Return how often each test finds a difference of equal families at 5 %, on three datasets.

    Scores are dataset + model + model x dataset, the two latter normal; `spreads` are those of the families.
    """
    counted: Counter[str] = Counter()
    for run in range(runs):
        random = np.random.default_rng((seed, run))
        sides = [
            spread * (random.normal(0, 1, (size, 1)) + random.normal(0, 0.5, (size, 3)))
            for size, spread in zip(sizes, spreads, strict=True)
        ]
        means = [side.mean(axis=1) for side in sides]
        found = family_effect(*means)
        moved = interaction(*sides)
        assert found.p_mixed is not None and found.p_unequal is not None and moved is not None
        counted["both"] += found.p < 0.05
        counted["labels dealt"] += found.p_dealt < 0.05
        counted["unequal spread"] += found.p_unequal < 0.05
        counted["mixed model, t"] += found.p_mixed < 0.05
        # The same error with the normal distribution, as general software prints it.
        error = stats.ttest_ind(*means)
        counted["mixed model, z"] += 2 * stats.norm.sf(abs(error.statistic)) < 0.05
        counted["interaction, both"] += moved.p < 0.05
        counted["interaction, labels dealt"] += moved.p_dealt < 0.05
    return {name: number / runs for name, number in counted.items()}


def families_found(runs: int, seed: int, gap: float) -> float:
    """Return how often both tests find a gap of so many standard deviations between 6 and 5 models."""
    found = 0
    for run in range(runs):
        random = np.random.default_rng((seed, run))
        found += family_effect(random.normal(gap, 1, 6), random.normal(0, 1, 5)).p < 0.05
    return found / runs


def predicted(runs: int, seed: int, retrained: float) -> tuple[float, float]:
    """Return how often a prediction interval of 95 % holds the mean of five other folds.

    First where both fives are independent draws; then where both are cross-validations of the same 500
    images, cut anew, each fold's network with an error of its own of `retrained` times the spread of folds.
    """
    free = cut = 0
    for run in range(runs):
        random = np.random.default_rng((seed, run))
        one, other = random.normal(0.9, 0.01, (2, 5))
        free += prediction(float(one.mean()), float(one.std(ddof=1)), 5, 5).holds(float(other.mean()))
        images = random.normal(0.9, 0.1, 500)
        means = []
        for _ in range(2):
            folds = random.permutation(images).reshape(5, -1).mean(axis=1)
            means.append(folds + retrained * 0.01 * random.normal(size=5))
        mean, std = float(means[0].mean()), float(means[0].std(ddof=1))
        cut += prediction(mean, std, 5, 5).holds(float(means[1].mean()))
    return free / runs, cut / runs


def main(runs: int) -> None:
    for spreads in ((1.0, 1.0), (0.1, 1.0), (1.0, 0.1)):
        print("families", spreads, families_wrong(5 * runs, 300, spreads))
    print("families, 3 and 3", families_wrong(5 * runs, 301, sizes=(3, 3)))
    for gap in (1.0, 2.0, 3.0):
        print("families, power", gap, families_found(runs, 302, gap))
    for retrained in (0.0, 0.5, 1.0):
        print("predicted", retrained, predicted(5 * runs, 303, retrained))
    for groups in (60, 20, 200):
        for number, (name, case) in enumerate(CASES.items()):
            print(groups, name, case.wrong, said(case, runs // 2, groups, 100 + number)[case.wrong])
    for groups in (60, 200):
        for number, (name, (case, word)) in enumerate(PLANTED.items()):
            print(groups, name, word, said(case, runs // 4, groups, 200 + number))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2_000)
