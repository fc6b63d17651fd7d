"""Parameters that decay or learn at rates of their own, and the step that keeps their factors."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bench_core.errors import TrainingError
from bench_core.protocol.optimizer import build_optimizer, undecayed
from bench_core.spec.protocol import SGD, AdamW, Poly, Rex
from bench_core.spec.schedule import WarmupSteps
from tests.helpers.tiny_jobs import MemoryKeeper, history, run, tiny_contract, train


class Stage(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 1)
        self.norm = nn.BatchNorm2d(width)
        self.position = nn.Parameter(torch.zeros(1, width, 1, 1))

    def no_weight_decay(self) -> set[str]:
        return {"position"}

    def forward(self, images: Tensor) -> Tensor:
        result: Tensor = self.norm(self.conv(images)) + self.position
        return result


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.encoder = nn.ModuleDict({"stem": nn.Conv2d(3, 4, 1), "stage": Stage(4)})
        self.head = nn.Conv2d(4, 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        result: Tensor = self.head(self.encoder["stage"](self.encoder["stem"](images)))
        return result


LAYERS = ("encoder.stem", "encoder.stage")
NOT_DECAYED = {
    "encoder.stem.bias", "encoder.stage.conv.bias", "encoder.stage.norm.weight", "encoder.stage.norm.bias",
    "encoder.stage.position", "head.bias",
}  # fmt: skip


def grouped(optimizer: torch.optim.Optimizer, model: nn.Module) -> dict[str, dict[str, Any]]:
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return {names[id(item)]: group for group in optimizer.param_groups for item in group["params"]}


def test_the_usual_settings_make_one_group_in_the_networks_order() -> None:
    model = Network()
    (group,) = build_optimizer(AdamW(), model, 0.1, LAYERS).param_groups
    assert [id(item) for item in group["params"]] == [id(item) for item in model.parameters()]


def test_weights_only_leaves_norms_biases_vectors_and_named_parameters_out() -> None:
    model = Network()
    assert undecayed(model) == NOT_DECAYED
    found = grouped(build_optimizer(AdamW(decay="weights-only", weight_decay=0.3), model, 0.1), model)
    assert found.keys() == dict(model.named_parameters()).keys()
    assert {name for name, group in found.items() if group["weight_decay"] == 0.0} == NOT_DECAYED
    assert {group["weight_decay"] for group in found.values()} == {0.0, 0.3}


@pytest.mark.parametrize(
    ("settings", "stem", "stage"),
    [
        ({"encoder_factor": 0.1}, 0.1, 0.1),
        ({"layer_decay": 0.5}, 0.25, 0.5),
        ({"encoder_factor": 0.1, "layer_decay": 0.5, "decay": "weights-only"}, 0.025, 0.05),
    ],
)
def test_layers_of_the_encoder_learn_at_their_own_rates(
    settings: dict[str, Any], stem: float, stage: float
) -> None:
    model = Network()
    optimizer = build_optimizer(SGD(name="sgd", **settings), model, 0.2, LAYERS)
    for name, group in grouped(optimizer, model).items():
        expected = stem if "stem" in name else stage if "stage" in name else 1.0
        assert group["factor"] == pytest.approx(expected) and group["lr"] == pytest.approx(0.2 * expected)


def test_of_prefixes_in_each_other_the_longest_counts_and_names_are_whole() -> None:
    model = nn.ModuleDict({"net": nn.ModuleDict({"a": nn.Linear(1, 1), "ab": nn.Linear(1, 1)})})
    optimizer = build_optimizer(AdamW(layer_decay=0.5), model, 1.0, ("net.a", "net"))
    factors = {name: group["factor"] for name, group in grouped(optimizer, model).items()}
    assert factors == {
        "net.a.weight": 0.25, "net.a.bias": 0.25, "net.ab.weight": 0.5, "net.ab.bias": 0.5,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("encoder", "said"), [((), "declares none"), (("encoder.stem", "backbone"), "'backbone'")]
)
def test_an_encoder_that_is_not_known_is_refused(encoder: tuple[str, ...], said: str) -> None:
    with pytest.raises(TrainingError, match=said) as caught:
        build_optimizer(AdamW(encoder_factor=0.1), Network(), 0.1, encoder)
    assert caught.value.fix


def contract(**settings: Any) -> Any:
    return tiny_contract(
        model=Network(), encoder=LAYERS, epochs=2, batch_size=4,
        optimizer=AdamW(encoder_factor=0.1, layer_decay=0.5, decay="weights-only"),
        schedule=Poly(name="poly", step="step", warmup=WarmupSteps(steps=2, factor=0.5)), **settings,
    )  # fmt: skip


def test_every_group_keeps_its_factor_under_schedule_and_warmup() -> None:
    job = contract()
    job.prepare(torch.device("cpu"))
    rates = [job.begin_step(epoch, step) for epoch in range(2) for step in range(job.steps)]
    assert rates == pytest.approx(
        [0.02 * (1 - made / 6) ** 0.9 * (0.5 + 0.25 * min(made, 2)) for made in range(6)]
    )
    for group in job.optimizer.param_groups:
        assert group["lr"] == pytest.approx(rates[-1] * group["factor"])
    assert {round(group["factor"], 6) for group in job.optimizer.param_groups} == {0.025, 0.05, 1.0}


def test_groups_and_warmup_survive_a_kill_to_the_last_bit() -> None:
    whole = run(contract())
    keeper = MemoryKeeper()
    train(contract(keeper=keeper), stop_before=1)
    assert keeper.state is not None
    resumed = run(contract(keeper=keeper))
    assert [item.loss for item in history(resumed)] == [item.loss for item in history(whole)]


def test_the_optimizer_moves_the_encoder_less() -> None:
    moved: dict[float, float] = {}
    for factor in (1.0, 1e-3):
        model = Network()
        before = model.encoder["stem"].weight.detach().clone()
        run(
            tiny_contract(
                model=model, encoder=("encoder",), epochs=1, schedule=Rex(),
                optimizer=SGD(name="sgd", momentum=0.0, weight_decay=0.0, encoder_factor=factor),
            )
        )  # fmt: skip
        moved[factor] = (model.encoder["stem"].weight.detach() - before).norm().item()
    assert moved[1e-3] == pytest.approx(moved[1.0] * 1e-3, rel=0.2)
