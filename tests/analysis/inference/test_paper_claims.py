"""The claims of specs/paper.yaml on results whose truth is planted: each gets the word that is true."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench_core.analysis.inference.claims import answer
from bench_core.analysis.inference.compare import Settings
from bench_core.plan.load import check_spec
from bench_core.spec.model import Spec
from tests.helpers.known_truth import planted_field
from tests.helpers.simulated_claims import evidence_of

PAPER = Path(__file__).parents[3] / "specs/paper.yaml"
GROUPS = {"isic2018": 250, "neopolyp": 250, "camus": 250}
FAMILIES = ["GP-VM"] * 6 + ["SMA"] * 5


@pytest.fixture(scope="module")
def spec() -> Spec:
    return check_spec(PAPER).spec


def words(spec: Spec, gains: Mapping[str, Sequence[float]], seed: int) -> dict[str, str]:
    labels = [model.name for model in spec.models]
    random = np.random.default_rng(seed)
    fields = {}
    for name, groups in GROUPS.items():
        field = planted_field(random, groups, gains[name], (1, 2))
        renamed = dict(zip(labels, field.models.values(), strict=True))
        fields[name] = replace(field, models=renamed, leader=labels[0])
    evidence = evidence_of(fields, dict(zip(labels, FAMILIES, strict=True)))
    evidence.spec.pools.update(spec.pools)
    settings = Settings(samples=200)
    return {claim.name: answer(evidence, claim, settings).word for claim in spec.claims}


def test_what_the_studys_table_shows_is_supported_where_it_is_true(spec: Spec) -> None:
    # Larger leads than the study's, so that 250 groups can show them.
    usual = [0.03, 0.0, 0.0, 0.0, 0.0, 0.0, -0.015, -0.04, -0.05, -0.06, -0.09]
    polyps = [gain - (0.06 if place > 5 else 0.0) for place, gain in enumerate(usual)]
    found = words(spec, {"isic2018": usual, "neopolyp": polyps, "camus": usual}, 1)
    assert found == {
        "gp-vms-beat-most-smas": "supported",
        "gp-vms-better-as-a-family": "supported",
        "gap-largest-on-neopolyp": "supported",
        "vw-mit-best-on-average": "supported",
        "transnext-best-on-isic": "contradicted",
        "best-seven-alike": "contradicted",
        "swin-umamba-best-sma": "supported",
        "every-gp-vm-beats-u-net": "supported",
    }


def test_the_opposite_is_contradicted_and_equal_models_decide_nothing(spec: Spec) -> None:
    turned = [-0.05] * 6 + [0.0, 0.01, 0.02, 0.03, 0.04]
    found = words(spec, dict.fromkeys(GROUPS, turned), 2)
    assert set(found) == {claim.name for claim in spec.claims}
    for name, word in found.items():
        assert word == ("not decided" if name == "gap-largest-on-neopolyp" else "contradicted"), name
    equal = words(spec, dict.fromkeys(GROUPS, [0.0] * 11), 3)
    assert "supported" not in equal.values()
    # Equal models contradict what needs two points between them.
    assert equal.pop("every-gp-vm-beats-u-net") == "contradicted"
    assert set(equal.values()) == {"not decided"}
