from __future__ import annotations

import pytest
import torch
from torch import nn

from bench_core.errors import TrainingError
from bench_core.protocol.optimizer import build_optimizer
from bench_core.spec.protocol import SGD, Adam, AdamW, Optimizer


@pytest.mark.parametrize(
    ("settings", "kind", "expected"),
    [
        (AdamW(), torch.optim.AdamW, {"weight_decay": 0.01, "betas": (0.9, 0.999), "eps": 1e-8}),
        (Adam(name="adam", weight_decay=0.1), torch.optim.Adam, {"weight_decay": 0.1}),
        (SGD(name="sgd", momentum=0.8, weight_decay=0.0), torch.optim.SGD, {"momentum": 0.8}),
    ],
)
def test_one_group_with_the_protocols_settings(settings: Optimizer, kind: type, expected: dict) -> None:
    optimizer = build_optimizer(settings, nn.Linear(3, 2), 1e-4)
    assert type(optimizer) is kind
    (group,) = optimizer.param_groups
    assert group["lr"] == 1e-4
    assert len(group["params"]) == 2
    assert {key: group[key] for key in expected} == expected


def test_adamw_decays_weights_apart_from_the_gradient() -> None:
    model = nn.Linear(1, 1, bias=False)
    nn.init.ones_(model.weight)
    optimizer = build_optimizer(AdamW(weight_decay=0.1), model, 0.01)
    model.weight.grad = torch.zeros_like(model.weight)
    optimizer.step()
    assert model.weight.item() == pytest.approx(1 - 0.01 * 0.1)


def test_frozen_parameters_stay_out_and_a_frozen_model_is_refused() -> None:
    model = nn.Linear(3, 2)
    model.bias.requires_grad_(False)
    assert len(build_optimizer(AdamW(), model, 1e-3).param_groups[0]["params"]) == 1
    model.weight.requires_grad_(False)
    with pytest.raises(TrainingError, match="no trainable parameter"):
        build_optimizer(AdamW(), model, 1e-3)
