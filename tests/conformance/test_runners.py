"""What a runner owes the contract: the same numbers as a loop written by hand, whatever drives it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from bench_core.data.loader import Loader, Split
from bench_core.declarations import JobEvent, Task, resolve_entry
from bench_core.errors import TrainingError
from bench_core.plugins.wiring import load_registry
from bench_core.protocol.contract import Contract, Outcome, RunOptions
from bench_core.protocol.schedule import learning_rate
from bench_sma.u_net.network import UNet
from tests.helpers.tiny_jobs import BINARY, THREE, MemoryKeeper, tiny_arrays, tiny_contract, tiny_training

Fit = Callable[[Contract, RunOptions], Outcome]
RUNNERS = ("torch", "mmseg")
AUGMENTED: Any = (("RandomHorizontalFlip", {}), ("RandomAffine", {"degrees": 20.0}))


@pytest.fixture(params=RUNNERS)
def fit(request: pytest.FixtureRequest) -> Fit:
    found: Fit = resolve_entry(load_registry().runner(request.param).fit)
    return found


pytestmark = pytest.mark.usefixtures("one_thread")


def _unet(task: Task, channels: int = 3) -> nn.Module:
    torch.manual_seed(0)
    return UNet(channels, task.logit_channels, width=2)


def _same(left: dict[str, Tensor], right: dict[str, Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


@pytest.mark.parametrize("task", [BINARY, THREE], ids=["binary", "three classes"])
def test_weights_equal_those_of_a_loop_written_by_hand(fit: Fit, task: Task) -> None:
    """Plain PyTorch without a contract: the same data, schedule and loss end in the same bits."""
    keeper, epochs, rate = MemoryKeeper(), 3, 0.02
    contract = tiny_contract(
        task, model=_unet(task), keeper=keeper, epochs=epochs, rate=rate, augmentation=()
    )
    fit(contract, RunOptions())

    model = _unet(task).train()
    arrays = tiny_arrays(task)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate)
    loader = Loader(Split(arrays, range(12), "rgb"), 4, seed=contract.seed, augment=None)
    losses = []
    for epoch in range(epochs):
        for group in optimizer.param_groups:
            rest = 1 - epoch / epochs
            group["lr"] = rate * rest / (0.5 + 0.5 * rest)
        for batch in loader.epoch(epoch):
            rows = [arrays.ids.index(sample) for sample in batch.ids]
            images = torch.from_numpy(arrays.images[rows]).permute(0, 3, 1, 2).float()
            images = ((images / 255 - 0.5) / 0.5).expand(-1, 3, -1, -1).contiguous()
            masks = torch.from_numpy(arrays.masks[rows]).long()
            logits = model(images)
            if task.binary:
                loss = functional.binary_cross_entropy_with_logits(logits[:, 0], masks.float())
            else:
                loss = functional.cross_entropy(logits, masks)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    assert keeper.state is not None
    assert _same(keeper.state["model"], model.state_dict())
    assert len(losses) == epochs * 3


def test_the_trace_tells_order_rates_and_losses(fit: Fit, tmp_path: Path) -> None:
    trace = tmp_path / "trace.jsonl"
    contract = tiny_contract(trace=trace, epochs=3)
    outcome = fit(contract, RunOptions())
    lines = [json.loads(line) for line in trace.read_text().splitlines()]
    steps = [line for line in lines if "step" in line]
    assert [(line["epoch"], line["step"]) for line in steps] == [(e, s) for e in range(3) for s in range(3)]
    loader = Loader(Split(tiny_arrays(BINARY), range(12), "rgb"), 4, seed=contract.seed, augment=None)
    expected = [list(batch.ids) for epoch in range(3) for batch in loader.epoch(epoch)]
    assert [line["ids"] for line in steps] == expected
    schedule = tiny_training().schedule
    assert [line["lr"] for line in steps] == [
        learning_rate(schedule, 0.02, line["epoch"], line["step"], 3, 3) for line in steps
    ]
    assert [stats.loss for stats in outcome.training.history] == [
        line["loss"] for line in lines if "step" not in line
    ]


@pytest.mark.parametrize("workers", [0, 2])
def test_equal_jobs_have_equal_traces_and_weights(fit: Fit, tmp_path: Path, workers: int) -> None:
    keepers = [MemoryKeeper(), MemoryKeeper()]
    for index, keeper in enumerate(keepers):
        contract = tiny_contract(
            keeper=keeper,
            trace=tmp_path / str(index),
            epochs=2,
            augmentation=AUGMENTED,
            loader_workers=workers * index,
        )
        fit(contract, RunOptions(loader_workers=workers * index))
    assert (tmp_path / "0").read_bytes() == (tmp_path / "1").read_bytes()
    first, second = (keeper.state for keeper in keepers)
    assert first is not None
    assert second is not None
    assert _same(first["model"], second["model"])


class _Killed(BaseException):
    """Neither an error that could be handled nor one that could be mistaken for a failure."""


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("killed_after", [1, 4, 7, 8])
def test_a_killed_job_goes_on_to_the_same_weights(
    fit: Fit, tmp_path: Path, killed_after: int, precision: str
) -> None:
    """Killed in the first epoch, at its end, within the second, and just before the last."""
    settings: dict[str, Any] = {"epochs": 3, "precision": precision, "augmentation": AUGMENTED}
    whole = MemoryKeeper()
    expected = fit(tiny_contract(keeper=whole, trace=tmp_path / "whole", **settings), RunOptions())

    keeper, trace = MemoryKeeper(), tmp_path / "broken"
    contract = tiny_contract(keeper=keeper, trace=trace, **settings)
    steps = 0

    def kill(module: nn.Module, inputs: object, output: object) -> None:
        nonlocal steps
        steps += module.training
        if steps > killed_after:
            raise _Killed

    contract.model.register_forward_hook(kill)
    with pytest.raises(_Killed):
        fit(contract, RunOptions())
    outcome = fit(tiny_contract(keeper=keeper, trace=trace, **settings), RunOptions())

    assert whole.state is not None
    assert keeper.state is not None
    assert _same(whole.state["model"], keeper.state["model"])
    assert _same(whole.best["state_dict"], keeper.best["state_dict"])
    assert trace.read_bytes() == (tmp_path / "whole").read_bytes()
    np.testing.assert_array_equal(outcome.predictions.labels, expected.predictions.labels)
    assert outcome.training.chosen_epoch == expected.training.chosen_epoch


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("channels_last", [False, True])
def test_every_precision_and_memory_format_learns(fit: Fit, precision: str, channels_last: bool) -> None:
    contract = tiny_contract(
        THREE, model=_unet(THREE), precision=precision, epochs=4, augmentation=(), rate=0.03
    )
    outcome = fit(contract, RunOptions(channels_last=channels_last))
    assert outcome.training.history[-1].loss < 0.7 * outcome.training.history[0].loss
    assert all(parameter.dtype == torch.float32 for parameter in contract.model.parameters())


def test_channels_last_reaches_network_and_images(fit: Fit) -> None:
    contract = tiny_contract(model=_unet(BINARY), epochs=1)
    seen = []
    contract.model.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    fit(contract, RunOptions(channels_last=True))
    assert seen
    assert all(images.is_contiguous(memory_format=torch.channels_last) for images in seen)
    kernel = contract.model.get_parameter("encoder.1.0.weight")
    assert kernel.is_contiguous(memory_format=torch.channels_last)


def test_gradients_are_clipped_to_the_global_norm(fit: Fit) -> None:
    """With plain gradient descent a step moves the weights by the rate times the clipped norm, no further."""
    from bench_core.spec.protocol import SGD, Constant

    limit, rate = 1e-3, 0.5
    contract = tiny_contract(
        gradient_clipping=limit,
        rate=rate,
        epochs=1,
        batch_size=12,
        optimizer=SGD(name="sgd", momentum=0.0, weight_decay=0.0),
        schedule=Constant(name="constant"),
        checkpoint={"choose": "last"},
    )
    before = [parameter.detach().clone() for parameter in contract.model.parameters()]
    fit(contract, RunOptions())
    moves = [new.detach() - old for new, old in zip(contract.model.parameters(), before, strict=True)]
    moved = math.sqrt(sum(float(move.square().sum()) for move in moves))
    assert moved == pytest.approx(limit * rate, rel=1e-3)


class _Scaled(nn.Module):
    """Multiplies the logits by a factor that a test can set."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.inner = nn.Conv2d(3, 1, 1)
        self.factor = factor

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.inner(images) * self.factor
        return logits


@pytest.mark.parametrize("factor", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_ends_the_job_with_its_place(fit: Fit, factor: float) -> None:
    with pytest.raises(TrainingError) as caught:
        fit(tiny_contract(model=_Scaled(factor)), RunOptions())
    assert "step 0 of epoch 0" in caught.value.message
    assert "learning rate" in (caught.value.fix or "")


def test_logits_of_another_shape_end_the_job(fit: Fit) -> None:
    with pytest.raises(TrainingError, match=r"shape \[4, 3, 16, 16\] instead of \[4, 1, 16, 16\]"):
        fit(tiny_contract(BINARY, model=nn.Conv2d(3, 3, 1)), RunOptions())


def test_early_stopping_is_the_contracts(fit: Fit) -> None:
    from bench_core.spec.protocol import EarlyStopping

    frozen = _Scaled(0.0)
    stopping = EarlyStopping(patience=2, min_delta=0.1)
    outcome = fit(tiny_contract(model=frozen, epochs=20, early_stopping=stopping), RunOptions())
    assert outcome.training.stopped_early
    assert outcome.training.epochs_run == 3


def test_what_is_tested_are_the_chosen_epochs_weights(fit: Fit) -> None:
    keeper = MemoryKeeper()
    contract = tiny_contract(keeper=keeper, epochs=5, rate=0.05)
    outcome = fit(contract, RunOptions())
    values = [stats.validation["miou"] for stats in outcome.training.history]
    assert outcome.training.chosen_epoch == int(np.nanargmax(values))
    assert _same(contract.model.state_dict(), keeper.best["state_dict"])
    assert outcome.tested == "test"
    assert outcome.predictions.labels.shape == (4, 16, 16)


def test_events_tell_each_epoch(fit: Fit) -> None:
    events: list[JobEvent] = []
    fit(tiny_contract(events=events, epochs=3), RunOptions())
    assert [(event.kind, event.epoch) for event in events if event.kind == "epoch"] == [
        ("epoch", 0),
        ("epoch", 1),
        ("epoch", 2),
    ]
    assert events[-1].kind == "testing"
