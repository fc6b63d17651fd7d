"""specs/paper.yaml is the published study, as far as it can be known."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench_core.plan.expand import Plan, make_plan
from bench_core.plan.summary import deviations_of, max_epochs, stages_of
from bench_core.plugins.wiring import load_registry
from bench_core.spec.load import load_spec

PAPER = Path(__file__).parents[2] / "specs" / "paper.yaml"
GPVM = ("vw-mit", "vw-conv", "transnext", "internimage", "segnext", "segformer")
SMA = ("swin-umamba", "hiformer", "missformer", "u-kan", "u-net")
MILLIONS = {
    "vw-mit": 51,
    "vw-conv": 57,
    "transnext": 58,
    "internimage": 58,
    "segnext": 49,
    "segformer": 47,
    "swin-umamba": 60,
    "hiformer": 26,
    "missformer": 42,
    "u-kan": 25,
    "u-net": 31,
}


@pytest.fixture(scope="module")
def plan() -> Plan:
    loaded = load_spec(PAPER)
    return make_plan(loaded.spec, loaded.registry)


def test_the_matrix_is_that_of_the_study(plan: Plan) -> None:
    assert [(stage.stage, stage.jobs, stage.epochs) for stage in stages_of(plan)] == [
        ("search", 99, 9_900),
        ("evaluate", 165, 24_750),
        ("as-published-worst", 165, 0),
    ]
    assert len(plan.jobs) == 264 + 165
    assert max_epochs(plan) == 34_650
    assert {model for model, family in plan.families.items() if family == "GP-VM"} == set(GPVM)
    assert {model for model, family in plan.families.items() if family == "SMA"} == set(SMA)
    assert plan.datasets == ("isic2018", "neopolyp", "camus")
    assert plan.excluded == ()


def test_each_job_follows_the_protocol(plan: Plan) -> None:
    for job in plan.jobs:
        if job.stage not in ("search", "evaluate"):
            continue
        training = job.training
        assert (job.pixels.image_size, training.batch_size) == (512, 8)
        assert training.precision == ("fp32" if job.model.name == "segnext" else "fp16")
        assert training.loss.plain() == (
            {"bce": 1.0} if job.dataset.name == "isic2018" else {"cross-entropy": 1.0}
        )
        assert job.model.runner == ("mmseg" if job.model.name in GPVM else "torch")
        assert job.model.pretrained == ("none" if job.model.name in ("u-kan", "u-net") else "imagenet")
        assert (training.schedule.name, training.schedule.step) == ("rex", "epoch")
        assert (training.early_stopping is None) == (job.stage == "search")
        assert len(job.needs) == (3 if job.stage == "evaluate" else 0)


def test_deviations_are_those_that_the_study_names(plan: Plan) -> None:
    found = {(item.model, item.deviation.setting, item.datasets) for item in deviations_of(plan)}
    assert found == {
        ("segnext", "precision", plan.datasets),
        ("u-kan", "pretrained", plan.datasets),
        ("u-net", "pretrained", plan.datasets),
    }


def test_declared_parameters_round_to_those_of_the_study() -> None:
    registry = load_registry()
    for name, millions in MILLIONS.items():
        architecture = registry.model(name)
        assert set(architecture.parameters) >= {1, 3, 4}
        assert {round(count / 1e6) for count in architecture.parameters.values()} == {millions}


def test_declarations_say_what_they_are_or_why_they_cannot_run() -> None:
    registry = load_registry()
    for name in MILLIONS:
        architecture = registry.model(name)
        assert (architecture.build is None) == (architecture.unavailable is not None)
        assert architecture.title and architecture.license
        assert "arXiv:" in architecture.paper
        assert 512 % architecture.size_multiple == 0
        assert architecture.size_minimum <= 512
    for name in ("isic2018", "neopolyp", "camus"):
        declared = registry.dataset(name)
        assert (declared.open is None) == (declared.unavailable is not None)
        assert declared.how_to_get and declared.license and declared.modality
    assert registry.model("vw-mit").size_multiple == 64
    assert registry.model("segnext").random_at_inference
