"""The protocol in the report: whatever a spec asks for is said, and rates that differ read differently."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench_core.report import names
from bench_core.report.protocol import protocol_lines
from bench_core.spec.model import Spec

rates = st.floats(min_value=1e-12, max_value=100, allow_nan=False)


def lines(*, datasets: list[Any] | None = None, devices: int = 1, **protocol: Any) -> dict[str, str]:
    spec = Spec.model_validate(
        {
            "version": 1,
            "name": "lines",
            "models": [{"name": "net"}],
            "datasets": datasets or [{"name": "skin"}],
            "protocol": {"learning_rate": 1e-3, "evaluate": {"epochs": 9}} | protocol,
            "runtime": {"devices_per_job": devices},
        }
    )
    return dict(protocol_lines(spec))


@pytest.mark.parametrize(
    ("settings", "item", "said"),
    [
        ({"optimizer": "sgd"}, "optimizer", "sgd, weight decay 0.01, momentum 0.9"),
        ({"optimizer": {"decay": "weights-only"}}, "optimizer", "weight decay 0.01 (weights only)"),
        ({"optimizer": {"encoder_factor": 0.1}}, "optimizer", "encoder at 0.1 of the rate"),
        ({"optimizer": {"layer_decay": 0.7}}, "optimizer", "layer-wise decay of the rate 0.7"),
        ({"schedule": "constant"}, "schedule", "constant"),
        ({"schedule": {"name": "poly", "power": 2}}, "schedule", "poly, evaluated every epoch, power 2"),
        ({"schedule": {"warmup": {"epochs": 2}}}, "schedule", "warm-up over 2 epochs from 0.001 of the rate"),
        (
            {"schedule": {"name": "constant", "warmup": {"steps": 1, "factor": 0.5}}},
            "schedule",
            "constant, after a linear warm-up over 1 step from 0.5 of the rate",
        ),
        ({"micro_batch": 2}, "batch size", "8, in parts of at most 2"),
        ({"loss": "focal"}, "loss", "focal (gamma 2)"),
        (
            {"loss": {"focal": {"alpha": 0.25}, "dice": 0.5}},
            "loss",
            "0.5 dice + 1 focal (gamma 2, alpha 0.25)",
        ),
        (
            {"loss": {"cross-entropy": {"weights": "inverse-frequency", "label_smoothing": 0.1}}},
            "loss",
            "1 cross-entropy (weights inverse-frequency, label smoothing 0.1)",
        ),
        ({"loss": {"tversky": 2}}, "loss", "2 tversky (alpha 0.3, beta 0.7)"),
        ({"checkpoint": "last"}, "tested weights", "last epoch"),
        ({"evaluate": {"epochs": 9, "repeats": 3}}, "cross-validation", "3 repeats"),
        (
            {"evaluate": {"epochs": 9, "repeats": 3, "reshuffle": True}},
            "cross-validation",
            "other folds at each",
        ),
    ],
    ids=str,
)
def test_every_setting_is_said(settings: dict[str, Any], item: str, said: str) -> None:
    assert said in lines(**settings)[item]


def test_several_devices_are_named_with_what_they_do_to_batch_norm() -> None:
    assert "batch norm" not in lines()
    said = lines(devices=2)["batch norm"]
    assert said == "statistics of the whole batch, synchronized over 2 devices"
    said = lines(devices=2, sync_batch_norm=False)["batch norm"]
    assert "each device's part of a batch, which departs from one device" in said


@pytest.mark.parametrize(
    ("layout", "choose", "said"),
    [("holdout", "best", True), ("holdout", "last", False), ("rotate", "best", False)],
)
def test_choosing_the_epoch_on_test_images_is_said(layout: str, choose: str, said: bool) -> None:
    words = lines(evaluate={"epochs": 3, "layout": layout}, checkpoint={"choose": choose})["cross-validation"]
    assert ("flatters every model" in words) == said


def test_a_datasets_own_loss_is_said_with_its_settings() -> None:
    found = lines(datasets=[{"name": "skin", "loss": {"bce": {"weights": {"lesion": 5}}}}])
    assert found["loss on skin"] == "1 bce (weights lesion 5)"


@pytest.mark.parametrize(
    ("value", "text"),
    [(1e-4, "1e-4"), (5e-5, "5e-5"), (0.01, "0.01"), (1.0, "1"), (1.25e-5, "1.25e-5"), (0.0, "0")],
)
def test_rates_are_written_as_people_do(value: float, text: str) -> None:
    assert names.rate(value) == text


@given(rates, rates)
def test_rates_that_differ_read_differently_and_read_back_as_they_are(one: float, other: float) -> None:
    assert float(names.rate(one)) == one
    assert (names.rate(one) == names.rate(other)) == (one == other)


def test_rates_that_agree_in_six_digits_are_two() -> None:
    assert names.rate(1.0000001e-4) != names.rate(1.0000002e-4)
