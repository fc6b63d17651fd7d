"""What the contract refuses: meaningless numbers; networks, masks, protocols and runners that do not fit."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bench_core.errors import DataError, TrainingError
from bench_core.spec.protocol import Normalization
from tests.helpers.tiny_jobs import (
    BINARY,
    THREE,
    MemoryKeeper,
    predictor,
    run,
    tiny_arrays,
    tiny_contract,
    train,
)

pytestmark = pytest.mark.usefixtures("one_thread")
CPU = torch.device("cpu")


class Exploding(nn.Module):
    """Its logits become NaN in the given mode, after some calls."""

    def __init__(self, *, training: bool, after: int) -> None:
        super().__init__()
        self.body = nn.Conv2d(3, 1, 1)
        self.mode, self.left = training, after

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.body(images)
        if self.training == self.mode:
            self.left -= 1
        return logits * math.nan if self.left < 0 else logits


def test_a_nan_loss_ends_the_job_with_epoch_step_and_a_way_out(tmp_path: Path) -> None:
    keeper, path = MemoryKeeper(), tmp_path / "trace.jsonl"
    contract = tiny_contract(model=Exploding(training=True, after=4), keeper=keeper, trace=path)
    with pytest.raises(TrainingError, match="the loss is nan at step 1 of epoch 1") as caught:
        run(contract)
    assert "learning rate" in str(caught.value.fix)
    assert keeper.state is not None
    assert len(keeper.state["history"]) == 1
    assert '"loss":null' in path.read_text()


def test_nan_predictions_are_an_error_and_not_background() -> None:
    with pytest.raises(TrainingError, match="predicts NaN for 4 of 4 images"):
        run(tiny_contract(model=Exploding(training=False, after=0)))


def test_a_model_with_the_wrong_head_is_refused_in_training_and_validation() -> None:
    contract = tiny_contract(model=nn.Conv2d(3, 2, 1))
    with pytest.raises(TrainingError, match=r"\[4, 2, 16, 16\] instead of \[4, 1, 16, 16\]"):
        train(contract)
    contract = tiny_contract()
    with pytest.raises(TrainingError, match="logits of shape"):
        contract.prepare(CPU)
        for epoch in contract.epochs():
            for step, batch in enumerate(contract.train_batches(epoch)):
                contract.begin_step(epoch, step)
                loss = contract.loss(contract.model(batch.images), batch.masks)
                contract.optimize(loss)
                contract.end_step(batch, loss)
            contract.end_epoch(epoch, lambda images: contract.model(images)[:, :, ::2])


def test_a_mask_outside_the_task_is_refused() -> None:
    arrays = tiny_arrays(THREE)
    with pytest.raises(DataError, match="class 2"):
        run(tiny_contract(BINARY, arrays=arrays))


@pytest.mark.parametrize("fault", ["unprepared", "no end of epoch", "steps left out"])
def test_a_runner_that_breaks_the_order_is_told(fault: str) -> None:
    contract = tiny_contract()
    with pytest.raises(TrainingError, match="the runner"):
        if fault == "unprepared":
            contract.begin_step(0, 0)
        contract.prepare(CPU)
        for epoch in contract.epochs():
            if fault == "steps left out":
                contract.end_epoch(epoch, predictor(contract))


@pytest.mark.parametrize(
    "changes",
    [
        {"loss": {"cross-entropy": 1.0}},
        {"normalization": Normalization(mean=[0.1, 0.2])},
        {"augmentation": (("RandomCrop", {"size": 7}),)},
    ],
)
def test_a_protocol_that_does_not_fit_is_refused_before_anything_runs(changes: dict[str, Any]) -> None:
    with pytest.raises(TrainingError) as caught:
        tiny_contract(**changes)
    assert caught.value.fix
