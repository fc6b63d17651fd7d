"""Images that are hard for all and images that part two models, against plain loops."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench_core.analysis.failures import Failures, usual_pair
from bench_core.analysis.inference.field import Field
from bench_core.analysis.quantity import pooled
from tests.helpers.known_truth import metric, planted_field


def field(seed: int, repeats: int = 1) -> Field:
    random = np.random.default_rng(seed)
    found = planted_field(random, 15, [0.02, 0.0, -0.02])
    ids = tuple(f"i{number % (len(found.of_image) // repeats)}" for number in range(len(found.of_image)))
    models = {}
    for label, item in found.models.items():
        scores = np.where(random.random(len(ids)) < 0.1, np.nan, item.scores)
        models[label] = replace(item, scores=scores)
    families = {"m0": "A", "m1": "A", "m2": "B"}
    return replace(found, ids=ids, models=models, families=families)


def plain(found: Field) -> dict[str, dict[str, float]]:
    images: dict[str, dict[str, list[float]]] = {}
    for label, item in found.models.items():
        for sample, score in zip(found.ids, item.scores.tolist(), strict=True):
            if score == score:
                images.setdefault(sample, {}).setdefault(label, []).append(score)
    return {
        sample: {label: sum(scores) / len(scores) for label, scores in by_model.items()}
        for sample, by_model in images.items()
    }


@given(st.integers(0, 500), st.integers(1, 2))
def test_lists_are_those_of_plain_loops(seed: int, repeats: int) -> None:
    found = field(seed, repeats)
    images, failures = plain(found), Failures(found)
    hard = failures.hard(5)
    expected = sorted(images, key=lambda sample: (max(images[sample].values()), sample))[:5]
    assert [row.id for row in hard] == expected
    assert all(row.scores == pytest.approx(images[row.id]) for row in hard)
    assert failures.missed_by_all(0.8) == sum(max(scores.values()) < 0.8 for scores in images.values())
    both = {sample: scores for sample, scores in images.items() if {"m0", "m2"} <= scores.keys()}
    gaps = {sample: scores["m0"] - scores["m2"] for sample, scores in both.items()}
    apart = failures.apart("m2", "m0", 4)
    ahead = sorted((-gap, sample) for sample, gap in gaps.items() if gap > 0)
    assert [row.id for row in apart] == [sample for _, sample in ahead[:4]]
    alone = sum(scores["m2"] < 0.8 <= scores["m0"] for scores in both.values())
    assert failures.fails_alone("m2", "m0", 0.8) == alone


def test_the_usual_pair_is_of_two_families() -> None:
    found = field(1)
    assert usual_pair(found) == ("m0", "m2")
    assert usual_pair(replace(found, families=dict.fromkeys(found.models, "A")))[1] == "m1"


def test_where_lower_is_better_the_largest_is_worst() -> None:
    found = field(2)
    turned = replace(found, quantity=pooled(replace(metric(), better="lower")))
    images, failures = plain(found), Failures(turned)
    (row,) = failures.hard(1)
    assert row.id == max(images, key=lambda sample: min(images[sample].values()))
    assert failures.best(row) == min(row.scores, key=lambda label: row.scores[label])
    assert failures.missed_by_all(0.8) == sum(min(scores.values()) > 0.8 for scores in images.values())
