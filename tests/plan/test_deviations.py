"""What a model takes differently: applied to its jobs, listed with protocol value, own value and reason."""

from __future__ import annotations

from typing import Any

import pytest

from bench_core.declarations import Architecture, Deviation
from bench_core.errors import PluginError
from bench_core.plan.errors import PlanError
from bench_core.plan.expand import make_plan
from bench_core.plan.job import Job, JobDeviation
from bench_core.spec.model import Spec
from bench_core.spec.protocol import SGD
from tests.helpers.plans import TASKS, architecture, dataset, registry, small_protocol


def jobs_of(model: Architecture, entry: dict[str, Any] | None = None, **protocol: Any) -> tuple[Job, ...]:
    spec = Spec.model_validate(
        {
            "version": 1,
            "name": "deviations",
            "models": [{"name": model.name} | (entry or {})],
            "datasets": [{"name": "skin"}, {"name": "gut"}],
            "protocol": small_protocol(**protocol),
        }
    )
    table = registry([model], [dataset("skin"), dataset("gut", TASKS[1])])
    return make_plan(spec, table).jobs


def test_a_declared_deviation_is_applied_and_listed() -> None:
    model = architecture(
        "net", deviations={"precision": Deviation(value="fp32", because="overflows in fp16")}
    )
    for job in jobs_of(model, precision="fp16"):
        assert job.training.precision == "fp32"
        assert job.model.deviations == (JobDeviation("precision", "fp16", "fp32", "overflows in fp16"),)


def test_a_deviation_that_agrees_with_the_protocol_is_none() -> None:
    model = architecture("net", deviations={"precision": Deviation(value="fp32", because="overflows")})
    assert all(job.model.deviations == () for job in jobs_of(model, precision="fp32"))


def test_the_entry_wins_over_the_declaration() -> None:
    model = architecture("net", deviations={"precision": Deviation(value="fp32", because="overflows")})
    entry = {"deviations": {"precision": "bf16", "batch_size": 2, "because": "new hardware"}}
    job = jobs_of(model, entry, precision="fp16")[0]
    assert (job.training.precision, job.training.batch_size) == ("bf16", 2)
    assert job.model.deviations == (
        JobDeviation("batch_size", 8, 2, "new hardware"),
        JobDeviation("precision", "fp16", "bf16", "new hardware"),
    )


def test_what_a_section_leaves_out_stays_the_protocols() -> None:
    model = architecture(
        "net", deviations={"optimizer": Deviation(value={"weight_decay": 0.05}, because="as its authors do")}
    )
    job = jobs_of(model, optimizer={"name": "adam", "weight_decay": 0.1})[0]
    assert (job.training.optimizer.name, job.training.optimizer.weight_decay) == ("adam", 0.05)
    assert job.model.deviations == (JobDeviation("optimizer.weight_decay", 0.1, 0.05, "as its authors do"),)


def test_loss_augmentation_and_clipping_deviate_from_what_the_dataset_gets() -> None:
    entry = {
        "deviations": {
            "loss": {"dice": 1},
            "augmentation": ["RandomHorizontalFlip"],
            "gradient_clipping": 1.0,
            "because": "tried",
        }
    }
    jobs = {job.dataset.name: job for job in jobs_of(architecture("net"), entry)}
    assert jobs["skin"].model.deviations == (
        JobDeviation("loss", {"bce": 1.0}, {"dice": 1.0}, "tried"),
        JobDeviation("augmentation", [], [["RandomHorizontalFlip", {}]], "tried"),
        JobDeviation("gradient_clipping", "off", 1.0, "tried"),
    )
    assert jobs["gut"].model.deviations[0].protocol == {"cross-entropy": 1.0}
    for job in jobs.values():
        assert Job.from_json(job.to_json()) == job


@pytest.mark.parametrize(
    ("declared", "entry", "protocol", "expected", "because"),
    [
        (None, {}, "imagenet", "imagenet", None),
        (None, {}, "none", "none", None),
        (None, {"pretrained": "none", "because": "compared"}, "imagenet", "none", "compared"),
        (None, {"pretrained": "none"}, "none", "none", None),
        ("none", {}, "imagenet", "none", "no weights"),
        ("none", {}, "none", "none", None),
        ("none", {"pretrained": "none"}, "imagenet", "none", "no weights"),
        ("none", {"pretrained": "none", "because": "of the entry"}, "imagenet", "none", "of the entry"),
        ("none", {"pretrained": "imagenet", "because": "now there"}, "none", "imagenet", "now there"),
    ],
)
def test_where_the_weights_come_from(
    declared: str | None, entry: dict[str, Any], protocol: str, expected: str, because: str | None
) -> None:
    deviations = {"pretrained": Deviation(value=declared, because="no weights")} if declared else {}
    job = jobs_of(architecture("net", deviations=deviations), entry, pretrained=protocol)[0]
    assert job.model.pretrained == expected
    listed = [JobDeviation("pretrained", protocol, expected, because)] if because else []
    assert list(job.model.deviations) == listed


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("image_size", 224, "declares a deviation of 'image_size'"),
        ("precision", "fp8", "that is not valid"),
        ("optimizer", {"momentun": 1}, "that is not valid"),
    ],
)
def test_a_wrong_declaration_is_the_plugins_error(setting: str, value: Any, said: str) -> None:
    model = architecture("net", deviations={setting: Deviation(value=value, because="reason")})
    with pytest.raises(PluginError, match=said):
        jobs_of(model)


def test_another_optimizer_replaces_the_protocols_and_every_difference_is_listed() -> None:
    entry = {"deviations": {"optimizer": {"name": "sgd", "momentum": 0.5}, "because": "as published"}}
    job = jobs_of(architecture("net"), entry, optimizer={"weight_decay": 0.1})[0]
    assert job.training.optimizer == SGD(name="sgd", momentum=0.5)
    assert job.model.deviations == (
        JobDeviation("optimizer.name", "adamw", "sgd", "as published"),
        JobDeviation("optimizer.weight_decay", 0.1, 0.01, "as published"),
        JobDeviation("optimizer.betas", [0.9, 0.999], None, "as published"),
        JobDeviation("optimizer.momentum", None, 0.5, "as published"),
    )
    assert Job.from_json(job.to_json()) == job


def test_a_declared_setting_of_another_optimizer_is_refused() -> None:
    deviation = Deviation(value={"momentum": 0.8}, because="as published")
    model = architecture("net", deviations={"optimizer": deviation})
    assert jobs_of(model, optimizer="sgd")[0].training.optimizer == SGD(name="sgd", momentum=0.8)
    with pytest.raises(PlanError, match="does not fit the protocol's") as caught:
        jobs_of(model)
    assert caught.value.place == "model 'net'" and "no effect with adamw" in (caught.value.cause or "")
